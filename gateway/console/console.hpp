#pragma once

#include "gateway/access/api_key_file.hpp"
#include "gateway/console/cluster_view.hpp"
#include "gateway/http/api_error.hpp"
#include "gateway/http/host_check.hpp"
#include "gateway/http/http_exchange.hpp"
#include "gateway/http/metrics.hpp"

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace ovir::gateway {

/// The console: its page, and what the page shows of the node (docs/formats/http.md, "Looking").
/// Read-only. The page is for everybody, what it shows for keys with the role `reader`. On the
/// server's thread alone.
class console final : public http_handler {
public:
  using clock = std::function<std::chrono::steady_clock::time_point()>;

  /// `view` outlives the console. Only its own pages are answered: a name that leads here is not
  /// enough.
  console(host_rule callers, cluster_view& view, clock now, std::function<api_counts()> counts);

  [[nodiscard]] static bool serves(std::string_view path);
  void use_keys(known_keys keys) { keys_ = std::move(keys); }

  std::optional<http_reply> refuse_early(const http_request& head) override;
  void serve(http_request request, std::shared_ptr<http_exchange> exchange) override;
  http_reply refuse_malformed(int status, std::string_view why) override;
  void tick() override;

private:
  /// What is sent to those who watch, once it changed.
  static constexpr std::array<std::string_view, 4> watched{"nodes", "tree", "jobs", "cache"};
  struct sample {
    std::uint64_t at_ms; ///< since the console began
    std::uint64_t prompt_tokens, completion_tokens, under_way, replies, errors;
  };

  void watch(const std::shared_ptr<http_exchange>& exchange);
  void send_all(const std::string& piece);
  void take_state(std::string_view what, const nlohmann::json& reply);
  void take_sample();
  [[nodiscard]] http_reply history() const;

  host_rule callers_;
  cluster_view& view_;
  clock now_;
  std::function<api_counts()> counts_;
  known_keys keys_;
  std::map<std::uint64_t, std::shared_ptr<http_exchange>> watchers_;
  std::uint64_t next_watcher_{1};
  std::map<std::string, std::string, std::less<>> shown_; ///< the latest event of each kind
  std::size_t asked_{0}; ///< questions for those who watch that are under way
  std::chrono::steady_clock::time_point begun_;
  std::chrono::steady_clock::time_point next_sample_;
  std::deque<sample> samples_; ///< oldest first
};

} // namespace ovir::gateway
