#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace nostril::client {

/// What a line may be of a stream's end.
enum class Tail : std::uint8_t {
  No,
  Maybe,  ///< the end begins here if nothing but the end follows
  End,    ///< the end begins here
};

/// Holds back the end of a stream of lines, so that something can be said before it. All other
/// bytes pass, whole lines at a time, as they came. Lines end in LF; what `judge` gets has no LF
/// and no CR before it. Pure; one thread.
class TailHolder {
 public:
  using Judge = std::function<Tail(std::string_view line)>;

  /// A line may be as long; a longer one passes in parts, unjudged.
  static constexpr std::size_t kLineBytesMax = 4U << 20;

  explicit TailHolder(Judge judge) : judge_(std::move(judge)) {}

  /// The bytes that may be sent now.
  [[nodiscard]] std::string feed(std::string_view bytes);
  /// All that is held back.
  [[nodiscard]] std::string take();

 private:
  void on_line(std::string_view line, std::string& out);

  Judge judge_;
  std::string held_;  ///< whole lines, from the first that may be the end
  std::string line_;  ///< the present one, as far as it came
  bool ended_ = false;
  bool unjudged_ = false;  ///< the present line was too long
};

}  // namespace nostril::client
