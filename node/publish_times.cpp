#include "node/publish_times.h"

#include "base/log.h"

#include <algorithm>
#include <fstream>
#include <utility>

namespace nostril::node {

PublishTimes::PublishTimes(std::filesystem::path file, Clock& clock)
    : file_(std::move(file)), clock_(clock) {
  std::ifstream in(file_);
  std::int64_t kept = 0;
  if (in >> kept && kept <= clock_.unix_s() + kAheadSMax) last_ = kept;
}

std::int64_t PublishTimes::next() {
  last_ = std::max(clock_.unix_s(), last_ + 1);
  std::ofstream out(file_, std::ios::trunc);
  out << last_ << '\n';
  if (!out.flush() && !std::exchange(told_, true)) {
    log(LogLevel::Warning, "{} can't be written: an offer after a quick restart may be overlooked",
        public_text(file_.string()));
  }
  return last_;
}

}  // namespace nostril::node
