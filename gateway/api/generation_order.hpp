#pragma once

#include "compute/text/tokenizer.hpp"
#include "messages/digest.hpp"
#include "messages/ids.hpp"
#include "messages/limits/general.hpp"
#include "messages/request/budget.hpp"
#include "messages/request/finish_reason.hpp"
#include "messages/request/request.hpp"
#include "messages/result.hpp"

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
struct generation_order : request_terms {
  request_id id; ///< in the cluster: as of `name_in_cluster`
  speculation drafts{speculation::automatic};
  std::chrono::milliseconds deadline{limits::request_deadline_max};
  bool batch{false}; ///< takes the time that others leave
  reveal_when reveal{reveal_when::at_once};
  privacy_mode privacy{privacy_mode::none};
  std::optional<tier_demand> tier{}; ///< of each node that computes it; none: any
  /// Whose kept results it may use: the id of an API key; empty: those of all that may ask here.
  std::string owner{};
  std::optional<budget_use> budget{}; ///< of the API key; none: the node pays
  bool repeatable{true}; ///< greedy, or with a seed that was given: its answer may be kept
};

/// What a finished text is.
struct generation_outcome {
  finish_reason end{finish_reason::length};
  std::uint32_t tokens{0}; ///< drawn, the ending one included
  std::string text;        ///< whole
  digest transcript;
  std::uint32_t cached_tokens{0}; ///< of the prompt, not computed because they were before
  /// Bytes of messages/evidence/receipt.hpp, or why there are none; null where none was asked for.
  std::shared_ptr<const result<std::vector<std::byte>>> receipt{};
  std::vector<float> embedding{}; ///< where the order wants one
  std::string may_return{};       ///< why a cancelled one may begin again; empty: it does not
};

/// A model that requests may name.
struct served_model {
  digest id;
  std::string name;         ///< of its file
  std::string title{};      ///< of its metadata; empty: none
  std::uint32_t context{0}; ///< positions of a prompt and its answer together
  std::shared_ptr<const compute::tokenizer> vocabulary;
  std::string chat_template; ///< of its metadata; empty: none
  std::uint32_t dim{0};      ///< elements of a hidden state; 0: not known
};

} // namespace ovir::gateway
