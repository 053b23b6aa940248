#include "tests/support/model/computed_receipt.hpp"

#include "compute/forward/kv_digest.hpp"
#include "compute/forward/segment.hpp"
#include "compute/gguf/manifest.hpp"
#include "compute/text/sampler.hpp"

#include <stdexcept>

namespace ovir::test {

namespace {

using namespace compute;

template <class T>
T value_of(result<T> r) {
  if (!r) {
    throw std::runtime_error{r.error().message};
  }
  return std::move(r).value();
}

/// A model's layers, each a segment of its own, so that boundaries can be looked at and changed.
struct layer_walk {
  layer_walk(const model& m, std::uint32_t positions) : config(m.config) {
    serial_runner serial;
    leaves.resize(config.layers);
    for (layer_index l = 0; l < config.layers; ++l) {
      layers.push_back(value_of(segment::make(m, {l, l + 1}, kernels_reference(), serial)));
      states.push_back(value_of(layers.back()->open(positions, std::size_t{1} << 30U)));
      digests.emplace_back(layer_range{l, l + 1});
    }
  }

  /// Computes the next tokens, lies where it is told to, and leaves the last logits in `out`.
  void append(position first, std::span<const token_id> tokens,
              const std::optional<boundary_lie>& lie, std::vector<std::vector<float>>& boundaries) {
    serial_runner serial;
    step_input in;
    in.first = first;
    in.count = static_cast<std::uint32_t>(tokens.size());
    in.tokens = tokens;
    std::vector<float> rows;
    for (layer_index l = 0; l < config.layers; ++l) {
      in.boundary = rows;
      in.logit_rows = l + 1 == config.layers ? 1 : 0;
      if (const auto done = layers[l]->forward(states[l], in, serial, out); !done) {
        throw std::runtime_error{done.error().message};
      }
      in.tokens = {};
      rows = out.boundary;
      if (lie && lie->layer == l) {
        falsify(rows, first, *lie);
      }
      if (l + 1 < config.layers) {
        digests[l].add(l, first, in.count, rows, config.dim, leaves[l]);
        boundaries[l].insert(boundaries[l].end(), rows.begin(), rows.end());
      }
    }
  }

  void falsify(std::vector<float>& rows, position first, const boundary_lie& lie) const {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if ((first + i / config.dim) / limits::window_positions == lie.window) {
        rows[i] *= lie.factor;
      }
    }
  }

  digest output(layer_index l, const statement& s) {
    if (l + 1 == config.layers) {
      return kv_digest(states[l].kv, l, s.window, s.positions);
    }
    const std::vector<unit_leaf> open = digests[l].open_leaves();
    return s.window < leaves[l].size() ? leaves[l][s.window].boundary : open.front().boundary;
  }

  const model_config& config;
  std::vector<std::unique_ptr<segment>> layers;
  std::vector<segment_state> states;
  std::vector<unit_digests> digests;
  std::vector<std::vector<unit_leaf>> leaves;
  step_output out;
};

} // namespace

computed_receipt::computed_receipt(const receipt_maker& cast, const loaded_model& model,
                                   std::uint32_t prompt, std::uint32_t output,
                                   std::optional<boundary_lie> lie) {
  const model_config& config = model.get().config;
  r = cast.make({3, config.layers / 3, prompt, output, 17});
  r.asked.model = name_of(value_of(manifest_of(model.file())));
  r.asked.sampling = {};
  boundaries.resize(config.layers);
  layer_walk walk{model.get(), r.positions};
  std::vector<token_id> tokens = r.asked.prompt;
  std::vector<digest> logits;
  sampler draw{sampling_params{}};
  for (position first = 0; first < r.positions;) {
    const std::uint32_t count = first == 0 ? prompt : 1;
    walk.append(first, std::span{tokens}.subspan(first, count), lie, boundaries);
    first += count;
    logits.push_back(logits_digest(first - 1, walk.out.logits));
    tokens.push_back(draw.draw(walk.out.logits, tokens, first));
  }
  r.output.assign(tokens.begin() + prompt, tokens.end());
  std::size_t next = 0;
  for (std::size_t i = 0; i < r.stages.size(); ++i) {
    stage_records& stage = r.stages[i];
    for (statement& s : stage.statements) {
      for (std::size_t u = 0; u < s.units.size(); ++u) {
        const layer_index layer = stage.signer.layers.first + static_cast<layer_index>(u);
        s.units[u] = walk.output(layer, s);
        s.kv[u] = kv_digest(walk.states[layer].kv, layer, s.window, s.positions);
      }
      for (digest& d : s.logits) {
        d = logits[next++];
      }
    }
    cast.sign_link(r, i);
    cast.sign_stage(r, i);
  }
  cast.follow_statements(r);
  cast.close(r);
}

} // namespace ovir::test
