#pragma once

#include "actors/link/tls_network.hpp"
#include "actors/runtime/compute_executor.hpp"
#include "gateway/http/http_server.hpp"
#include "messages/result.hpp"
#include "messages/signing.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace ovir::supervision {

/// Whose jobs an executor of a node runs.
enum class job_kind : std::uint8_t {
  stages,      ///< steps of segments; models are loaded and measured
  draws,       ///< of the leads: a draw takes less than a step by far, and must not wait for one
  signatures,  ///< of stages and leads
  cache_front, ///< what requests wait for
  cache_back,  ///< what they do not wait for; files of HTTP clients
};

/// What a node runs on beside its `storage::env`: threads and connections. `make_machine` is
/// this computer; a simulation has its own, and everything on it is an event of one thread.
class machine {
public:
  virtual ~machine() = default;

  /// True: CAF's threads run the actors. False: the simulation runs them, one turn at a time.
  [[nodiscard]] virtual bool has_threads() const noexcept = 0;
  /// `threads` count for stages; every other kind has one.
  [[nodiscard]] virtual std::unique_ptr<actors::compute_executor>
  make_executor(job_kind kind, std::size_t threads) = 0;
  /// As `shared_network::start`, over `start_links`, over `reaching_network`.
  [[nodiscard]] virtual result<std::unique_ptr<actors::listening_network>>
  open_network(const secret_key& key, const actors::tls_options& options,
               actors::network_handler& handler) = 0;
  /// As `http_server::start`.
  [[nodiscard]] virtual result<std::unique_ptr<gateway::http_server>>
  serve_http(const gateway::http_options& options, gateway::http_handler& handler) = 0;
};

[[nodiscard]] std::unique_ptr<machine> make_machine();

} // namespace ovir::supervision
