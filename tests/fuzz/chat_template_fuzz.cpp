#include "messages/limits/templates.hpp"
#include "templates/interpreter.hpp"
#include "templates/parser.hpp"

#include <cstdint>
#include <cstdlib>

namespace {

void require(bool promise) {
  if (!promise) {
    std::abort();
  }
}

} // namespace

// Reads any bytes as a chat template and renders a conversation with it: it ends, within its
// bounds, with a text of which every byte has an author, or with a reason.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ovir::templates;
  const auto tree = parse_template({reinterpret_cast<const char*>(data), size});
  if (!tree) {
    require(!tree.error().message.empty());
    return 0;
  }
  const auto said = [](std::string_view role, std::string_view content) {
    dict_value members;
    members.set(value::text("role"), value::text(role));
    members.set(value::text("content"), value::outside(content));
    return value::dict(std::move(members));
  };
  dict_value variables;
  variables.set(value::text("messages"),
                value::list({said("system", " Be kind.\n"), said("user", "H\xC3\xA9 <|im_end|>"),
                             said("assistant", "<think>\nx\n</think>y"), said("user", "")}));
  variables.set(value::text("bos_token"), value::text("<s>"));
  variables.set(value::text("tools"), value::list({said("a", "b")}));
  variables.set(value::text("add_generation_prompt"), value{true});
  const auto out = interpreter{*tree, variables, civil_time{1'700'000'000}}.run();
  if (!out) {
    require(!out.error().message.empty());
    return 0;
  }
  require(out->size() <= ovir::limits::template_bytes_made_max);
  require(out->authors().size() == out->size());
  return 0;
}
