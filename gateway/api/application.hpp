#pragma once

#include "gateway/access/api_key_file.hpp"
#include "gateway/access/key_budget.hpp"
#include "gateway/api/generator.hpp"
#include "gateway/api/prepared_request.hpp"
#include "gateway/http/http_exchange.hpp"
#include "gateway/http/metrics.hpp"
#include "messages/limits/gateway.hpp"

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ovir::gateway {

struct api_options {
  std::string chat_format{"auto"}; ///< as of `chat_format_for`
  std::size_t requests_max{limits::api_requests_max};
  std::chrono::milliseconds resume_wait{limits::api_resume_wait}; ///< for a client that went
  bool keys_needed{false};
};

/// What the application needs from outside. All of it outlives the application; the functions are
/// called on the server's thread.
struct api_surroundings {
  generator* engine{nullptr};
  std::function<std::chrono::steady_clock::time_point()> now;
  std::function<std::uint64_t()> unix_seconds;
  std::function<std::uint64_t()> random; ///< 64 bits from the system's generator
  /// Runs the first on another thread and then the second on the server's.
  std::function<void(std::function<void()> work, std::function<void()> then)> elsewhere;
  std::function<std::size_t()> connections; ///< of the server
  /// Hands over what the node behind the endpoint counts, at once or later; null: nothing.
  std::function<void(std::function<void(metric_families)>)> measure;
  /// Keeps what keys have spent over restarts, before it returns; empty: nothing is kept.
  std::function<void(const spend_record&)> keep_spend;
  /// A line for the operator; never a prompt, an answer or a key.
  std::function<void(std::optional<request_id>, const std::string&)> say;
};

/// The endpoint: who may ask what, and the requests under way. On the server's thread alone.
class application final : public http_handler, public generation_events {
public:
  application(api_options options, api_surroundings around);
  ~application() override;

  /// Replaces the keys: those revoked are refused from now on.
  void use_keys(known_keys keys);
  /// What keys spent in an earlier life, before the first request; of one that cannot be read, that
  /// is not known.
  void use_spend(const spend_record& kept);
  void distrust_spend();
  /// Keeps what was spent as it is now.
  void keep_spend(bool ahead);
  /// Takes nothing new any more.
  void drain() { draining_ = true; }
  [[nodiscard]] api_counts counts() const;

  std::optional<http_reply> refuse_early(const http_request& head) override;
  void serve(http_request request, std::shared_ptr<http_exchange> exchange) override;
  http_reply refuse_malformed(int status, std::string_view why) override;
  void tick() override;

  void on_token(std::uint64_t tag, const told_token& token) override;
  void on_end(std::uint64_t tag, const result<generation_outcome>& outcome) override;
  void on_restart() override;

private:
  struct call;
  struct pending;
  struct finished;
  using call_pointer = std::shared_ptr<call>;
  /// The id of a key and an id that its client knows: the same id of another key is another
  /// request, so that no client learns of one, reads one or stops one that is not its own.
  using owned_id = std::pair<std::string, request_id>;

  // Access
  [[nodiscard]] api_result<api_key> key_of(const http_request& request) const;
  [[nodiscard]] std::optional<api_error> check_origin(const http_request& request) const;
  [[nodiscard]] std::optional<http_reply> refuse_route(const http_request& request);
  [[nodiscard]] http_reply answer_of(const api_error& e);
  [[nodiscard]] http_reply counted(http_reply reply);

  // Small routes
  [[nodiscard]] http_reply health() const;
  [[nodiscard]] http_reply ready();
  [[nodiscard]] http_reply list_models();
  [[nodiscard]] http_reply show_model(std::string_view name);
  [[nodiscard]] http_reply show_receipt(const api_key& key, std::string_view name);
  [[nodiscard]] http_reply cancel(const api_key& key, std::string_view id);
  void show_metrics(const std::shared_ptr<http_exchange>& exchange);
  void resume(const http_request& request, const api_key& key,
              const std::shared_ptr<http_exchange>& exchange);

  // Generating
  void generate(http_request request, const api_key& key,
                const std::shared_ptr<http_exchange>& exchange);
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
  void keep_receipt(const call& c, std::uint32_t which, const generation_outcome& outcome);
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> fields_of(const call& c) const;

  api_options options_;
  api_surroundings around_;
  known_keys keys_;
  key_budget budget_;
  std::chrono::steady_clock::time_point next_keeping_;
  api_counts counts_;
  bool draining_{false};
  std::size_t preparing_{0};
  std::map<owned_id, call_pointer> calls_;
  std::map<std::uint64_t, std::pair<call_pointer, std::uint32_t>> tags_; ///< and which answer
  std::map<owned_id, finished> finished_;
  std::deque<owned_id> finished_order_; ///< oldest first
  /// By answer; each holds bytes.
  std::map<owned_id, std::shared_ptr<const result<std::vector<std::byte>>>> receipts_;
  std::deque<owned_id> receipts_order_; ///< oldest first
  std::size_t receipt_bytes_{0};
  std::uint64_t next_tag_{1};
};

} // namespace ovir::gateway
