#pragma once

#include "gateway/access/api_keys.hpp"
#include "gateway/api/api_surroundings.hpp"
#include "gateway/api/reply_counter.hpp"
#include "gateway/http/http_exchange.hpp"

#include <atomic>
#include <cstddef>
#include <memory>
#include <string_view>

namespace ovir::gateway {

/// What an API key that pays by a voucher learns of its budget, as the ledger has it: what is left,
/// and what its requests cost. On the server's thread alone.
class account_routes {
public:
  /// Both outlive it.
  account_routes(const api_surroundings& around, reply_counter& replies)
      : around_(around), replies_(replies) {}

  [[nodiscard]] static bool serves(std::string_view path);
  /// Of a path that it serves.
  void show(const http_request& request, const api_key& key,
            const std::shared_ptr<http_exchange>& exchange);

private:
  const api_surroundings& around_;
  reply_counter& replies_;
  /// Questions under way. One that is lost with the actor that asked counts no more; that may be
  /// seen on its thread.
  std::shared_ptr<std::atomic<std::size_t>> asked_{std::make_shared<std::atomic<std::size_t>>(0)};
};

} // namespace ovir::gateway
