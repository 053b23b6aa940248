#pragma once

#include "actors/link/network.hpp"
#include "node/http_gateway.hpp"
#include "node/machine.hpp"
#include "node/node.hpp"

#include <caf/actor.hpp>
#include <caf/actor_system.hpp>

#include <memory>
#include <string>
#include <vector>

namespace ovir::supervision {

/// The parts of a node, put together. Waits for no actor, so that a simulation can run it event by
/// event; `node` waits where processes and people do. `close_doors`, the end of the root and of
/// every actor, and `let_go` come before its destruction, in this order.
class node_assembly {
public:
  virtual ~node_assembly() = default;

  /// `options`, what is in `around` and `on` outlive it.
  [[nodiscard]] static std::unique_ptr<node_assembly>
  make(const node_options& options, const node_surroundings& around, machine& on);

  /// Loads the models, opens the listeners and starts the tree. Errors name the option at fault.
  [[nodiscard]] virtual result<void> raise() = 0;

  [[nodiscard]] virtual caf::actor_system& system() = 0;
  /// The supervisor of all; null before `raise`.
  [[nodiscard]] virtual const caf::actor& root() const = 0;
  /// An actor of the tree by its name, as it is at the moment; null where there is none.
  [[nodiscard]] virtual caf::actor find(const std::string& name) const = 0;
  [[nodiscard]] virtual const actors::listening_network& network() const = 0;
  [[nodiscard]] virtual http_gateway* gateway() = 0; ///< null: no HTTP endpoint
  /// A drain that a shell asked for is over.
  [[nodiscard]] virtual bool drained() const = 0;
  /// As `node::refusal`.
  [[nodiscard]] virtual std::optional<error> refusal() const = 0;
  /// As `node::reload`.
  [[nodiscard]] virtual std::vector<std::string> reload(const node_options& options) = 0;

  /// Takes nothing new: no HTTP request, no job; the other members hear of it.
  virtual void begin_drain() = 0;
  /// Nothing comes from outside any more.
  virtual void close_doors() = 0;
  /// Forgets the root, which has ended.
  virtual void forget_root() = 0;
  /// Lets go of handles and writes down what is kept. No actor lives.
  virtual void let_go() = 0;
};

} // namespace ovir::supervision
