#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace nostril::test {

/// Makes a store at `path` whose tables have one event and whose log has some more, judged at
/// `now_s`, as a relay leaves it that is killed; the lines of JSON of those in the log, in order.
/// All of them have expired since.
std::vector<std::string> leave_in_log(const std::string& path, std::int64_t now_s);

}  // namespace nostril::test
