#pragma once

#include "events/event.h"

#include <memory>
#include <mutex>
#include <string>

namespace nostril::relay {

/// The JSON text of one event, made by the first who needs it and then common to all: an event that
/// nobody is subscribed to costs none. Threads: any.
class EventText {
 public:
  /// Always with the same event.
  [[nodiscard]] const std::shared_ptr<const std::string>& of(const Event& event) const {
    std::call_once(made_, [&] { text_ = std::make_shared<const std::string>(to_json(event)); });
    return text_;
  }

 private:
  mutable std::once_flag made_;
  mutable std::shared_ptr<const std::string> text_;
};

}  // namespace nostril::relay
