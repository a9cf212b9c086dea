// Writes the events of ./scripts/bench sync: two files of JSON lines that have most in common.
//   nostril-bench-sync-events FOLDER EVENTS DIFFERENT
// Each side has EVENTS, and lacks DIFFERENT that the other one has. Signed, the same in every run.
#include "bench/relay/signed_events.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fputs("usage: nostril-bench-sync-events FOLDER EVENTS DIFFERENT\n", stderr);
    return 2;
  }
  const std::filesystem::path folder = argv[1];
  const std::size_t events = std::strtoull(argv[2], nullptr, 10);
  const std::size_t different = std::strtoull(argv[3], nullptr, 10);
  if (different == 0 || different > events) return 2;
  std::ofstream here(folder / "here.jsonl");
  std::ofstream there(folder / "there.jsonl");
  nostril::bench::SignedEvents made(500, 1'700'000'000);
  const std::size_t total = events + different;
  // Spread evenly: first one of each side, then what both have.
  const std::size_t gap = total / different;
  std::size_t pairs = 0;
  for (std::size_t i = 0; i < total; ++i) {
    const std::string line = nostril::to_json(made.next()) + "\n";
    const bool is_of_one = i % gap < 2 && pairs < 2 * different;
    if (is_of_one) ++pairs;
    if (!is_of_one || i % gap == 0) here << line;
    if (!is_of_one || i % gap == 1) there << line;
  }
  here.flush();
  there.flush();
  return here && there ? 0 : 1;
}
