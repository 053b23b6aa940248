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
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <vector>

/// One of several keepers of a ledger.
///
/// The keeper that leads puts batches together; the group agrees on their order; every keeper
/// applies them to its own ledger and signs the head that it came to. A head counts, and what was
/// asked is promised, once more than half of the keepers signed it. So a leader that lies finds no
/// majority for what the rules forbid, and a promise outlives any minority of the keepers.
namespace ovir::ledger {

/// How far a group is, as one of its keepers sees it.
struct group_report {
  struct keeper_place {
    node_id keeper;
    std::uint64_t signed_size{0}; ///< entries under the last head that it is known to have signed
  };
  std::vector<keeper_place> keepers; ///< ascending
  std::optional<node_id> leader;
  bool leads{false};      ///< this keeper does
  bool recovering{false}; ///< it lost its disk, and does not vote yet
  std::uint64_t term{0};
  std::uint64_t agreed{0};     ///< entries of the group's own log
  std::size_t kept{0};         ///< how many of them are in the journal here
  std::uint64_t hand_overs{0}; ///< other leaders than before, since this keeper began
};

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
  /// It leads, or will as soon as it knows all that was agreed before.
  [[nodiscard]] bool begins_to_lead() const { return leader() == around_.key->id(); }
  /// Something waits that can be proposed now.
  [[nodiscard]] bool can_propose() const {
    return leads() && !book_.is_out() && book_.waits() && !replica_->wants_snapshot();
  }
  [[nodiscard]] bool is_out() const noexcept { return book_.is_out(); }
  [[nodiscard]] group_report report() const;
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
  void take_head(const node_id& from, const signed_head& head);
  void take_word(const node_id& from, std::span<const std::byte> bytes);
  void ask_for_words(raft::milliseconds now);
  void ask_for_entries(raft::milliseconds now);
  void take_part(std::span<const std::byte> bytes);
  void ask_for_snapshots(raft::milliseconds now);
  void note_leader();

  group_surroundings around_;
  std::vector<node_id> keepers_; ///< server n is keepers_[n - 1]
  joint_book book_;
  std::unique_ptr<raft::replica> replica_;
  std::vector<keeper_answer> ready_;
  std::uint64_t told_{0}; ///< size of the head that the others were told last
  raft::milliseconds told_at_{0};
  raft::milliseconds asked_at_{0};      ///< for entries that are missing here
  bool asks_on_{false};                 ///< some came: for the next at once
  std::size_t asked_{0};                ///< how often another was asked for them
  node_id asked_of_;                    ///< the last
  raft::milliseconds words_at_{0};      ///< when words were asked for
  std::set<digest> words_asked_;        ///< at that time
  std::map<node_id, log_head> told_by_; ///< the head that each keeper told last
  std::optional<node_id> led_by_;
  std::uint64_t hand_overs_{0};
  result<void> disk_{};
};

} // namespace ovir::ledger
