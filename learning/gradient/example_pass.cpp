#include "learning/gradient/example_pass.hpp"

#include "compute/forward/products.hpp"
#include "compute/tensor/quantized_rows.hpp"
#include "learning/gradient/workers.hpp"

#include <algorithm>

namespace ovir::learning {

using compute::grown;
using compute::model_config;

// Checks the examples, plans, and puts their embeddings into the stream.
result<void> example_pass::begin(std::span<const example* const> examples,
                                 compute::parallel_runner& runner) {
  const model_config& m = frozen_.config();
  sequences_.clear();
  std::uint64_t rows = 0;
  std::uint32_t longest = 0;
  for (const example* e : examples) {
    if (e->ids.size() < 2 || e->ids.size() > m.context || e->counts.size() != e->ids.size()) {
      return fail(errc::malformed, "an example has {} tokens; 2 to {} are taken", e->ids.size(),
                  m.context);
    }
    for (const token_id id : e->ids) {
      if (id >= m.vocabulary) {
        return fail(errc::malformed, "token {} is outside the model's vocabulary of {}", id,
                    m.vocabulary);
      }
    }
    sequences_.push_back({static_cast<std::uint32_t>(rows), e->rows()});
    rows += e->rows();
    longest = std::max(longest, e->rows());
  }
  OVIR_ASSIGN(plan_, plan_pass(m, adapter_.rank, rows, longest, runner.width(), bytes_max_));
  rows_ = rows;
  frozen_.rope.grow(longest);
  float* const x = grown(x_, stream_size());
  for (std::size_t i = 0; i < examples.size(); ++i) {
    for (std::uint32_t p = 0; p < sequences_[i].count; ++p) {
      compute::embed_row(frozen_.weights->token_embedding, examples[i]->ids[p],
                         x + (std::size_t{sequences_[i].first} + p) * m.dim);
    }
  }
  return {};
}

// All layers, keeping what the plan says.
result<void> example_pass::ahead(compute::parallel_runner& runner) {
  const layer_index layers = frozen_.config().layers;
  tapes_.resize(std::max<std::size_t>(tapes_.size(), plan_.tapes));
  const layer_index below = first_taped();
  streams_.resize((below + plan_.stride - 1) / plan_.stride);
  for (layer_index l = 0; l < layers; ++l) {
    if (l < below && l % plan_.stride == 0) {
      streams_[l / plan_.stride].assign(x_.data(), x_.data() + stream_size());
    }
    layer_tape& tape = l < below ? scratch_ : tapes_[l - below];
    OVIR_TRY(forward_.run(l, sequences_, x_.data(), rows_, tape, runner));
  }
  return {};
}

result<std::vector<double>> example_pass::end(std::span<const example* const> examples, float* dx,
                                              compute::parallel_runner& runner) {
  std::vector<counted_row> wanted;
  for (std::size_t i = 0; i < examples.size(); ++i) {
    for (std::uint32_t p = 0; p < sequences_[i].count; ++p) {
      if (examples[i]->counts[p + 1] != 0) {
        wanted.push_back({sequences_[i].first + p, examples[i]->ids[p + 1]});
      }
    }
  }
  OVIR_ASSIGN(const std::vector<double> each,
              head_.run({x_.data(), stream_size()}, wanted, dx, runner));
  std::vector<double> sums(examples.size());
  std::size_t at = 0;
  for (std::size_t i = 0; i < examples.size(); ++i) {
    for (std::uint32_t n = examples[i]->counted(); n > 0; --n) {
      sums[i] += each[at++];
    }
  }
  return sums;
}

result<std::vector<double>> example_pass::losses(std::span<const example* const> examples,
                                                 compute::parallel_runner& runner) {
  OVIR_TRY(begin(examples, runner));
  for (layer_index l = 0; l < frozen_.config().layers; ++l) {
    OVIR_TRY(forward_.run(l, sequences_, x_.data(), rows_, scratch_, runner));
  }
  return end(examples, nullptr, runner);
}

// Layers [first, last), whose tapes were not kept, from the stream before the first.
result<void> example_pass::back_again(layer_index first, layer_index last, lora_numbers& into,
                                      compute::parallel_runner& runner) {
  restored_.resize(std::max<std::size_t>(restored_.size(), last - first));
  restored_[0].swap(streams_[first / plan_.stride]);
  for (layer_index l = first; l + 1 < last; ++l) {
    restored_[l + 1 - first] = restored_[l - first];
    OVIR_TRY(forward_.run(l, sequences_, restored_[l + 1 - first].data(), rows_, scratch_, runner));
  }
  for (layer_index l = last; l-- > first;) {
    OVIR_TRY(forward_.run(l, sequences_, restored_[l - first].data(), rows_, scratch_, runner));
    OVIR_TRY(backward_.run(l, sequences_, scratch_, dx_.data(), rows_, l == 0, into, runner));
  }
  return {};
}

result<void> example_pass::back(lora_numbers& into, compute::parallel_runner& runner) {
  const layer_index below = first_taped();
  for (layer_index l = frozen_.config().layers; l-- > below;) {
    OVIR_TRY(
        backward_.run(l, sequences_, tapes_[l - below], dx_.data(), rows_, l == 0, into, runner));
  }
  for (std::size_t group = streams_.size(); group-- > 0;) {
    const auto first = static_cast<layer_index>(group * plan_.stride);
    OVIR_TRY(back_again(first, std::min(below, first + plan_.stride), into, runner));
  }
  return {};
}

result<std::vector<double>> example_pass::gradients(std::span<const example* const> examples,
                                                    lora_numbers& into,
                                                    compute::parallel_runner& runner) {
  OVIR_TRY(begin(examples, runner));
  OVIR_TRY(ahead(runner));
  std::fill_n(grown(dx_, stream_size()), stream_size(), 0.0F);
  OVIR_ASSIGN(std::vector<double> sums, end(examples, dx_.data(), runner));
  OVIR_TRY(back(into, runner));
  return sums;
}

} // namespace ovir::learning
