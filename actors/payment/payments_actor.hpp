#pragma once

#include "actors/payment/log_follower.hpp"
#include "actors/payment/payee_standings.hpp"
#include "actors/payment/payment_core.hpp"
#include "actors/payment/sent_command.hpp"
#include "actors/protocol/peers_actor.hpp"
#include "actors/protocol/protocol_actor.hpp"
#include "actors/runtime/log.hpp"
#include "actors/stage/claimable_work.hpp"
#include "ledger/audit/log_watch.hpp"
#include "ledger/keeper/message.hpp"
#include "messages/evidence/audit.hpp"
#include "messages/request/path.hpp"
#include "messages/signing.hpp"
#include "storage/env/env.hpp"

#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace ovir::actors {

/// Reserves what a request may cost, before any work. Answered with a `credit_reserved`. An error
/// refuses the request.
struct reserve_credit {
  generation_request request;
  std::uint32_t layers{0};      ///< of the model
  std::uint64_t model_bytes{0}; ///< of its tensors: what a token costs
};
struct credit_reserved {
  /// False where the ledger hears nothing of it: its keeper is away and the configuration allows
  /// that, or nothing is charged and nobody signs.
  bool paid{false};
  /// What was reserved for: whoever is on it may be paid, by what the keeper knew. Empty of a
  /// request that an earlier lead began, and where nothing is charged.
  layer_places path;
};
/// From a shell that pays for itself: what `asked` would cost it now. Answered with a
/// `credit_quote`.
struct quote_credit {
  reserve_credit asked;
  node_id payer;
};
/// A reservation for the payer to sign under a nonce of its own, as an entry with time 0, and the
/// ledger it is for. Good for limits::payment_quote_lasts, once.
struct credit_quote {
  std::vector<std::byte> entry;
  digest ledger;
};
/// From a shell: a command that its own account signed, an entry with time 0. Answered with the
/// keeper's `promise`.
struct signed_order {
  std::vector<std::byte> entry;
};
/// Who drives a request that was reserved for: should it end without a word, the request is over.
struct paid_lead {
  request_id request;
  caf::actor lead;
};
/// From a lead: a frame of evidence, and who computes now. Behind the work; nobody waits for it.
struct work_stated {
  request_id request;
  frame_bytes evidence;
  computing_path path;
};
/// From a lead: the request is over.
struct work_over {
  request_id request;
};
/// From a shell: what the keeper says of an account; answered with an `account_report`.
struct describe_account {
  node_id who;
};
/// From a shell: a page of an account's statement; answered with a `statement_report`.
struct describe_statement {
  node_id who; ///< empty: this node
  ledger::statement_place from;
};
/// From a gateway: what is left of an API key's budget; answered with a `budget_report`.
struct describe_budget {
  budget_use of;
};
/// Likewise: a page of its requests; answered with a `budget_statement`.
struct describe_budget_requests {
  digest voucher;
  std::uint64_t first{0}; ///< entry of the log
};
/// From a shell: what the log says from an entry on; answered with an `entry_run`.
struct describe_log {
  std::uint64_t first{0};
};
/// From a shell: a command of this node's account, whose key, nonce and signature are put in here,
/// or a conviction with its evidence. Answered with the keeper's `promise`.
struct credit_order {
  ledger::command what;
  std::vector<std::byte> evidence{};
};
/// From a shell: an equivocation or a double charge (ledger/rules/), as bytes. Answered with the
/// keeper's promise of the conviction, whose finder is this node.
struct accuse {
  std::vector<std::byte> evidence;
};
/// From this node's verifier: a conviction in which it gave a verdict, or that convicts by itself.
/// The ledger hears of it until it is in there, or `limits::conviction_report_wait` is over.
struct conviction_found {
  std::shared_ptr<const conviction> what;
};
/// What Prometheus is told; asked with `describe_payments`.
struct describe_payments {};
struct payments_report {
  std::uint64_t requests{0};     ///< reserved for, or being
  std::uint64_t head_entries{0}; ///< under the newest head of the keepers
  std::uint64_t refusals{0};     ///< by the keeper, of what is said for requests
  std::uint64_t unordered{0};    ///< requests to go on with that no scheduler reserved for
  std::uint64_t unentered{0};    ///< requests that ran and are not in the ledger
  std::vector<node_id> keepers{};
  node_id asked{}; ///< the one of them that is asked
};
struct payment_tick {};
/// What was sent back while no keeper led is sent to another.
struct ask_again {};

struct payments_environment {
  const secret_key* key{nullptr};
  /// Of the ledger, or some of them: one at least, all different. One is asked at a time; believed
  /// is what most keepers signed.
  std::vector<node_id> keepers;
  bool serves_unpaid{false}; ///< new requests, while the keeper is away
  ledger::reward_rule rewards{ledger::reward_rule::work};
  /// What is locked, as stake, as soon as this node's account has it.
  ledger::micro_credits stake{0};
  peers* links{nullptr};
  log* journal{nullptr};
  storage::env* env{nullptr};
  std::string folder;          ///< of what is reserved and not settled, a file each
  durable_file* copy{nullptr}; ///< of the keeper's log, kept here; null: none
  std::function<caf::actor()> paths;
  /// Told of each node that was convicted, once: it gets no more work.
  std::function<void(const node_id&)> eject;
  /// Told the rules of the ledger once they are known. An error: this node does not do what they
  /// ask of it, and ends.
  std::function<result<void>(const ledger::policy&)> obeys{};
  /// Whether a node may be a scheduler: with whose requests this one goes on. Empty: with none.
  std::function<bool(const node_id&)> drives{};
  /// Whose node it is: two of one operator are one witness. Empty: each is its own.
  std::function<std::string(const node_id&)> operator_of{};
  /// Told what the copy says about this node's audits. Empty: nobody is.
  std::function<caf::actor()> verifier{};
  /// What receivers signed for this node as a relay since the last call. Empty: it is none.
  std::function<std::vector<carried_part>()> carried{};
};

/// What this node has to do with the ledger of its cluster, as one who uses it: its account, and as
/// a scheduler the payment of its requests (docs/adr/0017-payments.md). Every command is sent until
/// a keeper promised it or refused (`sent_command`): to another one when its link breaks, when it
/// is silent, or when another leads. Reservations are on disk before they are sent, so an earlier
/// life of this node leaves none behind. Never on the path of a token.
struct payments_state {
  struct paid {
    std::optional<reserve_credit> asked; ///< until it is reserved, or resumed
    caf::typed_response_promise<credit_reserved> answer;
    layer_places path;
    storage::env::time_point since;
    bool planning{false};
    bool by_client{false};              ///< it signed the reservation
    node_id payer;                      ///< of the voucher; empty: this node
    digest voucher;                     ///< that is to pay; zero: none
    bool free{false};                   ///< entered and not charged: no request waits
    bool planned_anew{false};           ///< after a refusal for want of admission
    std::vector<std::byte> reservation; ///< entry; empty: not yet made
    reward_terms rewards;
    bool reserved{false}; ///< the keeper promised it
    bool reported{false}; ///< how far it is accounted is known
    std::optional<payment_core> core;
    std::optional<sent_command> under_way;
    std::uint32_t refusals{0}; ///< in a row
    /// Why the keeper refused the reservation; empty again once its report of this account has
    /// shown whether a later command came first (`sign_refused_anew`).
    std::optional<error> refused_for{};
    std::uint32_t signed_anew{0};
    caf::actor_addr lead;
    bool resumed{false};          ///< another lead, or an earlier life, began it
    std::uint64_t paid_before{0}; ///< positions, by other reservations of the request
    /// Another node asks that it be gone on with: whether a scheduler reserved for it, is asked.
    bool doubted{false};
  };
  struct order {
    sent_command what;
    caf::typed_response_promise<ledger::promise> answer;
    storage::env::time_point since;
  };
  using said_body = decltype(ledger::message::body);
  template <class Answer>
  struct question {
    caf::typed_response_promise<Answer> answer;
    storage::env::time_point since;
    said_body what;
  };
  struct accusation {
    std::vector<std::byte> evidence;
    digest about;            ///< of the request
    ledger::convict what;    ///< but for its escrow
    std::uint32_t window{0}; ///< of positions
    caf::typed_response_promise<ledger::promise> answer;
    storage::env::time_point since;
  };
  /// A conviction on its way to the ledger.
  struct reported {
    ledger::convict what; ///< its escrow and window once the keeper said them
    std::vector<std::byte> evidence;
    digest about;            ///< of the request
    std::uint32_t window{0}; ///< of positions
    std::uint64_t id{0};     ///< of what was said last
    std::string why;         ///< the keeper's last refusal
    storage::env::time_point since;
    storage::env::time_point at{};
  };
  const char* name{"payments"};
  payments_environment environment;
  /// Which keeper is asked. Of several that is the one that leads, or one that says who does.
  struct asked_keeper {
    node_id node;
    std::vector<node_id> all; ///< that may be asked: as configured, then as the ledger names them
    bool linked{false};       ///< to `node`
    std::optional<storage::env::time_point> waits; ///< it was asked then, and said nothing since
    storage::env::time_point turned{};             ///< when another was asked before
    bool resends{false};                           ///< `ask_again` is under way
    storage::env::time_point asked_account{};
  };
  asked_keeper at;
  std::optional<digest> ledger; ///< its name, once the keeper reported
  ledger::policy rules;
  struct own_account {
    std::uint64_t nonce{0};
    bool lacks_stake{false}; ///< it is asked about until it has what `environment.stake` says
    bool locks_stake{false}; ///< a command is on its way
  };
  own_account own;
  /// The ledger's time in the keeper's last report, and when that came by this node's steady clock.
  struct ledger_time {
    std::uint64_t unix_s{0};
    storage::env::time_point said{};
  };
  ledger_time time;
  std::uint64_t next_id{1};
  struct counts_of_requests {
    std::uint64_t refused{0};   ///< commands for them
    std::uint64_t unordered{0}; ///< adopted ones for which no reservation exists
    std::uint64_t unentered{0}; ///< that ran and are not in the ledger
  };
  counts_of_requests count;
  /// By this node lately, oldest first, and how many positions it paid for.
  std::deque<std::pair<request_id, std::uint64_t>> driven;
  std::set<node_id> linked_nodes;         ///< heads are passed on to them
  std::optional<ledger::log_watch> watch; ///< of the copy, which it outlives
  /// The keepers signed more than the copy has.
  [[nodiscard]] bool lacks_entries() const {
    return at.linked && follower && !signed_by_keepers.contradicts && signed_by_keepers.head &&
           follower->wants() < signed_by_keepers.head->head.size;
  }
  std::optional<log_follower> follower; ///< null: no copy is kept
  /// What the keepers signed, to hold them to their word.
  struct keeper_words {
    std::vector<node_id> who; ///< as the ledger's first entry names them: most of them must sign
    std::optional<ledger::signed_head> head; ///< the largest
    /// By index, until the copy shows whether they hold.
    std::map<std::uint64_t, ledger::acknowledgement> promises;
    bool contradicts{false}; ///< itself: they are believed no more
  };
  keeper_words signed_by_keepers;
  payee_standings payees;
  /// What was offered to clients, by what it is about; they have not signed it yet.
  struct offered {
    ledger::reserve what; ///< with nonce 0
    reward_terms rewards;
    layer_places path;
    storage::env::time_point since;
  };
  std::map<digest, offered> offers;
  std::vector<std::function<void()>> waiting_plans; ///< for news of nodes, or for a node to come
  std::set<node_id> ejected;
  std::map<request_id, paid> requests;
  std::map<std::uint64_t, order> orders;
  /// What a stage of this node signed of a request that is over here.
  struct kept_claim {
    evidence_terms terms;
    std::vector<std::vector<std::byte>> parts; ///< each a batch for one message
    std::size_t bytes{0};
    std::uint64_t end{0}; ///< of the positions that it states
    std::uint64_t id{0};  ///< of what was said last
    bool asks{false};     ///< that was a question whether it is settled
    storage::env::time_point since;
    storage::env::time_point at{};
  };
  /// Of the keeper, by id.
  struct open_questions {
    std::map<std::uint64_t, question<ledger::account_report>> accounts;
    std::map<std::uint64_t, question<ledger::statement_report>> statements;
    std::map<std::uint64_t, question<ledger::entry_run>> log_pages;
    std::map<std::uint64_t, question<budget_report>> budgets;
    std::map<std::uint64_t, question<budget_statement>> budget_requests;
    storage::env::time_point entries{}; ///< when the copy asked for those it lacks
    /// Of stages of this node, by the request and the first layer, until it is settled.
    std::map<std::pair<digest, layer_index>, kept_claim> claims;
    std::size_t claimed_bytes{0};
  };
  open_questions asked;
  /// What this node is to be paid for as a relay, a command at a time, the oldest first.
  struct relay_bills {
    struct bill {
      carried_part what;
      storage::env::time_point since;
    };
    std::deque<bill> waiting;
    bool under_way{false}; ///< the first of them
    storage::env::time_point next{};
  };
  relay_bills bills;
  std::map<std::uint64_t, accusation> accusations;
  std::map<node_id, reported> convictions; ///< by the guilty one
  bool ticking{false};
};

using payments_pointer = caf::stateful_actor<payments_state>*;

/// Spawned apart: it waits for the disk and checks signatures.
[[nodiscard]] caf::behavior payments_behavior(payments_pointer self,
                                              payments_environment environment);

} // namespace ovir::actors

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::reserve_credit)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::credit_reserved)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::quote_credit)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::credit_quote)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::signed_order)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::paid_lead)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::work_stated)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::work_over)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::describe_account)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::describe_statement)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::describe_budget)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::describe_budget_requests)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::budget_report)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::budget_statement)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::describe_log)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::credit_order)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::accuse)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::conviction_found)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::describe_payments)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::payments_report)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::payment_tick)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::ask_again)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::claimable_work)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::ledger::account_report)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::ledger::audit_news)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::ledger::entry_run)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::ledger::promise)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::ledger::statement_report)
