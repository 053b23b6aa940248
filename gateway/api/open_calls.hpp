#pragma once

#include "gateway/access/key_budget.hpp"
#include "gateway/api/answer_shelf.hpp"
#include "gateway/api/answer_times.hpp"
#include "gateway/api/api_door.hpp"
#include "gateway/api/api_surroundings.hpp"
#include "gateway/api/generator.hpp"
#include "gateway/api/prepared_request.hpp"
#include "gateway/api/receipt_shelf.hpp"
#include "gateway/api/reply_counter.hpp"
#include "gateway/http/http_exchange.hpp"

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ovir::gateway {

/// Without keys there is one owner: everybody who may ask here.
[[nodiscard]] request_owner owner_of(const api_key& key);

/// A request that no client waits for: it takes the time that others leave.
struct unattended_request {
  bool may_run{false}; ///< another node may drive it already
};

/// The requests under way, what their keys spend, and what is kept of those that are over. On the
/// server's thread alone.
class open_calls final : public generation_events {
public:
  /// Both outlive it.
  open_calls(const api_options& options, const api_surroundings& around, reply_counter& replies);
  open_calls(const open_calls&) = delete;
  open_calls& operator=(const open_calls&) = delete;
  ~open_calls() override;

  /// What keys spent in an earlier life, before the first request; of one that cannot be read, that
  /// is not known.
  void use_spend(const spend_record& kept);
  void distrust_spend();
  /// Keeps what was spent as it is now.
  void keep_spend(bool ahead);

  /// Being read or computed.
  [[nodiscard]] std::size_t under_way() const noexcept { return calls_.size() + preparing_; }
  [[nodiscard]] bool full() const noexcept { return under_way() >= options_.requests_max; }

  /// Reads a request and has its answers made. `door`: whose path it is; null: OpenAI's
  /// completions. `unattended`: null for one that a client waits for.
  void generate(http_request request, const api_key& key,
                const std::shared_ptr<http_exchange>& exchange, const api_door* door = nullptr,
                const unattended_request* unattended = nullptr);
  /// Another connection for a request that is under way or over.
  void resume(const http_request& request, const api_key& key,
              const std::shared_ptr<http_exchange>& exchange);
  /// Is answered once the request is over, so that no crash brings it back.
  void cancel(const api_key& key, std::string_view id,
              const std::shared_ptr<http_exchange>& exchange);
  [[nodiscard]] const receipt_shelf& receipts() const noexcept { return receipts_; }
  [[nodiscard]] const answer_times& times() const noexcept { return times_; }
  /// Answers that clients may go on with.
  [[nodiscard]] answer_shelf& kept() noexcept { return kept_; }
  /// Ends what is too late, given up or cancelled.
  void tick();

  void on_token(std::uint64_t tag, const told_token& token) override;
  void on_end(std::uint64_t tag, const result<generation_outcome>& outcome) override;
  void on_restart() override;

private:
  struct call;
  struct pending;
  struct finished;
  using call_pointer = std::shared_ptr<call>;

  void take_prepared(pending& p);
  void go_on(const call_pointer& known, const std::shared_ptr<http_exchange>& exchange,
             std::vector<std::uint32_t> received);
  void begin(const call_pointer& fresh);
  void attach(const call_pointer& c, const std::shared_ptr<http_exchange>& exchange);
  void watch_again(const call_pointer& c);
  void listen_to_more(const call_pointer& c);
  void begin_stream(const call_pointer& c);
  void finish(const call_pointer& c);
  void fail_call(const call_pointer& c, const api_error& why);
  void end_call(const call_pointer& c);
  void cancel_answers(call& c);
  void answer_cancels(call& c);
  [[nodiscard]] http_reply answer_of(const call& c, const api_error& why);
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> fields_of(const call& c) const;

  const api_options options_;
  const api_surroundings& around_;
  reply_counter& replies_;
  key_budget budget_;
  std::chrono::steady_clock::time_point next_keeping_;
  std::size_t preparing_{0};
  std::map<owned_id, call_pointer> calls_;
  std::map<std::uint64_t, std::pair<call_pointer, std::uint32_t>> tags_; ///< and which answer
  std::map<owned_id, finished> finished_;
  std::deque<owned_id> finished_order_; ///< oldest first
  receipt_shelf receipts_;
  answer_times times_;
  answer_shelf kept_;
  std::uint64_t next_tag_{1};
};

} // namespace ovir::gateway
