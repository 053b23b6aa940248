#include "actors/operator/admin_json_actor.hpp"
#include "messages/limits/general.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>

namespace {

void require(bool promise) {
  if (!promise) {
    std::abort();
  }
}

std::size_t containers_in(const nlohmann::json& value) {
  std::size_t count = value.is_structured() ? 1 : 0;
  if (value.is_structured()) {
    for (const auto& item : value) {
      count += containers_in(item);
    }
  }
  return count;
}

} // namespace

// Reads any bytes as a shell's command. What is accepted has an id and arguments within their
// bounds, and reads the same when it is written again; the readers of arguments take whatever they
// find there.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ovir::actors;
  const auto parsed = parse_command({reinterpret_cast<const char*>(data), size});
  if (!parsed) {
    require(!parsed.error().message.empty());
    return 0;
  }
  require(parsed->id > 0 && parsed->id < std::uint64_t{1} << 53U && parsed->args.is_object());
  require(containers_in(parsed->args) < ovir::limits::admin_containers_max);
  const json again{{"id", parsed->id}, {"command", parsed->name}, {"args", parsed->args}};
  const auto reread = parse_command(again.dump());
  require(reread && reread->args == parsed->args && reread->name == parsed->name);
  admin_arguments args{parsed->args};
  (void)args.whole("n", 1, 10, {});
  (void)args.number("temperature", 0);
  (void)args.text("prompt");
  (void)args.boolean("wait", true);
  (void)args.texts("stop", 4);
  const auto ids = args.tokens("tokens");
  require(!ids || std::all_of(ids->begin(), ids->end(),
                              [](ovir::token_id id) { return id < ovir::limits::vocabulary_max; }));
  (void)args.request();
  (void)args.done();
  return 0;
}
