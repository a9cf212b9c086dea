#include "node/form_body.h"

#include "base/bytes.h"
#include "base/check.h"

#include <cstddef>
#include <cstdint>
#include <string>

// Any bytes as a form: refused, or put together again from its parts it is the same form.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = nostril::as_text(nostril::ByteSpan(data, size));
  const auto form = nostril::node::parse_form_body(text);
  if (!form) return 0;
  const std::string delimiter = "--" + std::string(form->boundary);
  std::string again;
  for (const auto& part : form->parts) {
    again.append(delimiter).append("\r\n").append(part.raw).append("\r\n");
  }
  again.append(delimiter).append("--\r\n");
  CHECK(text == again || std::string(text) + "\r\n" == again);
  const auto second = nostril::node::parse_form_body(again);
  CHECK(second && second->parts.size() == form->parts.size());
  return 0;
}
