#include "net/tls_error.h"

#include <openssl/err.h>

#include <array>

namespace nostril::net {

std::string take_tls_error(std::string_view otherwise) {
  std::array<char, 256> text{};
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) return std::string(otherwise);
  ERR_error_string_n(code, text.data(), text.size());
  return text.data();
}

}  // namespace nostril::net
