#include "tests/support/cluster/lying_path.hpp"

#include "compute/forward/kv_digest.hpp"
#include "compute/kernels/kernels.hpp"
#include "compute/text/sampler.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "tests/support/model/loaded_model.hpp"

#include <algorithm>
#include <stdexcept>

namespace ovir::test {

namespace {

constexpr std::uint32_t window_size = limits::window_positions;

compute::synth_spec spec_of(std::uint64_t seed, compute::synth_quantization quantization) {
  compute::synth_spec spec;
  spec.layers = lying_path::layers;
  spec.dim = 32;
  spec.ffn_dim = 64;
  spec.heads = 2;
  spec.kv_heads = 1;
  spec.vocabulary = 300;
  spec.seed = seed;
  spec.quantization = quantization;
  return spec;
}

struct checked_model {
  loaded_model file;
  compute::model weights;

  checked_model(std::uint64_t seed, compute::synth_quantization quantization)
      : file(synthetic_model(spec_of(seed, quantization))), weights(file.get()) {
    compute::serial_runner runner;
    if (!compute::check_weights(weights, {0, lying_path::layers}, runner)) {
      throw std::runtime_error{"the test's model is none"};
    }
  }
};

template <class T>
T sure(result<T> value) {
  if (!value) {
    throw std::runtime_error{value.error().message};
  }
  return std::move(*value);
}

} // namespace

struct lying_path::models {
  checked_model right{5, compute::synth_quantization::q8_0};
  checked_model other{6, compute::synth_quantization::q8_0};
  checked_model coarse{5, compute::synth_quantization::q4_0};
};

namespace {

/// One layer at a time, so that a lie can stand between any two.
class layer_by_layer {
public:
  layer_by_layer(const std::vector<const compute::model*>& of, const told_lie& how) : how_(how) {
    for (layer_index l = 0; l < lying_path::layers; ++l) {
      layers_.push_back(
          sure(compute::segment::make_checked(*of[l], {l, l + 1}, compute::kernels_reference())));
      states_.push_back(sure(layers_.back()->open(lying_path::positions, std::size_t{1} << 24U)));
      digests_.emplace_back(layer_range{l, l + 1});
    }
  }

  /// Logits of the last position.
  std::vector<float> step(std::span<const token_id> tokens, position first) {
    const auto count = static_cast<std::uint32_t>(tokens.size());
    std::vector<float> rows;
    for (layer_index l = 0; l < lying_path::layers; ++l) {
      compute::step_input in{.first = first, .count = count};
      const std::vector<float> before = rows;
      in.tokens = l == 0 ? tokens : std::span<const token_id>{};
      stale(rows, l, first);
      in.boundary = rows;
      in.logit_rows = l + 1 == lying_path::layers ? 1 : 0;
      const auto done = layers_[l]->forward(states_[l], in, runner_, out_);
      if (!done) {
        throw std::runtime_error{done.error().message};
      }
      if (l + 1 < lying_path::layers) {
        rows = out_.boundary;
        change(rows, before, l, first);
        digests_[l].add(l, first, count, rows, dim(), leaves_);
      }
      before_.resize(lying_path::layers);
      if (!before.empty()) {
        before_[l].assign(before.end() - dim(), before.end());
      }
    }
    if (how_.how == lie::wrong_logits && first + count - 1 == how_.from) {
      out_.logits[3] += 9.0F;
    }
    return out_.logits;
  }

  std::vector<compute::unit_leaf> leaves() {
    std::vector<compute::unit_leaf> all = leaves_;
    for (const auto& one : digests_) {
      const auto open = one.open_leaves();
      all.insert(all.end(), open.begin(), open.end());
    }
    return all;
  }
  digest kv(layer_index layer, std::uint32_t window, std::uint32_t count) {
    return compute::kv_digest(states_[layer].kv, layer, window, count);
  }

private:
  [[nodiscard]] std::uint32_t dim() const { return layers_.front()->config().dim; }

  void stale(std::vector<float>& rows, layer_index l, position first) {
    const bool here = how_.how == lie::stale_kv && l == how_.layer && how_.from >= first &&
                      how_.from < first + rows.size() / dim();
    if (!here) {
      return;
    }
    float* const row = rows.data() + std::size_t{how_.from - first} * dim();
    const float* const previous = how_.from > first ? row - dim() : before_[l].data();
    std::copy_n(previous, dim(), row);
  }

  void change(std::vector<float>& rows, const std::vector<float>& before, layer_index l,
              position first) {
    const bool exits =
        how_.how == lie::early_exit && l > how_.layer && l % 3 != 0 && l / 3 == how_.layer / 3;
    if (l != how_.layer && !exits) {
      return;
    }
    const auto count = static_cast<position>(rows.size() / dim());
    for (position p = std::max(first, how_.from); p < first + count; ++p) {
      float* const row = rows.data() + std::size_t{p - first} * dim();
      if (how_.how == lie::wrong_output && p == how_.from) {
        row[7] += 0.25F;
      } else if (how_.how == lie::scaled) {
        std::transform(row, row + dim(), row, [](float v) { return v * 1.001F; });
      } else if (how_.how == lie::skipped_layer || exits) {
        std::copy_n(before.data() + std::size_t{p - first} * dim(), dim(), row);
      } else if (how_.how == lie::swapped_positions && p == how_.from) {
        if (p > first) {
          std::swap_ranges(row, row + dim(), row - dim());
        } else {
          std::reverse(row, row + dim()); // its neighbour is gone already
        }
      }
    }
  }

  told_lie how_;
  compute::serial_runner runner_;
  std::vector<std::unique_ptr<compute::segment>> layers_;
  std::vector<compute::segment_state> states_;
  std::vector<compute::unit_digests> digests_;
  std::vector<std::vector<float>> before_; ///< per layer, the last row that came in
  std::vector<compute::unit_leaf> leaves_;
  compute::step_output out_;
};

receipt asked_for() {
  receipt r;
  r.asked.request = request_id{4711};
  r.asked.profile = compute::profile_name;
  r.asked.model = hasher{"ovir/test/model"}.finish();
  r.asked.layers = lying_path::layers;
  r.asked.max_tokens = lying_path::output;
  for (token_id i = 0; i < lying_path::prompt; ++i) {
    r.asked.prompt.push_back(3 + i * 7 % 250);
  }
  r.positions = lying_path::positions;
  return r;
}

} // namespace

lying_path::lying_path() : models_(std::make_shared<const models>()) {}

const compute::model& lying_path::weights() const { return models_->right.weights; }

void lying_path::sign_all(receipt& r) const {
  for (std::size_t i = 0; i < r.stages.size(); ++i) {
    cast_.sign_link(r, i);
    cast_.sign_stage(r, i);
  }
  cast_.follow_statements(r);
  cast_.close(r);
}

receipt lying_path::make(const told_lie& how) const {
  std::vector<const compute::model*> used(layers, &models_->right.weights);
  if (how.how == lie::smaller_model) {
    used[how.layer] = &models_->other.weights;
  } else if (how.how == lie::lower_quantisation) {
    used[how.layer] = &models_->coarse.weights;
  }
  receipt r = asked_for();
  layer_by_layer path{used, how};
  std::map<position, stated_draw> logits;
  std::vector<token_id> tokens = r.asked.prompt;
  position done = 0;
  while (r.output.size() < output) {
    const auto rows = path.step(std::span{tokens}.subspan(done), done);
    done = static_cast<position>(tokens.size());
    token_id next = compute::highest_of(rows);
    const bool sampled = how.how == lie::wrong_sampling;
    if ((sampled || how.how == lie::wrong_choice) && done - 1 == how.from) {
      next = (next + 1) % 300;
    }
    logits[done - 1] = {compute::logits_digest(done - 1, rows),
                        sampled ? std::nullopt : std::optional{next}};
    tokens.push_back(next);
    r.output.push_back(next);
  }
  std::map<compute::unit_name, digest> units;
  for (const auto& leaf : path.leaves()) {
    units[leaf.unit] = leaf.boundary;
  }
  if (how.how == lie::uncomputed_claim) {
    units[{how.from / window_size, how.layer}] = hasher{"ovir/test/claim"}.finish();
  }
  r.lead = {{}, cast_.id(receipt_maker::lead), "ovir test"};
  for (std::uint32_t i = 0; i < 3; ++i) {
    stage_records stage;
    stage.signer = {{3 * i, 3 * i + 3}, cast_.id(i), "ovir test"};
    stage.commitments = {{0, windows_of(positions), 0, 1'800'000'000, {}}};
    for (std::uint32_t w = 0; w < windows_of(positions); ++w) {
      statement s;
      s.window = w;
      s.positions = positions_of(w, positions);
      for (layer_index l = 3 * i; l < 3 * i + 3; ++l) {
        s.kv.push_back(path.kv(l, w, s.positions));
        s.units.push_back(l + 1 == layers ? s.kv.back() : units.at({w, l}));
        if (how.how == lie::wrong_kv && l == how.layer && w == how.from / window_size) {
          s.kv.back() = hasher{"ovir/test/kv"}.finish();
        }
      }
      for (auto at = logits.lower_bound(w * window_size);
           i == 2 && at != logits.end() && at->first < w * window_size + s.positions; ++at) {
        s.first_draw = s.logits.empty() ? at->first : s.first_draw;
        s.logits.push_back(at->second.logits);
        if (at->second.choice) {
          s.choices.push_back(*at->second.choice);
        }
      }
      stage.statements.push_back(std::move(s));
    }
    r.stages.push_back(std::move(stage));
  }
  sign_all(r);
  return r;
}

} // namespace ovir::test
