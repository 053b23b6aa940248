#include "gateway/http/multipart.hpp"
#include "messages/limits/batches.hpp"

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

// Reads any bytes as a form: the first line is its type, the rest its body. Parts of what is
// accepted lie in the body, in order and apart, and none has the boundary in it.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ovir;
  const std::string_view all{reinterpret_cast<const char*>(data), size};
  const std::size_t end = all.find('\n');
  const std::string_view type = all.substr(0, end);
  const std::string_view body = end == all.npos ? std::string_view{} : all.substr(end + 1);
  const auto parts = gateway::parse_form(type, body);
  if (!parts) {
    if (parts.error().message.empty()) {
      std::abort();
    }
    return 0;
  }
  const char* from = body.data();
  for (const gateway::form_part& part : *parts) {
    const char* const last = part.bytes.data() + part.bytes.size();
    if (part.name.empty() || part.bytes.data() < from || last > body.data() + body.size()) {
      std::abort();
    }
    from = last;
  }
  if (parts->size() > limits::form_parts_max) {
    std::abort();
  }
  return 0;
}
