#pragma once

#include "base/result.h"

#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

namespace nostril::client::cli {

/// The value, or its error thrown as std::runtime_error: what `main` prints.
template <typename T>
T must(Result<T, std::string> result) {
  if (!result) throw std::runtime_error(result.error());
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

}  // namespace nostril::client::cli
