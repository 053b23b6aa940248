#include "tests/swarm/tiny_model.hpp"

#include "actors/path/planner.hpp"
#include "actors/placement/placement_state.hpp"
#include "compute/forward/segment.hpp"
#include "compute/make/synth.hpp"
#include "tests/swarm/stand_in.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

namespace ovir::swarm {

namespace {

class shared_bytes final : public storage::mapped_file {
public:
  explicit shared_bytes(std::shared_ptr<const std::vector<std::byte>> bytes)
      : bytes_(std::move(bytes)) {}
  std::span<const std::byte> bytes() const noexcept override { return *bytes_; }

private:
  std::shared_ptr<const std::vector<std::byte>> bytes_;
};

std::vector<std::byte> made(width kept) {
  compute::synth_spec spec;
  spec.name = "tiny";
  spec.layers = tiny_model::layers;
  spec.dim = kept == width::wide ? 512 : 32;
  spec.ffn_dim = 32;
  spec.heads = kept == width::wide ? 8 : 2;
  spec.kv_heads = kept == width::wide ? 8 : 1;
  spec.vocabulary = tiny_model::vocabulary;
  spec.context = 512;
  spec.quantization = compute::synth_quantization::f16;
  std::vector<std::byte> out;
  const auto written = compute::write_synth(spec,
                                            [&out](std::span<const std::byte> bytes) {
                                              out.insert(out.end(), bytes.begin(), bytes.end());
                                              return result<void>{};
                                            },
                                            {});
  if (!written) {
    throw std::runtime_error(written.error().message);
  }
  return out;
}

result<std::shared_ptr<actors::catalog_model>>
load(const std::shared_ptr<const std::vector<std::byte>>& bytes,
     const std::shared_ptr<const compute::model_manifest>& manifest, const digest& id,
     layer_range held, const compute::kernel_set& kernels, compute::parallel_runner& runner) {
  auto model = std::make_shared<actors::catalog_model>();
  model->file = std::make_unique<shared_bytes>(bytes);
  OVIR_ASSIGN(model->metadata, compute::gguf::parse(model->file->bytes()));
  OVIR_ASSIGN(model->weights, compute::bind_model(model->metadata));
  if (held.size() > 0) {
    OVIR_TRY(compute::check_weights(model->weights, held, runner));
  }
  OVIR_ASSIGN(model->vocabulary, compute::tokenizer::make(model->metadata));
  model->id = id;
  model->name = "tiny";
  model->held = held;
  model->manifest = manifest;
  model->kernels = &kernels;
  model->prefill_chunk = 32;
  model->context = 256;
  model->path = tiny_model::path;
  const actors::model_shape shape = actors::shape_of(model->weights, model->prefill_chunk);
  model->held_bytes = held.size() == 0 ? 0 : actors::decode_bytes(shape, held) + shape.embedding;
  return model;
}

} // namespace

std::string_view to_string(arithmetic how) noexcept {
  return how == arithmetic::kernels ? "kernels" : "stand-in";
}

tiny_model::tiny_model(arithmetic how, width kept, bool counts)
    : kernels_(how == arithmetic::stand_in ? &kernels_stand_in(compute::isa::avx2)
                                           : compute::select_kernels(std::nullopt).value()),
      bytes_(std::make_shared<const std::vector<std::byte>>(made(kept))) {
  if (counts) {
    kernels_ = &kernels_counted(*kernels_);
  }
  let_stand_in(how == arithmetic::stand_in);
  const auto metadata = compute::gguf::parse(*bytes_).value();
  manifest_ = std::make_shared<const compute::model_manifest>(
      compute::manifest_of(metadata, [] {}).value());
  id_ = compute::name_of(*manifest_);
  compute::serial_runner runner;
  entry_ = load(bytes_, manifest_, id_, {0, layers}, *kernels_, runner).value();
  whole_ = compute::segment::make_checked(entry_->weights, {0, layers}, *kernels_).value();
}

supervision::model_loader tiny_model::loader(bool holds, bool lies) const {
  return [bytes = bytes_, manifest = manifest_, id = id_,
          kernels = lies ? &kernels_lying(*kernels_) : kernels_,
          holds](const std::string& /*path*/, std::optional<layer_range> wanted,
                 const std::shared_ptr<const compute::model_manifest>& /*fetched*/,
                 compute::parallel_runner& runner) {
    const layer_range held = holds ? wanted.value_or(layer_range{0, layers}) : layer_range{0, 0};
    return load(bytes, manifest, id, held, *kernels, runner);
  };
}

std::uint64_t tiny_model::memory_for(std::uint32_t held) const {
  const actors::placeable_model whole{id_, actors::shape_of(entry_->weights, entry_->prefill_chunk),
                                      entry_->context};
  actors::layer_marks marks(layers);
  std::fill(marks.begin(), marks.begin() + held, true);
  const std::uint64_t first = actors::bytes_of(whole, marks);
  std::reverse(marks.begin(), marks.end());
  return std::max(first, actors::bytes_of(whole, marks));
}

std::string tiny_model::text(const std::vector<token_id>& tokens) const {
  compute::text_stream stream{*entry_->vocabulary};
  std::string out;
  for (const token_id t : tokens) {
    out += stream.add(t);
  }
  return out + stream.finish();
}

bool tiny_model::ends(const std::vector<token_id>& tokens) const {
  return !tokens.empty() && entry_->vocabulary->ends_generation(tokens.back());
}

const std::vector<token_id>& tiny_model::answer(const wanted_answer& wanted) {
  std::string key = fmt::format("{} {} {} {}", wanted.sampling.seed, wanted.sampling.temperature,
                                wanted.sampling.top_k, wanted.max_tokens);
  for (const token_id t : wanted.prompt) {
    key += fmt::format(" {}", t);
  }
  const auto [at, fresh] = answers_.try_emplace(key);
  if (!fresh) {
    return at->second;
  }
  compute::serial_runner runner;
  auto state = whole_
                   ->open(static_cast<std::uint32_t>(wanted.prompt.size() + wanted.max_tokens),
                          std::size_t{1} << 28U)
                   .value();
  compute::sampler sampler{wanted.sampling};
  std::vector<token_id> history = wanted.prompt;
  std::vector<token_id> fed = wanted.prompt;
  compute::step_output out;
  position first = 0;
  while (at->second.size() < wanted.max_tokens) {
    compute::step_input in;
    in.first = first;
    in.count = static_cast<std::uint32_t>(fed.size());
    in.tokens = fed;
    in.logit_rows = 1;
    if (const auto done = whole_->forward(state, in, runner, out); !done) {
      throw std::runtime_error(done.error().message);
    }
    first += in.count;
    const token_id drawn = sampler.draw(out.logits, history, first);
    at->second.push_back(drawn);
    history.push_back(drawn);
    fed = {drawn};
    if (entry_->vocabulary->ends_generation(drawn)) {
      break;
    }
  }
  return at->second;
}

} // namespace ovir::swarm
