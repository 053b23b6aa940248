#pragma once

#include "ledger/group/joint_book.hpp"
#include "ledger/keeper/keeper.hpp"
#include "ledger/raft/replica.hpp"
#include "messages/node_id.hpp"
#include "messages/result.hpp"
#include "messages/signing.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

/// One of several keepers of a ledger.
///
/// The keeper that leads puts batches together; the group agrees on their order; every keeper
/// applies them to its own ledger and signs the head that it came to. A head counts, and what was
/// asked is promised, once more than half of the keepers signed it. So a leader that lies finds no
/// majority for what the rules forbid, and a promise outlives any minority of the keepers.
namespace ovir::ledger {

/// What a keeper of a group needs from outside. All that it names outlives it.
struct group_surroundings {
  const secret_key* key{nullptr};
  keeper* own{nullptr}; ///< its own ledger
  raft::journal_files* files{nullptr};
  /// To another keeper; may be lost, doubled and late.
  std::function<void(const node_id& to, std::vector<std::byte> bytes)> send;
  /// A number between both, drawn evenly.
  std::function<std::uint32_t(std::uint32_t least, std::uint32_t most)> between;
  /// The ledger's time as this keeper's clocks tell it, in seconds since 1970.
  std::function<std::uint64_t()> time;
};

/// One thread at a time.
class keeper_group final : private raft::replica_owner {
public:
  /// Makes the journal of a new ledger's keeper, once, before any of the keepers runs.
  [[nodiscard]] static result<void> found(const group_surroundings& around);
  /// A keeper without a journal lost its disk (`raft::replica::open`).
  [[nodiscard]] static result<std::unique_ptr<keeper_group>>
  open(group_surroundings around, const raft::timing& times, raft::milliseconds now);

  /// At least every heartbeat.
  void tick(raft::milliseconds now, std::vector<keeper_answer>& answers);
  /// From another keeper. What is none of its words, and who is no keeper, changes nothing.
  void receive(raft::milliseconds now, const node_id& from, std::span<const std::byte> bytes,
               std::vector<keeper_answer>& answers);
  /// Proposes what waits at the keeper, where this one leads and no order is out. How much `due`
  /// made possible is the answer.
  [[nodiscard]] result<std::size_t> propose(raft::milliseconds now, const due_allowance& due,
                                            std::vector<keeper_answer>& answers);

  [[nodiscard]] bool leads() const { return replica_->leads(); }
  /// Who does; nothing while that is not known.
  [[nodiscard]] std::optional<node_id> leader() const;
  /// An error once it can do nothing more: the ledger and this must be opened anew.
  [[nodiscard]] result<void> sound() const;

private:
  explicit keeper_group(group_surroundings around);

  void send(std::uint8_t to, raft::letter what) override;
  std::uint32_t between(std::uint32_t least, std::uint32_t most) override;
  bool takes(const raft::entry& e) override;
  bool takes(const raft::snapshot& s) override;
  void agreed(const raft::place& where, std::span<const std::byte> bytes) override;
  std::optional<std::vector<std::byte>> snapshot_now() override;
  void restored(const raft::snapshot& s) override;

  void look(raft::milliseconds now, std::vector<keeper_answer>& answers);
  void tell_others(std::uint8_t kind, std::span<const std::byte> bytes) const;
  void answer_entries(const node_id& to, std::uint64_t first);

  group_surroundings around_;
  std::vector<node_id> keepers_; ///< server n is keepers_[n - 1]
  joint_book book_;
  std::unique_ptr<raft::replica> replica_;
  std::vector<keeper_answer> ready_;
  std::uint64_t told_{0}; ///< size of the head that the others were told last
  raft::milliseconds told_at_{0};
  raft::milliseconds asked_at_{0}; ///< for entries that are missing here
  result<void> disk_{};
};

} // namespace ovir::ledger
