#include "node/verity.h"

#include "base/bytes.h"
#include "base/file.h"
#include "base/hex.h"
#include "node/file_tree.h"

#include <fmt/format.h>

#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <iterator>
#include <optional>
#include <span>
#include <system_error>
#include <utility>

namespace nostril::node {

namespace {

namespace fs = std::filesystem;
using attestation::VerityDevice;

constexpr std::size_t kAnswerBytes = 16U << 10U;
constexpr std::uint64_t kSectorBytes = 512;
constexpr std::size_t kFixedWords = 10;
constexpr std::string_view kVerity = "verity";

/// Options that leave the root's word as it is, and how many words each has after it.
struct Option {
  std::string_view name;
  std::size_t argument_count;
};

constexpr std::array<Option, 11> kOptions = {{{"restart_on_corruption", 0},
                                              {"panic_on_corruption", 0},
                                              {"restart_on_error", 0},
                                              {"panic_on_error", 0},
                                              {"ignore_zero_blocks", 0},
                                              {"try_verify_in_tasklet", 0},
                                              {"root_hash_sig_key_desc", 1},
                                              {"use_fec_from_device", 1},
                                              {"fec_roots", 1},
                                              {"fec_blocks", 1},
                                              {"fec_start", 1}}};

class ControlDevice final : public DeviceMapper {
 public:
  explicit ControlDevice(UniqueFd fd) : fd_(std::move(fd)) {}

  int request(unsigned long number, dm_ioctl* data) override {
    return ioctl(fd_.get(), number, data) == 0 ? 0 : errno;
  }

 private:
  UniqueFd fd_;
};

std::string text_of(int error) {
  return std::system_category().message(error);
}

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> out;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    if (end != 0) out.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

template <typename Number>
bool read(std::string_view digits, Number& out) {
  const char* end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, out);
  return error == std::errc() && stop == end;
}

/// Why the options are refused.
std::optional<std::string> problem_of(std::span<const std::string_view> words) {
  if (words.empty()) return std::nullopt;
  std::size_t count = 0;
  if (!read(words[0], count) || count != words.size() - 1) return "its options can't be read";
  for (std::size_t i = 1; i < words.size();) {
    const auto known = std::ranges::find(kOptions, words[i], &Option::name);
    if (known == kOptions.end()) {
      return fmt::format("its option {} does not keep every read to the root hash", words[i]);
    }
    i += 1 + known->argument_count;
    if (i > words.size()) return "its options can't be read";
  }
  return std::nullopt;
}

/// One target as the kernel answers.
struct Target {
  std::uint64_t start = 0;
  std::uint64_t sectors = 0;
  std::string type;
  std::string parameters;
  std::uint32_t flags = 0;
};

/// Question and answer in one buffer, which begins with the head.
struct Exchange {
  dm_ioctl head{};
  std::array<char, kAnswerBytes> rest{};
};

/// DM_TABLE_STATUS of one device; `flags` ask for the table in place of the status.
Result<Target, std::string> ask(DeviceMapper& mapper, std::uint64_t device, std::uint32_t flags) {
  Exchange exchange;
  dm_ioctl& head = exchange.head;
  head.version[0] = DM_VERSION_MAJOR;
  head.data_size = sizeof(exchange);
  head.data_start = sizeof(dm_ioctl);
  head.flags = flags;
  head.dev = device;
  const int error = mapper.request(DM_TABLE_STATUS, &head);
  if (error == ENXIO) return failure(std::string("it is no device of the device mapper"));
  if (error != 0) return failure("the device mapper: " + text_of(error));
  if ((head.flags & DM_BUFFER_FULL_FLAG) != 0 || head.data_start < sizeof(dm_ioctl) ||
      head.data_size > sizeof(exchange) || head.dev != device ||
      head.data_size <= head.data_start ||
      head.data_size - head.data_start <= sizeof(dm_target_spec)) {
    return failure(std::string("the device mapper's answer can't be read"));
  }
  if (head.target_count != 1) {
    return failure(fmt::format("it has {} targets, not one over all of it", head.target_count));
  }
  dm_target_spec spec{};
  const std::string_view bytes(reinterpret_cast<const char*>(&exchange), head.data_size);
  std::memcpy(&spec, bytes.data() + head.data_start, sizeof(spec));
  const std::string_view rest = bytes.substr(head.data_start + sizeof(spec));
  const std::size_t end = rest.find('\0');
  const std::string_view type(std::data(spec.target_type), std::size(spec.target_type));
  if (end == std::string_view::npos) {
    return failure(std::string("the device mapper's answer can't be read"));
  }
  return Target{spec.sector_start, spec.length, std::string(type.substr(0, type.find('\0'))),
                std::string(rest.substr(0, end)), head.flags};
}

Result<VerityDevice, std::string> device_of_table(DeviceMapper& mapper, std::uint64_t device) {
  const auto table = ask(mapper, device, DM_STATUS_TABLE_FLAG);
  if (!table) return failure(table.error());
  if (table->type != kVerity) return failure("it is a " + table->type + " device, not dm-verity");
  const bool active =
      (table->flags & DM_ACTIVE_PRESENT_FLAG) != 0 && (table->flags & DM_SUSPEND_FLAG) == 0;
  if (!active || (table->flags & DM_READONLY_FLAG) == 0) {
    return failure(std::string("it is not active and read-only"));
  }
  auto out = parse_verity_table(table->parameters);
  if (!out) return out;
  if (table->start != 0 ||
      table->sectors > out->data_blocks * out->data_block_bytes / kSectorBytes) {
    return failure(std::string("its table covers more than what the root hash does"));
  }
  const auto status = ask(mapper, device, 0);
  if (!status) return failure(status.error());
  if (words_of(status->parameters).empty() || words_of(status->parameters)[0] != "V") {
    return failure("the kernel has found corruption on it: status " + status->parameters);
  }
  return out;
}

Result<std::uint64_t, std::string> stat_device(const fs::path& path) {
  struct stat found {};

  if (lstat(path.c_str(), &found) != 0) return failure(path.string() + ": " + text_of(errno));
  return static_cast<std::uint64_t>(found.st_dev);
}

}  // namespace

Result<std::unique_ptr<DeviceMapper>, std::string> open_device_mapper(const fs::path& path) {
  UniqueFd fd(open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!fd.is_open()) {
    return failure(fmt::format("{}: {}; asking for a device's table takes root and this device",
                               path.string(), text_of(errno)));
  }
  return std::make_unique<ControlDevice>(std::move(fd));
}

Result<VerityDevice, std::string> parse_verity_table(std::string_view parameters) {
  const std::vector<std::string_view> words = words_of(parameters);
  VerityDevice out;
  std::uint64_t hash_start = 0;
  const bool sized = words.size() >= kFixedWords && words[0] == "1" &&
                     read(words[3], out.data_block_bytes) && read(words[4], out.hash_block_bytes) &&
                     read(words[5], out.data_blocks) && read(words[6], hash_start);
  if (!sized) return failure(std::string("its table is none of dm-verity with hash type 1"));
  if (words[7] != "sha256")
    return failure(fmt::format("its algorithm is {}, not sha256", words[7]));
  const auto salt = decode_hex(words[9] == "-" ? "" : words[9]);
  if (!decode_hex(words[8], out.root.bytes) || !salt) {
    return failure(std::string("its root hash or salt can't be read"));
  }
  out.salt = *salt;
  if (!is_verity_device(out)) return failure(std::string("its sizes are beyond what is taken"));
  if (auto problem = problem_of(std::span(words).subspan(kFixedWords))) {
    return failure(std::move(*problem));
  }
  return out;
}

Result<VerityDevice, std::string> verity_below(DeviceMapper& mapper, const fs::path& folder) {
  return verity_below(mapper, folder, stat_device);
}

Result<VerityDevice, std::string> verity_below(DeviceMapper& mapper, const fs::path& folder,
                                               const DeviceOf& device_of) {
  const auto named = [&folder](const std::string& problem) {
    return failure(fmt::format("the device below {}: {}", folder.string(), problem));
  };
  const auto device = device_of(folder);
  if (!device) return failure(device.error());
  const auto tree = FileTree::open(folder);
  if (!tree) return failure(tree.error());
  const auto names = tree->list();
  if (!names) return failure(names.error());
  if (names->empty()) return failure(folder.string() + ": holds no file");
  for (const std::string& name : *names) {
    const auto own = device_of(folder / name);
    if (!own) return failure(own.error());
    if (*own != *device) return failure((folder / name).string() + ": is on another device");
  }
  auto out = device_of_table(mapper, *device);
  if (!out) return named(out.error());
  return out;
}

}  // namespace nostril::node
