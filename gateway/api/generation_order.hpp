#pragma once

#include "compute/forward/pooled_rows.hpp"
#include "compute/text/sampler.hpp"
#include "compute/text/token_logprobs.hpp"
#include "compute/text/tokenizer.hpp"
#include "messages/digest.hpp"
#include "messages/ids.hpp"
#include "messages/limits/general.hpp"
#include "messages/result.hpp"
#include "verify/request_terms.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

/// What the gateway asks of the cluster and hears of it, as values.
namespace ovir::gateway {

/// One text to be generated.
struct generation_order {
  request_id id; ///< in the cluster: as of `name_in_cluster`
  digest model;
  std::vector<token_id> prompt; ///< at least one token
  compute::sampling_params sampling;
  std::uint32_t max_tokens{0};
  std::vector<std::string> stop;
  /// Whether tokens are guessed, which changes the speed and nothing else; none: where that pays.
  std::optional<bool> speculate{};
  std::chrono::seconds deadline{limits::request_deadline_max};
  /// Whose kept results it may use: the id of an API key; empty: of everybody who may ask here.
  std::string owner{};
  bool repeatable{true}; ///< greedy, or with a seed that was given: its answer may be kept
  bool receipt{false};   ///< the answer is to be signed
  /// Tokens are told with their logprobs and those of so many of the likeliest.
  std::optional<std::uint32_t> logprobs{};
  std::optional<compute::pooling> embedding{}; ///< nothing is drawn; `max_tokens` is 0
};

/// What makes it the same request as another.
[[nodiscard]] inline digest terms_of(const generation_order& o) {
  return compute::digest_of(
      {o.model, o.prompt, o.sampling, o.max_tokens, o.stop, o.logprobs, o.embedding, o.receipt});
}

/// A token as the cluster drew it.
struct told_token {
  token_id token{0};
  std::shared_ptr<const compute::token_logprobs> logprobs{}; ///< null: the order has none
};

enum class generation_ending : std::uint8_t { stop, length, cancelled };

/// What a finished text is.
struct generation_outcome {
  generation_ending ending{generation_ending::length};
  std::uint32_t tokens{0}; ///< drawn, the ending one included
  std::string text;        ///< whole
  digest transcript;
  std::uint32_t cached_tokens{0}; ///< of the prompt, not computed because they were before
  /// Bytes of messages/evidence/receipt.hpp, or why there are none; null where none was asked for.
  std::shared_ptr<const result<std::vector<std::byte>>> receipt{};
  std::vector<float> embedding{}; ///< where the order wants one
};

/// A model that requests may name.
struct served_model {
  digest id;
  std::string name;
  std::uint32_t context{0}; ///< positions of a prompt and its answer together
  std::shared_ptr<const compute::tokenizer> vocabulary;
  std::string chat_template; ///< of its metadata; empty: none
};

} // namespace ovir::gateway
