#pragma once

#include <dlfcn.h>

#include <memory>
#include <string>
#include <utility>

namespace nostril::node {

/// A vendor's C library that this machine may have; loaded while this lives. What find() gave goes
/// with it. Threads: one.
class SharedLibrary {
 public:
  explicit SharedLibrary(const std::string& path)
      : handle_(dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) {}

  /// False: there is none at that path, or it can't be loaded.
  explicit operator bool() const { return handle_ != nullptr; }

  /// The function of that name, which must be of that type; nullptr: it has none.
  template <typename Function>
  [[nodiscard]] Function find(const char* name) const {
    return reinterpret_cast<Function>(dlsym(handle_.get(), name));
  }

 private:
  struct Closer {
    void operator()(void* handle) const { dlclose(handle); }
  };

  std::unique_ptr<void, Closer> handle_;
};

}  // namespace nostril::node
