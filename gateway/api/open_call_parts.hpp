#pragma once

#include "gateway/api/open_calls.hpp"

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

/// What `open_calls` keeps of each request.
namespace ovir::gateway {

/// A request whose answers are being made.
struct open_calls::call {
  struct progress {
    std::uint64_t tag{0};
    std::uint32_t next{0};  ///< token that comes next
    std::uint32_t drawn{0}; ///< tokens known of, whichever connection was told of them
    bool over{false};
  };

  std::string owner;    ///< id of the key
  std::string key_name; ///< for the log
  std::vector<generation_order> orders;
  std::vector<digest> terms; ///< of each of these
  std::vector<progress> answers;
  std::optional<answer_writer> writer;
  std::shared_ptr<http_exchange> exchange; ///< null: its client is gone
  std::chrono::steady_clock::time_point begun;
  std::chrono::steady_clock::time_point deadline;
  std::chrono::steady_clock::time_point quiet_since;
  std::optional<std::chrono::steady_clock::time_point> gone_since;
  std::optional<std::chrono::steady_clock::time_point> cancelled_at;
  std::vector<std::shared_ptr<http_exchange>> cancels; ///< calls that wait for its end
  bool asked_to_end{false};                            ///< by these, not because its client went
  bool was_cancelled{false};                           ///< an answer ended so ...
  std::string may_return;                              ///< ... and why it may not last
  bool spoke{false};                                   ///< there was a token
  bool streaming{false};                               ///< the head was sent
  bool looked_for{false};                              ///< another node may drive it already
  bool unattended{false};                              ///< no client waits for it, or comes back
  bool watched_only{false};                ///< it was finished before: nothing is computed for it
  std::chrono::nanoseconds first_after{0}; ///< the first token, from `begun`
  std::uint64_t reserved{0};
  std::uint64_t day{0};

  [[nodiscard]] const answer_shape& shape() const { return writer->shape(); }
};

/// One whose body is being read.
struct open_calls::pending {
  http_request request;
  const api_door* door{nullptr}; ///< whose path it is; null: OpenAI's completions
  std::optional<unattended_request> unattended{};
  api_key key;
  request_owner who;
  std::shared_ptr<http_exchange> exchange;
  request_id id;
  std::optional<event_id> last; ///< what the client has
  std::vector<served_model> models;
  std::string format;
  std::shared_ptr<const answer_shelf::owned> kept; ///< what its body may go on with
  /// Ready for the cluster, or told already, or why neither.
  std::variant<prepared_request, http_reply, api_error> outcome{api_error{}};
  std::chrono::milliseconds deadline{0};
  bool gone{false};

  /// Sets `outcome` from the body. On another thread.
  void read();

private:
  [[nodiscard]] std::variant<prepared_request, http_reply, api_error> outcome_of_body();
};

/// What is remembered of one that is over, for a client that comes back.
struct open_calls::finished {
  answer_shape shape;
  std::vector<digest> terms; ///< of each answer's order
};

} // namespace ovir::gateway
