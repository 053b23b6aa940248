#include "node/machine.hpp"

#include "actors/nat/reaching_network.hpp"
#include "actors/quic/either_network.hpp"
#include "actors/runtime/compute_pool.hpp"
#include "actors/shared/shared_network.hpp"

namespace ovir::supervision {

namespace {

class computer final : public machine {
public:
  bool has_threads() const noexcept override { return true; }

  std::unique_ptr<actors::compute_executor> make_executor(job_kind kind,
                                                          std::size_t threads) override {
    if (kind == job_kind::stages) {
      return std::make_unique<actors::compute_pool>(threads, actors::compute_pool::between_steps);
    }
    return std::make_unique<actors::compute_pool>(1);
  }

  result<std::unique_ptr<actors::listening_network>>
  open_network(const secret_key& key, const actors::tls_options& options,
               actors::network_handler& handler) override {
    // What goes through memory needs no link, what goes over QUIC no TCP.
    const actors::network_starter tcp = actors::reaching_network::start;
    const actors::network_starter links =
        [tcp](const secret_key& own, const actors::tls_options& how, actors::network_handler& to) {
          return actors::start_links(own, how, to, tcp);
        };
    return actors::shared_network::start(key, options, handler, links);
  }

  result<std::unique_ptr<gateway::http_server>>
  serve_http(const gateway::http_options& options, gateway::http_handler& handler) override {
    return gateway::http_server::start(options, handler);
  }
};

} // namespace

std::unique_ptr<machine> make_machine() { return std::make_unique<computer>(); }

} // namespace ovir::supervision
