// What logs can't be given. Each case is one mistake; case 0 is the right way.
// case 1: no matching function|constraints not satisfied
// case 2: no matching function|constraints not satisfied
// case 3: no matching function|constraints not satisfied
// case 4: no matching function|constraints not satisfied
// case 5: no matching function|constraints not satisfied
// case 6: invalid initialization|no viable conversion
// case 7: is private|private constructor
#include "base/bytes.h"
#include "base/log.h"

enum class Kind : unsigned char { Chat };

std::string_view to_string(Kind /*kind*/) {
  return "chat";
}

void use(const std::string& prompt, std::string_view answer, const nostril::Bytes& body) {
  using nostril::LogLevel;
#if CASE == 0
  nostril::log(LogLevel::Info, "{} of {} and {} bytes, {}", Kind::Chat, prompt.size(),
               answer.size() + body.size(), nostril::public_text("done"));
#elif CASE == 1
  nostril::log(LogLevel::Info, "{}", prompt);
#elif CASE == 2
  nostril::log(LogLevel::Info, "{}", answer);
#elif CASE == 3
  nostril::log(LogLevel::Info, "{}", body);
#elif CASE == 4
  nostril::log(LogLevel::Info, "{}", prompt.c_str());
#elif CASE == 5
  nostril::log(LogLevel::Info, "{}", prompt[0]);
#elif CASE == 6
  nostril::log_line(LogLevel::Info, prompt);
#elif CASE == 7
  const nostril::LogText text(prompt);
#endif
}
