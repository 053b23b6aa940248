// Windows taken out of segments cut one way and put into segments cut another way: everything
// computed behind them, every leaf included, is what it would be had nothing been reused.
#include "compute/forward/kv_block.hpp"
#include "compute/forward/prefix.hpp"
#include "compute/forward/segment.hpp"
#include "compute/make/synth.hpp"
#include "messages/limits/general.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "tests/support/model/kv_blocks.hpp"
#include "tests/support/model/loaded_model.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <random>

namespace ovir::compute {
namespace {

constexpr std::uint32_t positions = 150;

using blocks = std::map<unit_name, kv_block>;

/// A model in segments, one behind the other, with the leaves they stated.
class chain {
public:
  chain(const model& m, std::vector<layer_index> cuts) {
    cuts.insert(cuts.begin(), 0);
    cuts.push_back(m.config.layers);
    for (std::size_t i = 0; i + 1 < cuts.size(); ++i) {
      parts_.push_back(
          segment::make(m, {cuts[i], cuts[i + 1]}, kernels_reference(), runner_).value());
      states_.push_back(parts_.back()->open(positions, 1U << 26U).value());
    }
  }

  void reuse(const blocks& kept, std::uint32_t windows) {
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      const layer_range layers = parts_[i]->layers();
      for (std::uint32_t w = 0; w < windows; ++w) {
        for (layer_index l = layers.first; l < layers.last; ++l) {
          const kv_block& block = kept.at({w, l});
          block.copy_to(states_[i].kv);
          if (l + 1 < parts_[i]->config().layers) {
            leaves.push_back({{w, l}, limits::window_positions, block.header().output});
          }
        }
      }
      states_[i].resume_at(windows);
    }
    at_ = windows * limits::window_positions;
  }

  void compute(std::span<const token_id> ids, std::uint32_t chunk) {
    while (at_ < ids.size()) {
      const auto n = static_cast<std::uint32_t>(std::min<std::size_t>(chunk, ids.size() - at_));
      std::vector<float> boundary;
      step_output out;
      for (std::size_t i = 0; i < parts_.size(); ++i) {
        step_input in{.first = at_, .count = n};
        if (i == 0) {
          in.tokens = ids.subspan(at_, n);
        } else {
          in.boundary = boundary;
        }
        in.logit_rows = i + 1 == parts_.size() ? 1 : 0;
        const auto done = parts_[i]->forward(states_[i], in, runner_, out);
        ASSERT_TRUE(done) << done.error().message;
        leaves.insert(leaves.end(), out.leaves.begin(), out.leaves.end());
        boundary = out.boundary;
      }
      logits = out.logits;
      at_ += n;
    }
  }

  [[nodiscard]] blocks take_out(const std::vector<digest>& prefixes) {
    blocks out;
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      const layer_range layers = parts_[i]->layers();
      for (std::uint32_t w = 0; w < prefixes.size(); ++w) {
        for (layer_index l = layers.first; l < layers.last; ++l) {
          const auto leaf = std::find_if(leaves.begin(), leaves.end(), [&](const unit_leaf& x) {
            return x.unit == unit_name{w, l};
          });
          const digest* const output = leaf == leaves.end() ? nullptr : &leaf->boundary;
          out.emplace(
              unit_name{w, l},
              kv_block::decode(test::share(test::kv_bytes(states_[i].kv, l, w,
                                                          unit_key({}, l, prefixes[w]), output)))
                  .value());
        }
      }
    }
    return out;
  }

  [[nodiscard]] std::vector<unit_leaf> all_leaves() const {
    std::vector<unit_leaf> all = leaves;
    for (const segment_state& state : states_) {
      const auto open = state.units.open_leaves();
      all.insert(all.end(), open.begin(), open.end());
    }
    std::sort(all.begin(), all.end(),
              [](const unit_leaf& a, const unit_leaf& b) { return a.unit < b.unit; });
    return all;
  }

  std::vector<unit_leaf> leaves;
  std::vector<float> logits;

private:
  serial_runner runner_;
  std::vector<std::unique_ptr<segment>> parts_;
  std::vector<segment_state> states_;
  position at_{0};
};

std::uint32_t seed() {
  const char* const wanted = std::getenv("OVIR_SEED");
  return wanted != nullptr ? static_cast<std::uint32_t>(std::strtoul(wanted, nullptr, 10)) : 3;
}

std::vector<layer_index> any_cuts(std::mt19937& random, std::uint32_t layers) {
  std::vector<layer_index> cuts;
  for (layer_index l = 1; l < layers; ++l) {
    if (random() % 3 == 0) {
      cuts.push_back(l);
    }
  }
  return cuts;
}

TEST(prefix_reuse, leaves_no_trace_whatever_the_cuts_and_however_much_is_reused) {
  RecordProperty("seed", std::to_string(seed()));
  std::mt19937 random{seed()};
  synth_spec spec;
  spec.layers = 5;
  spec.dim = 32;
  spec.ffn_dim = 64;
  spec.heads = 2;
  spec.kv_heads = 1;
  spec.vocabulary = 300;
  spec.quantization = synth_quantization::q8_0;
  const test::loaded_model m{test::synthetic_model(spec)};
  const std::uint32_t layers = m.get().config.layers;
  for (int round = 0; round < 6; ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    std::vector<token_id> ids(100 + random() % 50);
    std::generate(ids.begin(), ids.end(), [&] { return random() % 200; });
    prefix_chain names;
    names.add(ids);
    chain whole{m.get(), any_cuts(random, layers)};
    whole.compute(ids, static_cast<std::uint32_t>(1 + random() % 60));
    const blocks kept = whole.take_out(names.windows());
    EXPECT_EQ(kept.size(), names.windows().size() * layers);
    for (std::uint32_t windows = 0; windows <= (ids.size() - 1) / 32; ++windows) {
      chain partly{m.get(), any_cuts(random, layers)};
      partly.reuse(kept, windows);
      partly.compute(ids, static_cast<std::uint32_t>(1 + random() % 60));
      EXPECT_EQ(partly.logits, whole.logits);
      EXPECT_EQ(partly.all_leaves(), whole.all_leaves());
      // What it would keep in turn is the same, byte for byte.
      for (const auto& [name, block] : partly.take_out(names.windows())) {
        EXPECT_EQ(*block.bytes(), *kept.at(name).bytes());
      }
    }
  }
}

} // namespace
} // namespace ovir::compute
