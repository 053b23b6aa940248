#pragma once

#include "gateway/access/key_budget.hpp"
#include "gateway/api/answer_check.hpp"
#include "gateway/api/api_annex.hpp"
#include "gateway/api/api_door.hpp"
#include "gateway/api/generator.hpp"
#include "gateway/api/receipt_shelf.hpp"
#include "gateway/http/metrics.hpp"
#include "messages/limits/gateway.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace ovir::gateway {

struct api_options {
  std::string chat_format{"auto"}; ///< as of `chat_format_for`
  std::size_t requests_max{limits::api_requests_max};
  std::chrono::milliseconds resume_wait{limits::api_resume_wait}; ///< for a client that went
  /// Of a request whose client gives none.
  std::chrono::milliseconds deadline{limits::api_deadline_max};
  bool keys_needed{false};
  std::string version{"0"}; ///< of this program
};

/// What the application needs from outside. All of it outlives the application; the functions are
/// called on the server's thread.
struct api_surroundings {
  generator* engine{nullptr};
  std::vector<const api_door*> doors{}; ///< beside OpenAI's completions; no path is of two
  api_annex* annex{nullptr};            ///< likewise; may be made after the application
  std::function<std::chrono::steady_clock::time_point()> now;
  std::function<std::uint64_t()> unix_seconds;
  std::function<std::uint64_t()> random; ///< 64 bits from the system's generator
  /// Runs the first on another thread and then the second on the server's.
  std::function<void(std::function<void()> work, std::function<void()> then)> elsewhere;
  std::function<std::size_t()> connections; ///< of the server
  /// Hands over what the node behind the endpoint counts, at once or later; null: nothing.
  std::function<void(std::function<void(metric_families)>)> measure;
  // Of an answer, by its request's name in the cluster and its receipt; null: the node's own copy.
  // On the other thread. `not_found`: there is none. Empty: this endpoint tells no such thing.
  std::function<result<answer_check>(request_id, const receipt_shelf::receipt_pointer&)>
      check_answer{};
  /// The file of what verifiers signed about it (docs/formats/addenda.md).
  std::function<result<std::vector<std::byte>>(request_id, const receipt_shelf::receipt_pointer&)>
      addenda_of{};
  /// Keeps what keys have spent over restarts, before it returns; empty: nothing is kept.
  std::function<void(const spend_record&)> keep_spend;
  /// A line for the operator; never a prompt, an answer or a key.
  std::function<void(std::optional<request_id>, const std::string&)> say;
};

} // namespace ovir::gateway
