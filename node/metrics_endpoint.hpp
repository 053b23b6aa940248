#pragma once

#include "actors/runtime/log.hpp"
#include "gateway/http/metrics.hpp"
#include "messages/result.hpp"
#include "node/machine.hpp"
#include "node/node_options.hpp"
#include "storage/env/env.hpp"

#include <memory>
#include <string>

namespace ovir::supervision {

/// GET /metrics of any node, for Prometheus, and nothing else. Thread-safe. Destruction closes
/// every connection.
class metrics_endpoint {
public:
  virtual ~metrics_endpoint() = default;

  /// Reads keys and certificate, listens and answers. All arguments outlive it. Errors name the
  /// option at fault.
  [[nodiscard]] static result<std::unique_ptr<metrics_endpoint>>
  start(const metrics_option& options, gateway::metrics_source& metrics, storage::env& env,
        actors::log& journal, machine& on);

  [[nodiscard]] virtual std::string address() const = 0;
};

} // namespace ovir::supervision
