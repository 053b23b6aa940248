#pragma once

#include "ledger/keeper/message.hpp"
#include "messages/address_prefix.hpp"
#include "messages/node_id.hpp"
#include "storage/env/env.hpp"

#include <cstdint>
#include <map>
#include <set>

namespace ovir::actors {

/// What the keeper of a ledger said last of a node that was planned, and when it was asked.
struct payee_standing {
  std::uint64_t reputation_ppm{0};
  bool told{false};
  bool admitted{true};
  bool newcomer{false};             ///< neither stake nor history, where nothing else deters
  std::uint64_t pending_windows{0}; ///< whose audit is not over
  storage::env::time_point asked{};
};

/// Whom a scheduler plans with, as far as money goes.
struct payee_standings {
  std::map<node_id, payee_standing> of;
  /// Where nodes are that were linked, by what this node sees: /24 or /48.
  std::map<node_id, address_prefix> sites;
  std::set<node_id> told_lacking; ///< as the planner was told last

  /// Those that a plan is to go around: whom the keeper does not admit, and newcomers of a site
  /// that have together as many windows pending as one may, `newcomer_units`. Nodes that never were
  /// linked count as one site.
  [[nodiscard]] std::set<node_id> lacking(std::uint64_t newcomer_units) const;

  /// Of a node that was planned; others do not count. `stranger`: it is in an open cluster without
  /// leave. Where nothing is paid the keeper knows no newcomers: those without leave, stake and
  /// history are newcomers all the same.
  void note(const ledger::account_report& report, bool stranger);

private:
  [[nodiscard]] address_prefix site(const node_id& node) const;
};

} // namespace ovir::actors
