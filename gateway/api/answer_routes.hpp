#pragma once

#include "gateway/access/api_keys.hpp"
#include "gateway/api/api_surroundings.hpp"
#include "gateway/api/open_calls.hpp"
#include "gateway/http/api_error.hpp"
#include "gateway/http/http_exchange.hpp"

#include <cstddef>
#include <functional>
#include <memory>
#include <string_view>

namespace ovir::gateway {

/// What a client learns of an answer that is over: its receipt, who computed and who audited it. On
/// the server's thread alone.
class answer_routes {
public:
  /// All outlive it.
  answer_routes(const api_surroundings& around, reply_counter& replies, const open_calls& calls)
      : around_(around), replies_(replies), calls_(calls) {}

  /// `what`: ID, ID/verdict or ID/addenda.
  void show(const api_key& key, std::string_view what,
            const std::shared_ptr<http_exchange>& exchange);

private:
  [[nodiscard]] http_reply show_receipt(const api_key& key, std::string_view name);
  void show_verdict(const api_key& key, std::string_view name,
                    const std::shared_ptr<http_exchange>& exchange);
  void show_addenda(const api_key& key, std::string_view name,
                    const std::shared_ptr<http_exchange>& exchange);
  void reply_elsewhere(const std::shared_ptr<http_exchange>& exchange,
                       std::function<api_result<http_reply>()> make);

  const api_surroundings& around_;
  reply_counter& replies_;
  const open_calls& calls_;
  std::size_t checks_{0}; ///< under way
};

} // namespace ovir::gateway
