// Any bytes as an adapter and as a checkpoint of a training: what is accepted is written and read
// again as the same. And as an adapter beside a model: what is accepted has its base's manifest in
// its own, and pairs of the shapes of the model's matrices.
#include "compute/gguf/join_adapter.hpp"
#include "compute/gguf/manifest.hpp"
#include "compute/model/lora.hpp"
#include "learning/adapter/adapter_file.hpp"
#include "learning/training/state_file.hpp"
#include "messages/check.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "tests/support/model/loaded_model.hpp"

#include <cstdint>
#include <span>

namespace {

using namespace ovir::learning;

void check_adapter(std::span<const std::byte> bytes) {
  const auto read = adapter_from(bytes);
  if (!read) {
    OVIR_CHECK(!read.error().message.empty());
    return;
  }
  for_each_pair(read->is.numbers, [&](std::size_t, std::size_t, const lora_pair& pair) {
    OVIR_CHECK(pair.a.size() % read->is.rank == 0 && pair.b.size() % read->is.rank == 0);
  });
  const std::string again = to_file(read->is, read->from);
  const auto second = adapter_from(std::as_bytes(std::span{again}));
  OVIR_CHECK(second.has_value());
  OVIR_CHECK(second->is == read->is && second->from == read->from);
}

void check_state(std::span<const std::byte> bytes) {
  const auto read = state_from(bytes);
  if (!read) {
    OVIR_CHECK(!read.error().message.empty());
    return;
  }
  const std::string again = to_file(*read);
  const auto second = state_from(std::as_bytes(std::span{again}));
  OVIR_CHECK(second.has_value());
  OVIR_CHECK(to_file(*second) == again);
}

/// Two layers of the width that the corpus's adapters have.
const ovir::test::loaded_model& base() {
  static const ovir::test::loaded_model one = [] {
    ovir::compute::synth_spec spec;
    spec.dim = 64;
    spec.ffn_dim = 96;
    spec.vocabulary = ovir::compute::synth_vocabulary_min;
    spec.layers = 2;
    spec.quantization = ovir::compute::synth_quantization::q8_0;
    return ovir::test::loaded_model{ovir::test::synthetic_model(spec)};
  }();
  return one;
}

void check_beside_a_model(std::span<const std::byte> bytes) {
  using namespace ovir::compute;
  auto pairs = gguf::parse(bytes);
  if (!pairs) {
    return;
  }
  const auto both = join_adapter(base().file(), std::move(*pairs));
  if (!both) {
    OVIR_CHECK(!both.error().message.empty());
    return;
  }
  const auto bound = bind_model(*both);
  if (!bound) {
    OVIR_CHECK(!bound.error().message.empty());
    return;
  }
  OVIR_CHECK(bound->lora != nullptr && bound->lora->layers.size() == bound->layers.size());
  for (std::size_t l = 0; l < bound->layers.size(); ++l) {
    for (std::size_t place = 0; place < lora_targets.size(); ++place) {
      const lora_matrices& pair = bound->lora->layers[l][place];
      const weight& beside = bound->layers[l].*lora_targets[place].member;
      OVIR_CHECK(pair.empty() || (pair.a.cols == beside.cols && pair.b.rows == beside.rows &&
                                  pair.a.rows == pair.b.cols));
    }
  }
  (void)check_lora(*bound->lora, {0, 2});
  const auto manifest = manifest_of(*both);
  OVIR_CHECK(manifest && has_adapter(*manifest));
  OVIR_CHECK(base_of(*manifest).value() == manifest_of(base().file()).value());
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span{data, size});
  check_adapter(bytes);
  check_state(bytes);
  check_beside_a_model(bytes);
  return 0;
}
