#pragma once

#include "actors/operator/answer_checker.hpp"
#include "actors/operator/console_desk_actor.hpp"
#include "actors/request/gateway_actor.hpp"
#include "actors/runtime/log.hpp"
#include "gateway/http/metrics.hpp"
#include "messages/result.hpp"
#include "node/machine.hpp"
#include "node/node_options.hpp"
#include "storage/env/env.hpp"

#include <memory>
#include <string>

namespace ovir::supervision {

/// A node's HTTP endpoint: server, application and keys put together. Thread-safe. Destruction
/// closes every connection.
class http_gateway {
public:
  virtual ~http_gateway() = default;

  /// Reads keys and certificate, listens and answers. All arguments outlive it. What keys spent is
  /// kept in the folder `state`. `software`: how this program calls itself. Errors name the option
  /// at fault.
  [[nodiscard]] static result<std::unique_ptr<http_gateway>>
  start(const gateway_option& options, actors::gateway_desk& desk, actors::console_desk& console,
        const actors::answer_checker& answers, gateway::metrics_source& metrics, storage::env& env,
        actors::log& journal, const std::string& state, const std::string& software, machine& on);

  [[nodiscard]] virtual std::string address() const = 0;
  /// Takes nothing new; what is under way goes on, and its connections close behind it.
  virtual void drain() = 0;
  [[nodiscard]] virtual std::size_t connections() const = 0;
};

} // namespace ovir::supervision
