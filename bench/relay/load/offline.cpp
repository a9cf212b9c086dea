#include "base/json.h"
#include "bench/relay/load/modes.h"
#include "bench/relay/load/progress.h"
#include "bench/relay/load/server_process.h"
#include "relay/store/scan.h"

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

namespace nostril::bench {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t kOfflineRounds = 3;

struct Cpu {
  double user_us = 0;
  double system_us = 0;
};

double us_of(const timeval& time) {
  return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_usec);
}

// Only async-signal-safe calls between fork() and exec().
pid_t start(const std::vector<std::string>& arguments, const fs::path& input,
            const fs::path& output) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) {
    argv.push_back(const_cast<char*>(argument.c_str()));  // NOLINT: exec's own type
  }
  argv.push_back(nullptr);
  const pid_t pid = fork();
  if (pid != 0) return pid;
  const int in = open(input.c_str(), O_RDONLY);                              // NOLINT: variadic
  const int out = open(output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);  // NOLINT: variadic
  const int err = open("/dev/null", O_WRONLY);                               // NOLINT: variadic
  if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0) _exit(126);
  execv(argv[0], argv.data());
  _exit(127);
}

Cpu run(const std::vector<std::string>& arguments, const fs::path& input, const fs::path& output) {
  const pid_t pid = start(arguments, input, output);
  int status = 0;
  rusage used{};
  if (pid < 0 || wait4(pid, &status, 0, &used) != pid || !WIFEXITED(status) ||
      WEXITSTATUS(status) != 0) {
    throw std::runtime_error(fmt::format("{} {} failed", arguments[0], arguments.back()));
  }
  return {us_of(used.ru_utime), us_of(used.ru_stime)};
}

double us_of(const timespec& time) {
  return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) / 1e3;
}

// Every record read and held against a filter, in a query worker's steps; on this thread.
Cpu scan(const fs::path& data, const Corpus& corpus) {
  relay::StoreOptions options;
  options.read_only = true;
  const auto store = relay::Store::open(data, options);
  if (!store) throw std::runtime_error(store.error().text);
  Filter filter;
  filter.since = corpus.events().front().created_at;
  std::size_t rows = 0;
  timespec before{};
  timespec after{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
  relay::Scan scan(**store, {filter}, {0, std::numeric_limits<std::uint64_t>::max()});
  for (bool done = false; !done;) {
    relay::ReadTxn txn = (*store)->read();
    const auto step = scan.step(txn, {}, [&rows](const relay::ScanRow&) {
      ++rows;
      return relay::RowAction::Take;
    });
    if (!step) throw std::runtime_error(step.error().text);
    done = step->done;
  }
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
  if (rows != corpus.size()) throw std::runtime_error("the scan did not find every event");
  return {us_of(after) - us_of(before), 0};
}

// A folder for one run.
class Scratch {
 public:
  explicit Scratch(const fs::path& where) {
    std::string name = (where / "offline-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr)
      throw std::runtime_error("cannot make a folder in " + where.string());
    path_ = name;
  }

  ~Scratch() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }

  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  Scratch(Scratch&&) = delete;
  Scratch& operator=(Scratch&&) = delete;

  [[nodiscard]] const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

struct Task {
  const char* name;
  const char* title;
  std::vector<Cpu> runs;
};

void print(const Task& task, const Corpus& corpus, double disk_bytes) {
  std::vector<double> user;
  std::vector<double> system;
  for (const Cpu& cpu : task.runs) {
    user.push_back(cpu.user_us / static_cast<double>(corpus.size()));
    system.push_back(cpu.system_us / static_cast<double>(corpus.size()));
  }
  JsonWriter out;
  out.begin_object().key("question").string(task.name).key("title").string(task.title);
  out.key("unit").string("event").key("contender").string("nostril");
  out.key("user_us").number(median(user)).key("cpu_us").number(median(user) + median(system));
  if (disk_bytes > 0) {
    out.key("disk_bytes").number(disk_bytes / static_cast<double>(corpus.size()));
    out.key("json_bytes").number(corpus.bytes_each());
  }
  out.key("rounds").integer(static_cast<std::int64_t>(task.runs.size())).end_object();
  fmt::print("{}\n", out.text());
}

}  // namespace

void ask_offline(const Plan& plan, const Corpus& corpus, const std::string& program) {
  std::array<Task, 5> tasks{{{"import", "import, signatures checked", {}},
                             {"import_trusted", "import --no-verify", {}},
                             {"export", "export", {}},
                             {"compact", "compact", {}},
                             {"scan", "scan: every record read and held against a filter", {}}}};
  double imported_bytes = 0;
  double compacted_bytes = 0;
  for (std::size_t round = 0; round < std::min(plan.rounds, kOfflineRounds); ++round) {
    show_progress(fmt::format("offline {}", round + 1));
    const Scratch scratch(corpus.path().parent_path());
    const std::string data = scratch.path() / "data";
    const std::string trusted = scratch.path() / "trusted";
    const std::string compacted = scratch.path() / "compacted";
    const fs::path exported = scratch.path() / "out.jsonl";
    const fs::path none = "/dev/null";
    tasks[0].runs.push_back(run({program, "import", "--data", data}, corpus.path(), none));
    tasks[1].runs.push_back(
        run({program, "import", "--no-verify", "--data", trusted}, corpus.path(), none));
    tasks[2].runs.push_back(run({program, "export", "--data", data}, none, exported));
    tasks[3].runs.push_back(
        run({program, "compact", "--data", data, "--to", compacted}, none, none));
    tasks[4].runs.push_back(scan(data, corpus));
    if (fs::file_size(exported) != fs::file_size(corpus.path())) {
      throw std::runtime_error("the export is not what was imported");
    }
    imported_bytes = static_cast<double>(disk_bytes(data));
    compacted_bytes = static_cast<double>(disk_bytes(compacted));
  }
  show_progress({});
  print(tasks[0], corpus, imported_bytes);
  print(tasks[1], corpus, 0);
  print(tasks[2], corpus, 0);
  print(tasks[3], corpus, compacted_bytes);
  print(tasks[4], corpus, 0);
}

}  // namespace nostril::bench
