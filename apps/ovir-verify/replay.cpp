#include "apps/ovir-verify/replay.hpp"

#include "compute/forward/kv_digest.hpp"
#include "compute/forward/segment.hpp"
#include "compute/gguf/manifest.hpp"
#include "messages/limits/general.hpp"

#include <algorithm>
#include <limits>
#include <map>

namespace ovir::apps {

namespace {

constexpr std::uint32_t chunk_positions = 2 * limits::window_positions;

using leaf_map = std::map<compute::unit_name, compute::unit_leaf>;

std::optional<failure> compare_unit(const leaf_map& stated, const compute::unit_leaf& computed) {
  const auto found = stated.find(computed.unit);
  if (found != stated.end() && found->second == computed) {
    return std::nullopt;
  }
  return failure{
      fmt::format("layer {} over window {}: the boundary stated is {}, computed again {}",
                  computed.unit.layer, computed.unit.window,
                  found == stated.end() ? "missing" : to_hex(found->second.boundary),
                  to_hex(computed.boundary)),
      computed.unit, std::nullopt};
}

// Checks the logits of each position of a chunk and the token drawn from them.
std::optional<failure> compare_draws(const transcript_file& file, std::span<const token_id> tokens,
                                     position first, std::span<const float> rows,
                                     std::uint32_t vocabulary, compute::sampler& sampler,
                                     compute::token_matcher* matcher) {
  for (position p = first; !rows.empty() && p + 1 < tokens.size();
       ++p, rows = rows.subspan(vocabulary)) {
    const std::span<const float> logits = rows.first(vocabulary);
    const auto output = tokens.first(p + 1).subspan(file.prompt.size());
    const digest& stated = file.logits[p + 1 - file.prompt.size()].second;
    if (const digest computed = compute::logits_digest(p, logits); computed != stated) {
      return failure{fmt::format("position {}: the logits stated are {}, computed again {}", p,
                                 to_hex(stated), to_hex(computed)),
                     std::nullopt, p, true};
    }
    compute::token_mask allowed;
    if (matcher != nullptr) {
      const auto found = matcher->allowed(output);
      if (!found) {
        return failure{fmt::format("the tokens up to position {} do not keep to the constraint", p),
                       std::nullopt, p};
      }
      allowed = *found;
    }
    const token_id drawn = sampler.draw(logits, tokens.first(p + 1), p + 1, allowed, output);
    if (drawn != tokens[p + 1]) {
      return failure{fmt::format("position {}: the token stated is {}, the logits and the sampling "
                                 "parameters give {}",
                                 p + 1, tokens[p + 1], drawn),
                     std::nullopt, p + 1};
    }
  }
  return std::nullopt;
}

// The K and V of the model's last layer, where they are stated, over windows that are complete by
// `end` and were not by `first`, or are the last.
std::optional<failure> compare_last_layer(const transcript_file& file,
                                          compute::segment_state& state,
                                          const compute::model_config& config, position first,
                                          position end) {
  constexpr std::uint32_t window = limits::window_positions;
  for (std::uint32_t w = first / window; w * window < end && w < file.last_layer.size(); ++w) {
    const std::uint32_t positions = std::min(file.positions - w * window, window);
    if (w * window + positions > end) {
      break;
    }
    const layer_index layer = config.layers - 1;
    const digest computed = compute::kv_digest(state.kv, layer, w, positions);
    if (computed != file.last_layer[w]) {
      return failure{fmt::format("layer {} over window {}: the K and V stated are {}, computed "
                                 "again {}",
                                 layer, w, to_hex(file.last_layer[w]), to_hex(computed)),
                     compute::unit_name{w, layer}, std::nullopt};
    }
  }
  return std::nullopt;
}

// A transcript file names a model by its file, a receipt by its manifest.
result<digest> digest_of(const ready_model& model, bool by_name) {
  if (!by_name) {
    return apps::digest_of(model.source);
  }
  OVIR_ASSIGN(const compute::model_manifest manifest, compute::manifest_of(model.source.metadata));
  return compute::name_of(manifest);
}

std::vector<failure> unlike_the_model(const transcript_file& file, const ready_model& model) {
  const compute::model_config& config = model.weights.config;
  const auto given = digest_of(model, file.model_is_named);
  if (!given) {
    return {{given.error().message, std::nullopt, std::nullopt}};
  }
  if (*given != file.model_file) {
    return {{fmt::format("the {} was made with model {}{}, {} is {}",
                         file.model_is_named ? "receipt" : "transcript",
                         file.model_is_named ? "" : "file ", to_hex(file.model_file),
                         model.source.path, to_hex(*given)),
             {},
             {}}};
  }
  if (file.hashed_layers + 1 != config.layers) {
    return {{fmt::format("{} hashed layers are stated, but the model has {} layers",
                         file.hashed_layers, config.layers),
             {},
             {}}};
  }
  const std::vector<token_id> tokens = file.tokens();
  const auto unknown = std::find_if(tokens.begin(), tokens.end(),
                                    [&](token_id id) { return id >= config.vocabulary; });
  if (unknown != tokens.end()) {
    return {{fmt::format("token {} is outside the model's vocabulary of {}", *unknown,
                         config.vocabulary),
             {},
             static_cast<position>(unknown - tokens.begin())}};
  }
  return {};
}

} // namespace

result<std::vector<failure>> replay(const transcript_file& file, const ready_model& model,
                                    const compute::kernel_set& kernels,
                                    compute::parallel_runner& runner, const replay_progress& shown,
                                    const std::atomic<bool>& interrupted) {
  if (auto unlike = unlike_the_model(file, model); !unlike.empty()) {
    return unlike;
  }
  const compute::model_config& config = model.weights.config;
  OVIR_ASSIGN(const auto whole,
              compute::segment::make(model.weights, {0, config.layers}, kernels, runner));
  OVIR_ASSIGN(compute::segment_state state,
              whole->open(file.positions, std::numeric_limits<std::size_t>::max()));
  leaf_map stated;
  for (const compute::unit_leaf& leaf : file.units) {
    stated.emplace(leaf.unit, leaf);
  }
  const std::vector<token_id> tokens = file.tokens();
  const auto first_draw = static_cast<position>(file.prompt.size() - 1);
  compute::sampler sampler{file.sampling};
  std::unique_ptr<compute::token_matcher> matcher;
  if (restricts_tokens(file.sampling)) {
    OVIR_ASSIGN(matcher, compute::token_matcher::make(file.sampling, model.vocabulary->words()));
  }
  compute::step_output out;
  for (position first = 0; first < file.positions; first += chunk_positions) {
    if (interrupted.load()) {
      return fail(errc::cancelled, "interrupted; nothing was found wrong up to position {}", first);
    }
    if (shown) {
      shown(first, file.positions);
    }
    compute::step_input in;
    in.first = first;
    in.count = std::min(chunk_positions, file.positions - first);
    in.tokens = std::span{tokens}.subspan(first, in.count);
    const position end = first + in.count;
    in.logit_rows = first_draw + file.output.size() <= first || end <= first_draw
                        ? 0
                        : end - std::max(first, first_draw);
    OVIR_TRY(whole->forward(state, in, runner, out));
    for (const compute::unit_leaf& leaf : out.leaves) {
      if (auto wrong = compare_unit(stated, leaf)) {
        return std::vector{*wrong};
      }
    }
    if (auto wrong = compare_draws(file, tokens, end - in.logit_rows, out.logits, config.vocabulary,
                                   sampler, matcher.get())) {
      return std::vector{*wrong};
    }
    if (auto wrong = compare_last_layer(file, state, config, first, end)) {
      return std::vector{*wrong};
    }
  }
  for (const compute::unit_leaf& leaf : state.units.open_leaves()) {
    if (auto wrong = compare_unit(stated, leaf)) {
      return std::vector{*wrong};
    }
  }
  return std::vector<failure>{};
}

} // namespace ovir::apps
