// Everything that is done with a model file before a token is computed: parse, inspect, read the
// configuration, bind, check the weights. Must neither crash nor take long nor need much memory,
// and what it accepts must really be inside the input.
#include "compute/gguf/inspect.hpp"
#include "compute/model/model.hpp"
#include "messages/check.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace {

using namespace ovir::compute;

void check_inside(std::span<const std::byte> file, const weight& w) {
  const std::size_t bytes = std::size_t{w.rows} * w.row_bytes();
  const auto offset = static_cast<std::size_t>(w.data - file.data());
  OVIR_CHECK(offset <= file.size() && bytes <= file.size() - offset, offset, bytes, file.size());
}

void check_copies(const gguf& file) {
  for (const gguf_entry& entry : file.entries()) {
    if (const auto* array = std::get_if<gguf_array>(&entry.value)) {
      const auto strings = strings_of(*array);
      OVIR_CHECK(!strings || strings->size() == array->count);
      static_cast<void>(floats_of(*array));
      static_cast<void>(integers_of(*array));
    }
    OVIR_CHECK(file.find(entry.key) == &entry);
  }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span{data, size});
  const auto file = gguf::parse(bytes);
  if (!file) {
    OVIR_CHECK(!file.error().message.empty());
    return 0;
  }
  OVIR_CHECK(!inspect_table(*file).empty());
  check_copies(*file);
  auto m = bind_model(*file);
  if (!m) {
    return 0;
  }
  serial_runner runner;
  for (const layer_weights& layer : m->layers) {
    for_each_product(
        layer, [&](std::string_view, const weight& w, std::uint32_t) { check_inside(bytes, w); });
  }
  check_inside(bytes, m->token_embedding);
  check_inside(bytes, m->output);
  static_cast<void>(check_weights(*m, {0, m->config.layers}, runner));
  return 0;
}
