#pragma once

#include <pthread.h>

namespace nostril {

/// What `top -H`, `ps -T` and bench/ call the calling thread: 15 characters at most, longer names
/// are left out. Threads that it starts inherit it.
inline void name_this_thread(const char* name) {
  (void)pthread_setname_np(pthread_self(), name);
}

}  // namespace nostril
