#pragma once

#include "ledger/keeper/charges.hpp"
#include "ledger/keeper/ledger.hpp"
#include "ledger/keeper/ledger_clock.hpp"
#include "ledger/keeper/message.hpp"
#include "messages/evidence/audit.hpp"
#include "messages/node_id.hpp"
#include "messages/signing.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <vector>

namespace ovir::ledger {

/// What a keeper needs from outside.
struct keeper_surroundings {
  const secret_key* key{nullptr}; ///< of one of the ledger's keepers; outlives it
  /// Of several keepers: the last head that most signed, as far as this one knows.
  std::optional<signed_head> last_head{};
  /// What a node may be, as far as this node knows: whose verdicts count.
  std::function<role_set(const node_id&)> roles_of;
  /// Whose node it is: two verifiers of one operator are one. Empty: each key is its own.
  operator_of operators;
  /// The message (messages/evidence/audit.hpp) of a conviction that this node examined itself, and
  /// replayed where it has the model. `busy` until it did. Empty: no conviction by replay is taken.
  std::function<result<std::vector<std::byte>>(const convict& x)> conviction_of;
  /// Of a conviction by equivocation that was kept before. `not_found`: another keeper has it.
  /// Empty: none is.
  std::function<result<std::vector<std::byte>>(const digest& name)> evidence_of;
  /// Keeps the evidence of a conviction, lasting, before it is applied.
  std::function<result<void>(const digest& name, std::span<const std::byte> bytes)> keep_evidence;
  /// Of one of several keepers: whether what stages claimed here leads to an accrual or an end that
  /// another one proposes without a signature. Empty: nothing does.
  std::function<result<void>(const command& what)> claims_say{};
};

/// What came of commands since the keeper began.
struct keeper_counts {
  std::map<command_kind, std::uint64_t> entries; ///< those that became one
  std::uint64_t refused{0};
};

/// A command that waits for its batch, and who asked for it.
struct asked_command {
  node_id from;
  std::uint64_t id{0};
  authentic_command what;
  std::vector<std::byte> evidence; ///< of a conviction
};
/// What becomes a batch: what was asked for, behind it what time makes possible, and convictions of
/// schedulers that this keeper saw charge twice.
struct gathered_commands {
  std::vector<asked_command> asked;
  std::vector<authentic_command> due;
  std::vector<found_charge> accused;
};

/// An answer on its way.
struct keeper_answer {
  node_id to;
  message what;
};

/// Who keeps the ledger of a cluster: decides who may ask for what, puts commands together into
/// batches, and promises. Knows no clock and no link: time comes in, answers go out.
///
/// Commands that accounts sign may come from anybody, but stages that a request is rerouted to are
/// workers. Accruals and the end of a request are signed by who drives it, for stages that were
/// reserved for or rerouted to, each with the statement it is paid for; without a signature they
/// follow from claims, and come from here alone, as does what follows from time; a conviction by
/// equivocation from anybody who has the evidence, one by replay from a verifier, with verdicts of
/// verifiers, or from two verifiers that each vouch for it, and in both cases only what this node
/// examined itself and what the signed verdicts in it say; a fee for an audit from the verifier it
/// is for, once for each unit that was paid for, out of what its request paid for audits.
///
/// The only keeper of a ledger calls `commit`. One of several gathers what all agree on, enters
/// what was agreed, and promises under heads that most of them signed
/// (ledger/group/joint_book.hpp).
///
/// One thread at a time.
class keeper {
public:
  /// `invalid_argument` where the key is none of the ledger's keepers', or its policy does not
  /// deter.
  [[nodiscard]] static result<keeper> make(ledger book, keeper_surroundings around);

  /// Answers what can be answered at once; commands wait for `commit`, at most
  /// `limits::ledger_waiting_max`, of one sender `limits::ledger_waiting_per_node_max`; more are
  /// refused as `busy`.
  void take(const node_id& from, role_set roles, message question,
            std::vector<keeper_answer>& answers);
  /// Commands wait for the next batch.
  [[nodiscard]] bool waiting() const noexcept { return !waiting_.empty(); }
  /// Makes what waits last, and, as far as `due` says, what time makes possible, and promises it.
  /// `now` in seconds since 1970, of a `ledger_clock`. An error: nothing was promised, and the
  /// ledger must be opened anew. How much was due is the answer.
  [[nodiscard]] result<std::size_t> commit(std::uint64_t now, const due_allowance& due,
                                           std::vector<keeper_answer>& answers);

  // Of one of several keepers

  /// What `commit` would make last; but for `accused`, it waits here no longer. Evidence is kept.
  [[nodiscard]] result<gathered_commands> gather(std::uint64_t now, const due_allowance& due);
  /// Makes a batch last. An error: the ledger must be opened anew.
  [[nodiscard]] result<batch_outcome> enter(std::span<const authentic_command> batch,
                                            std::uint64_t now, std::vector<keeper_answer>& answers);
  /// Entries behind this keeper's log: the next of one whose head most keepers signed
  /// (`ledger::follow`). The head counts once all of it is here.
  [[nodiscard]] result<void> follow(std::span<const std::vector<std::byte>> entries,
                                    const signed_head& head, std::span<const digest> path);
  /// Entries from `first` on and the head, as much as a message has room for. Precondition:
  /// `has_head`.
  [[nodiscard]] result<entry_run> entries_from(std::uint64_t first);
  /// Whether this keeper would admit a command that its sender does not sign, if it came from who
  /// may send it. `evidence`: of a conviction that this proves. It is kept.
  [[nodiscard]] result<void> admits(const command& what,
                                    std::span<const std::byte> evidence = {}) const;
  /// Of a conviction that another keeper puts into an order: the evidence is kept, if it convicts.
  [[nodiscard]] result<void> learn_evidence(const node_id& from, role_set roles,
                                            submit asked) const {
    OVIR_ASSIGN(authentic_command one, admit(from, roles, asked));
    return keep_evidence_of({from, 0, std::move(one), std::move(asked.evidence)});
  }
  /// Most keepers signed it, and it is of this keeper's log.
  void take_head(signed_head of) { head_ = std::move(of); }
  /// The promise of an entry under `head`, or why there is none, as the answer to question `id`.
  [[nodiscard]] message promised(std::uint64_t id, std::uint64_t index);
  /// Of what this keeper has, signed by it alone.
  [[nodiscard]] const signed_head& own_head();

  /// What follows from what stages claim (actors/payment/claims_book.hpp) waits, too: an accrual or
  /// an end. Its answer goes to the keeper's own node.
  [[nodiscard]] result<void> enter_claimed(command what);
  /// Of one that was ever reserved.
  [[nodiscard]] result<reserve> reservation_of(const escrow_id& request) const;
  /// `request`: an escrow, or what its reservation is about.
  [[nodiscard]] request_report report_on_request(const digest& request) const;
  [[nodiscard]] const std::set<node_id>& ejected() const noexcept { return ejected_; }
  /// To those who ever asked.
  void tell(const leader_news& news, std::vector<keeper_answer>& answers) const {
    for (const node_id& node : askers_) {
      answers.push_back({node, {0, news}});
    }
  }
  /// The head, to those who ever asked, if it is another than when this was last called.
  void tell_head(std::vector<keeper_answer>& answers);

  [[nodiscard]] const ledger& book() const noexcept { return book_; }
  /// Writes the ledger's index, for when there is time.
  void absorb() { book_.absorb(); }
  /// Goes on with this one, of the same log, opened anew. Nothing may wait.
  [[nodiscard]] result<void> replace(ledger book);
  [[nodiscard]] const keeper_counts& counts() const noexcept { return counts_; }
  /// Of the only keeper, signed anew when the log has grown; of several, the last one that most
  /// signed. Precondition: `has_head`.
  [[nodiscard]] const signed_head& head();
  /// False at one of several keepers until most of them have signed one.
  [[nodiscard]] bool has_head() const { return is_alone() || head_.has_value(); }
  [[nodiscard]] node_id self() const { return around_.key->id(); }
  [[nodiscard]] bool is_alone() const { return book_.view().origin().keepers.size() == 1; }

private:
  keeper(ledger book, keeper_surroundings around, std::vector<std::byte> genesis);
  void learn();
  [[nodiscard]] result<statement_report> statement_of(const ask_statement& asked);
  /// Of a conviction, `asked.evidence` is its evidence then.
  [[nodiscard]] result<authentic_command> admit(const node_id& from, role_set roles,
                                                submit& asked) const;
  [[nodiscard]] result<void> admit_unsigned(const node_id& from, role_set roles,
                                            const command& what) const;
  [[nodiscard]] result<void> admit_reroute(const reroute& x) const;
  [[nodiscard]] result<void> admit_chain(const chain_commit& x) const;
  /// The evidence: what is kept before anything is taken.
  [[nodiscard]] result<std::vector<std::byte>>
  admit_conviction(role_set roles, const convict& x, std::span<const std::byte> evidence) const;
  [[nodiscard]] result<std::vector<std::byte>> examined_here(const convict& x) const;
  [[nodiscard]] bool has_room_for(std::size_t evidence) const;
  void make_room_for(const node_id& verifier);
  void take_vouch(const node_id& from, role_set roles, std::uint64_t id, vouch& asked,
                  std::vector<keeper_answer>& answers);
  void queue(const node_id& from, role_set roles, std::uint64_t id, submit& asked,
             std::vector<keeper_answer>& answers);
  [[nodiscard]] account_report report_on(const node_id& who);
  void note_escrow(const reserve& r);
  [[nodiscard]] result<promise> promise_of(std::uint64_t index);
  [[nodiscard]] result<void> keep_evidence_of(const asked_command& one) const;
  [[nodiscard]] bool note(const authentic_command& asked, const command_outcome& one);
  void accuse_of_charging_twice(const authentic_command& refused);

  ledger book_;
  keeper_surroundings around_;
  std::vector<std::byte> genesis_;
  std::optional<signed_head> own_head_;
  std::optional<signed_head> head_; ///< of several keepers: the last that most signed
  std::uint64_t told_{0};           ///< size of the head last told
  std::vector<asked_command> waiting_;
  std::map<node_id, std::size_t> waiting_of_;
  std::size_t evidence_waiting_{0}; ///< bytes
  std::set<node_id> askers_;        ///< at most limits::keeper_askers_max
  std::set<node_id> ejected_;
  bool unlearned_{false};               ///< entries were followed since `learn`
  std::map<digest, escrow_id> escrows_; ///< by what they are about; some are over
  struct vouched {
    convict what;
    std::uint64_t said{0}; ///< at the commit before it was said last
  };
  std::map<digest, vouched> vouched_; ///< convictions that lack a verdict, by what they say
  std::uint64_t now_{0};              ///< of the last commit
  /// By whom they convict. Each of several keepers has them: any may lead next.
  std::map<node_id, found_charge> accused_;
  keeper_counts counts_;
};

} // namespace ovir::ledger
