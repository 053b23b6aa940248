#pragma once

#include "actors/audit/audit_files.hpp"
#include "actors/audit/audit_queue.hpp"
#include "actors/audit/audit_senders.hpp"
#include "actors/audit/chain_files.hpp"
#include "actors/audit/drawn_audits.hpp"
#include "actors/audit/held_receipts.hpp"
#include "actors/link/operator_names.hpp"
#include "actors/members/convicted_actor.hpp"
#include "actors/members/membership_actor.hpp"
#include "actors/path/model_catalog.hpp"
#include "actors/path/node_meter.hpp"
#include "actors/payment/payments_actor.hpp"
#include "actors/protocol/peers_actor.hpp"
#include "ledger/audit/audit.hpp"
#include "ledger/rules/hearing.hpp"
#include "messages/evidence/audit.hpp"
#include "messages/evidence/receipt.hpp"
#include "verify/receipt_replay.hpp"

#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace ovir::actors {

class addendum_shelf;
class part_shelf;

/// From this node's requests: one ended with this receipt.
struct receipt_finished {
  std::shared_ptr<const std::vector<std::byte>> bytes;
  bool suspect{false}; ///< another run came to something else
};
/// Answered by an `audit_report`.
struct list_convictions {};
struct conviction_view {
  node_id node;
  conviction_kind kind{conviction_kind::replay};
  audit_place place;
  std::string what;
  std::vector<node_id> verifiers;
  bool admitted{false}; ///< by itself: an operator may let it in again
  digest about;         ///< accusation_digest
};
/// What a verifier's log of events says of a signer (ledger/audit/track_record.hpp).
struct signer_view {
  node_id node;
  std::uint64_t reputation_ppm{0};
  std::uint64_t audit_rate_ppm{0};
  std::uint64_t valid_units{0};
  std::uint64_t assigned_units{0};
};
struct audit_report {
  std::vector<conviction_view> convictions;
  std::vector<signer_view> signers;
  std::uint64_t waiting{0};     ///< receipts and questions still to be looked at
  std::uint64_t open{0};        ///< mismatches that wait for a second host, or for the accused
  std::uint64_t receipts{0};    ///< that came for an audit here
  std::uint64_t drawn{0};       ///< windows of stages that were drawn
  std::uint64_t units{0};       ///< of so many
  std::uint64_t from_inputs{0}; ///< windows computed again, each from its own inputs
  std::uint64_t from_tokens{
      0};                    ///< replays of all that comes before, where inputs were not to be had
  std::uint64_t withheld{0}; ///< stages that did not show what they stated, nor was it known here
  std::uint64_t mismatches{0}; ///< units that came out otherwise than stated
  std::uint64_t unaudited{0};  ///< receipts that were not looked at, or not all of their stages
  std::uint64_t refused{0};    ///< receipts and questions beyond what their sender may have waiting
  std::uint64_t strangers{0};  ///< receipts of a signer who was never a member: not looked at
  std::uint64_t duties{0};     ///< units that the log drew for this node, still to be looked at
  std::uint64_t held{0};       ///< receipts of own requests that wait for the draw
  std::uint64_t useless{0};    ///< convictions and tokens that do not count, and what is none
};
/// What was kept before this one's conviction is gone.
struct quarantine_written {
  node_id guilty;
};
/// The fetch of layers that this node was drawn for has ended.
struct drawn_layers_ended {
  digest model;
  layer_range layers;
  result<void> outcome;
};
struct verifier_tick {};
struct verifier_work {};

struct verifier_environment {
  const secret_key* key{nullptr};
  peers* links{nullptr};
  access_list* access{nullptr};
  const operator_names* operators{nullptr}; ///< null: each key is its own
  model_catalog* models{nullptr};
  log* journal{nullptr};
  storage::env* env{nullptr};
  node_meter* meter{nullptr};       ///< null: nobody counts
  addendum_shelf* addenda{nullptr}; ///< what verifiers found in own answers; null: nothing is kept
  std::string state;                ///< the node's folder
  std::string software;             ///< what a verdict says it was computed by
  bool audits{false}; ///< it is a verifier; else it only checks what others convict of
  ledger::audit_settings how;
  /// What members of groups that this node led signed; null: it leads none.
  const part_shelf* parts{nullptr};
  /// Told of every conviction.
  std::function<std::vector<caf::actor>()> watchers;
  /// Takes away what was kept for reuse, because of this one's conviction. `quarantine_written`
  /// follows once the disk has forgotten it. Empty where nothing is kept.
  std::function<void(const node_id&)> quarantine;
  /// Who tells the ledger of convictions that this verifier has a verdict in, or evidence for;
  /// null where none is used.
  std::function<caf::actor()> payments;
  /// Who fetches what windows were computed from (actors/reuse/block_exchange_actor.hpp), and where
  /// it is held for others. Empty, or null: windows are computed from the tokens alone.
  std::function<caf::actor()> exchange{};
  std::function<caf::actor()> cache{};
  /// Fetches layers for the disk alone, which this node was drawn for and has not; calls back once,
  /// on any thread. Empty: it looks at what it has the layers of.
  std::function<void(const digest& model, layer_range layers, std::function<void(result<void>)>)>
      keep{};
};

/// A node's side of audits. On every node: takes receipts of its own requests to a verifier, and
/// checks convictions before it acts on them. On a verifier: draws units of others' receipts,
/// computes them again, asks a second verifier where something differs, and convicts.
struct verifier_state {
  using receipt_bytes = std::shared_ptr<const std::vector<std::byte>>;
  struct open_case {
    receipt_bytes bytes;
    audit_place place;
    digest computed;
    std::vector<audit_verdict> verdicts; ///< this node's first
    std::optional<node_id> asked;
    storage::env::time_point until;
    digest outcome{};            ///< of the whole window, as computed here
    std::set<node_id> signers{}; ///< of the receipt
    std::uint64_t number{0};     ///< of the question to `asked`
    bool answered{false};        ///< it computed the same, and was shown what was stated
  };
  /// What this node answered to a question, until it is shown what was stated.
  struct given_answer {
    digest task;
    compute::replay_outcome outcome;
    audit_means means;
    storage::env::time_point until;
  };
  struct questions_of_others {
    std::map<std::pair<node_id, std::uint64_t>, given_answer> answered; ///< by asker and number
    /// What was told of each signer last: while something that it signed is asked about, it is told
    /// again, whatever was found.
    std::map<node_id, std::uint32_t> standing;
  };
  /// What inputs are fetched for, or computed with.
  struct audits_under_way {
    std::size_t count{0};         ///< receipts and questions, at most limits::audits_under_way_max
    std::set<digest> convictions; ///< by accusation_digest, at most limits::hearings_max
    std::size_t bytes{0};         ///< fetched for them, at most limits::audits_fetch_bytes_max
  };
  /// Models of which all weights of these layers were looked at.
  struct checked_models {
    using weights = std::pair<model_catalog::entry, std::shared_ptr<const compute::model>>;
    std::map<digest, weights> whole;
    /// Ranges that lie on the disk, at most limits::audited_ranges_max.
    std::map<std::tuple<digest, layer_index, layer_index>, weights> layers;
  };
  /// To find equivocation.
  struct recent_receipts {
    std::deque<std::pair<receipt_bytes, receipt>> all;
    std::size_t bytes{0};
  };
  /// What the ledger's log says (actors/audit/log_draws_actor.hpp).
  struct log_draws {
    bool follows{false};                ///< an actor of this node reads the log
    std::optional<drawn_audits> audits; ///< from the first news on
    std::optional<held_receipts> held;  ///< likewise
    std::optional<chain_files> files;   ///< of a verifier
    std::vector<ledger::audit_chain> chains;
    std::optional<std::uint64_t> owed;
    std::set<std::pair<digest, layer_index>> fetching{}; ///< layers from this one on
    storage::env::time_point linked{};                   ///< when a link was said last
    storage::env::time_point committed{};                ///< likewise a chain
  };
  /// A node that was told of what it is accused of.
  struct running_hearing {
    ledger::hearing mind;
    std::uint64_t number{0}; ///< of what was asked last
    storage::env::time_point until;
    digest outcome{};     ///< as of an open case; of an equivocation nothing is asked
    bool shown{false};    ///< it says that a member of its group was wrong, which is looked at
    bool answered{false}; ///< likewise
  };
  struct accusation {
    node_id from;
    audit_accusation what;
  };
  const char* name{"verifier"};
  verifier_environment environment;
  std::optional<audit_files> files;
  ledger::track_records records;
  std::optional<ledger::audit_book> book;
  members_view members;
  audit_queue waiting;
  bool called{false}; ///< a `verifier_work` is under way
  audits_under_way under_way;
  audit_senders senders;
  std::map<ledger::audit_case_id, open_case> cases;
  std::set<digest> kept_open; ///< names of receipts on disk, for cases, hearings and `waiting`
  std::set<digest> resumed;   ///< of these, to be looked at again
  std::map<node_id, running_hearing> hearings; ///< by who is accused, at most limits::hearings_max
  std::deque<accusation> accusations;          ///< of this node, at most limits::accusations_max
  questions_of_others questions;
  recent_receipts recent;
  log_draws draws;
  checked_models checked;
  std::map<node_id, conviction_view> convicted;
  std::vector<std::shared_ptr<const conviction>> for_ledger; ///< until somebody is there to tell
  /// Whom others were sent lately: who asks again at once gets nothing.
  std::map<std::pair<node_id, node_id>, storage::env::time_point> sent; ///< to, guilty
  storage::env::time_point tell_at{};
  storage::env::time_point standing_at{};
  audit_report count;
};

using verifier_pointer = caf::stateful_actor<verifier_state>*;

/// Computes for seconds: spawn it apart.
[[nodiscard]] caf::behavior verifier_behavior(verifier_pointer self,
                                              verifier_environment environment);

} // namespace ovir::actors

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::receipt_finished)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::list_convictions)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::audit_report)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::quarantine_written)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::drawn_layers_ended)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::verifier_tick)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::verifier_work)
