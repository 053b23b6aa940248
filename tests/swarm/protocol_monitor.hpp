#pragma once

#include "actors/link/network.hpp"
#include "ledger/rules/command.hpp"
#include "messages/request/request.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace ovir::swarm {

/// Hears what honest nodes send, and reports what breaks one of these rules:
/// - A lead opens its first stage anew in a later epoch only.
/// - A scheduler that goes on with a request does so in a later generation.
/// - Only the scheduler of a request settles it: an honest node sent every settlement that the
///   ledger has.
/// - No stage is opened for a request whose cancellation was confirmed, but where a node that was
///   told of the request could not be reached then, and a scheduler that it can reach goes on; and
///   where a hostile scheduler opened it as its own, for whose sake an honest one may go on.
class protocol_monitor {
public:
  explicit protocol_monitor(std::function<void(std::string)> violate)
      : violate_(std::move(violate)) {}

  /// A message that the node of machine `from`, in its life `life`, sends to machine `to`.
  void hear(std::size_t from, std::uint64_t life, std::size_t to, actors::message_kind what,
            const std::vector<std::byte>& bytes);
  /// Its client was told that it is over.
  void cancelled(request_id request,
                 const std::function<bool(std::size_t from, std::size_t to)>& reach);
  /// A hostile scheduler says that it drives this request.
  void spoiled(request_id request) { spoiled_.insert(request); }
  /// Orders to fetch or drop layers, so far.
  [[nodiscard]] std::uint64_t layer_orders() const noexcept { return layer_orders_; }
  /// An entry of the ledger.
  void settled(const ledger::command& what);

private:
  struct opening {
    epoch driver{};
    std::size_t drawn{0};
  };
  struct adoption {
    std::uint32_t generation{0};
    std::size_t drawn{0};
  };

  void hear_wire(std::size_t from, std::uint64_t life, std::size_t to,
                 const std::vector<std::byte>& bytes);
  void hear_opening(std::size_t from, std::uint64_t life, epoch driver, const request_log& log);
  void hear_credit(const std::vector<std::byte>& bytes);

  std::function<void(std::string)> violate_;
  std::map<std::tuple<std::size_t, std::uint64_t, request_id>, opening> openings_;
  std::map<std::pair<std::size_t, request_id>, adoption> adoptions_; ///< asked for last
  std::set<ledger::escrow_id> settlements_;                          ///< sent by honest nodes
  std::set<std::tuple<request_id, std::size_t, std::size_t>> told_;  ///< its log: from, to
  std::set<request_id> cancelled_; ///< and driven by one scheduler
  std::set<request_id> spoiled_;   ///< driven by a hostile one, too
  std::uint64_t layer_orders_{0};
};

} // namespace ovir::swarm
