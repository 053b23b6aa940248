#pragma once

#include "actors/link/network.hpp"
#include "actors/protocol/wire.hpp"
#include "ledger/keeper/message.hpp"
#include "ledger/log/head.hpp"
#include "ledger/rules/command.hpp"
#include "messages/request/request.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace ovir::swarm {

/// Hears what honest nodes send, and reports what breaks one of these rules:
/// - A lead opens its first stage anew in a later epoch only.
/// - A scheduler that goes on with a request does so in a later generation, and in later epochs.
/// - Only the scheduler of a request settles it: an honest node sent every settlement that the
///   ledger has, and no head that was told before has it.
/// - Two heads of the keeper over as many entries are the same.
/// - No stage is opened for a request whose cancellation was confirmed, but where a node that was
///   told of the request could not be reached then, and a scheduler that it can reach goes on; and
///   where a hostile scheduler opened it as its own, for whose sake an honest one may go on.
class protocol_monitor {
public:
  /// `keeper`: the machine of the ledger's.
  protocol_monitor(std::function<void(std::string)> violate, std::size_t keeper)
      : violate_(std::move(violate)), keeper_(keeper) {}

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
  void settled(std::uint64_t index, const ledger::command& what);
  /// All heads that an honest keeper told others, one of each size.
  [[nodiscard]] std::vector<ledger::signed_head> heads() const;
  /// It told two of one size that differ.
  [[nodiscard]] std::optional<std::uint64_t> forked_at() const noexcept { return forked_at_; }

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
  void hear_open(std::size_t from, std::uint64_t life, std::size_t to,
                 const actors::wire_message& message, const actors::wire_open& open);
  void hear_epoch(std::size_t from, request_id request, std::uint32_t generation, epoch driver);
  void hear_opening(std::size_t from, std::uint64_t life, epoch driver, const request_log& log);
  void hear_credit(std::size_t from, const std::vector<std::byte>& bytes);
  void hear_keeper(const ledger::message& message);
  void hear_head(const ledger::signed_head& head);
  /// A stage says that it has finished, for the first of the path that it is on.
  void hear_finished(std::size_t from, std::size_t to, request_id request);

  std::function<void(std::string)> violate_;
  std::size_t keeper_;
  std::map<std::tuple<std::size_t, std::uint64_t, request_id>, opening> openings_;
  std::map<std::pair<std::size_t, request_id>, adoption> adoptions_; ///< asked for last
  /// Sent or claimed by honest nodes, and how many entries the keeper had told of by then.
  std::map<ledger::escrow_id, std::uint64_t> settlements_;
  std::map<digest, std::set<ledger::escrow_id>> reserved_; ///< by what reservations are about
  std::map<std::uint64_t, ledger::signed_head> heads_;     ///< by size
  std::optional<std::uint64_t> forked_at_;
  std::set<std::tuple<request_id, std::size_t, std::size_t>> told_; ///< its log: from, to
  /// Of these, with an order that withdraws it; true: the stage said later that it has finished.
  std::map<std::tuple<request_id, std::size_t, std::size_t>, bool> withdrawn_;
  /// By request and generation: the first and the last.
  std::map<request_id, std::map<std::uint32_t, std::pair<epoch, epoch>>> epochs_;
  std::set<request_id> cancelled_; ///< and driven by one scheduler
  std::set<request_id> spoiled_;   ///< driven by a hostile one, too
  std::uint64_t layer_orders_{0};
};

} // namespace ovir::swarm
