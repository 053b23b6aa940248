#pragma once

#include "actors/path/pathfinder_actor.hpp"
#include "actors/payment/payments_actor.hpp"
#include "actors/protocol/protocol_actor.hpp"
#include "messages/limits/credit.hpp"
#include "messages/request/path.hpp"

#include <caf/fwd.hpp>
#include <caf/result.hpp>

/// What the files of the payments actor say to each other: payments.cpp, the keeper's messages,
/// shells and time; payments_quotes.cpp, what a request would cost; payments_requests.cpp, the
/// requests of this node; payments_vouchers.cpp, those that API keys pay for;
/// payments_keepers.cpp, which keeper is asked; payments_convictions.cpp, who was convicted;
/// payments_parts.cpp, what all of these use.
namespace ovir::actors {

// payments_convictions.cpp
[[nodiscard]] caf::result<ledger::promise> begin_accusation(payments_pointer self, accuse& asked);
void report_conviction(payments_pointer self, const conviction_found& news);
/// Whether it was one.
[[nodiscard]] bool take_answer_to_accusation(payments_pointer self, const ledger::message& m);
void tend_convictions(payments_pointer self);

// payments_parts.cpp

[[nodiscard]] storage::env::time_point now_of(payments_pointer self);
void keep_ticking(payments_pointer self);
/// To the keeper that is asked.
void say(payments_pointer self, std::uint64_t id, payments_state::said_body body);
void ask_for_account(payments_pointer self);
[[nodiscard]] bool ready(const payments_state& state);
[[nodiscard]] std::vector<std::byte> entry_of(const ledger::command& c, const signature& proof);
[[nodiscard]] sent_command make_sent(payments_pointer self, ledger::command what,
                                     std::vector<std::byte> entry,
                                     std::vector<std::byte> evidence = {});
void submit(payments_pointer self, sent_command& s);
/// What was not answered in time, or by another keeper.
void submit_again(payments_pointer self, sent_command& s);
/// What a scheduler says of its request is its signed word: who is paid for a window, that it is
/// over, which stages took another's place. Puts its key and a nonce in, where there is a place.
[[nodiscard]] signature sign_as_scheduler(payments_pointer self, ledger::command& what);
/// Whether the promise is one of this command, by the keeper.
[[nodiscard]] bool holds(payments_pointer self, const sent_command& s, const ledger::promise& p);

// payments_keepers_actor.cpp

void begin_with_keepers(payments_pointer self);
/// The ledger's first entry names them.
void know_keepers(payments_pointer self);
[[nodiscard]] bool may_ask(const payments_state& state, const node_id& node);
/// To each keeper: what each must know before it agrees to what follows from it.
void say_to_all(payments_pointer self, std::uint64_t id, const payments_state::said_body& body);
/// Whether an answer counts: of the keeper that is asked all do, of others a promise, which proves
/// itself, and who leads. False also where nothing more is to be done with it.
[[nodiscard]] bool is_heard(payments_pointer self, const node_id& from, const ledger::message& m);
void link_to_keeper(payments_pointer self, const link_changed& news);
/// Asks another keeper where this one answers nothing.
void leave_silent(payments_pointer self);
/// Where one that does not lead knew of none that does.
void ask_another(payments_pointer self);
/// Of requests and shells: what was not answered in time is sent again.
void tend_commands(payments_pointer self);
/// Everything that waits for a keeper is sent to the one that is asked now.
void send_again(payments_pointer self);

// payments_claims_actor.cpp

/// What a stage of this node signed: claimed from the keeper where its scheduler does not settle.
void keep_claim(payments_pointer self, const claimable_work& done);
/// Whether it was one.
[[nodiscard]] bool take_answer_to_claim(payments_pointer self, const ledger::message& m);
void tend_claims(payments_pointer self);

// payments_relays_actor.cpp

/// Asks for what this node carried as a relay.
void tend_bills(payments_pointer self);

// payments_vouchers_actor.cpp

/// Before the plan of a request that an API key pays for: which account that is. `take_budget` goes
/// on.
void ask_for_budget(payments_pointer self, request_id request, payments_state::paid& p);
void take_budget(payments_pointer self, request_id request, const budget_report& news);
[[nodiscard]] ledger::ask_voucher question_about(const budget_use& use);

// payments_free_actor.cpp

/// Where nothing is charged, a request begins at once, with or without a keeper; one that is signed
/// is entered behind the work. Precondition: the rules are known, and free.
[[nodiscard]] caf::result<credit_reserved> begin_free(payments_pointer self, reserve_credit& asked);
/// The ledger gets a reservation for the path that stated work first.
void enter_free(payments_pointer self, request_id request, payments_state::paid& p,
                const computing_path& path);

// payments_quotes.cpp

/// Whether a head is of this node's ledger and most of its keepers signed it.
[[nodiscard]] bool believed(const payments_state& state, const ledger::signed_head& head);

/// The best path of a request now, through nodes of which the keeper said what they may be: handed
/// to `use`, or why there is none within limits::reserve_wait of `since`.
void find_plan(payments_pointer self, const reserve_credit& asked, storage::env::time_point since,
               const std::function<void(const path_description&)>& use);
/// What waits for a plan tries again.
void try_plans(payments_pointer self);
/// For `payer`, which is this node or entrusts it; with nonce 0. Precondition: a plan.
[[nodiscard]] result<ledger::reserve> reservation_for(payments_pointer self,
                                                      const reserve_credit& asked,
                                                      const path_description& planned,
                                                      const node_id& payer);
[[nodiscard]] reward_terms rewards_of(payments_pointer self, const reserve_credit& asked,
                                      const path_description& planned);
/// For its lead to ask for: only who is on it is known to be one that may be paid.
[[nodiscard]] layer_places places_of(const path_description& planned);
[[nodiscard]] digest about_of(const reserve_credit& asked);
[[nodiscard]] caf::result<credit_quote> offer(payments_pointer self, const quote_credit& asked);
/// The offer that a client signed, or why it is none. It is good once.
[[nodiscard]] result<payments_state::offered> take_signed(payments_pointer self,
                                                          const reserve_credit& asked);
/// Asks the keeper about those of a path that have no leave to be here.
void watch_strangers(payments_pointer self, const std::vector<ledger::path_stage>& stages);
/// What the keeper says of a node that was planned.
void note_site(payments_pointer self, const link_changed& news);
void note_standing(payments_pointer self, const ledger::account_report& report);
/// The keeper is asked about these nodes, and no plan is made before it answered.
void doubt_newcomers(payments_pointer self, const ledger::accrue& paid);
void doubt_standing(payments_pointer self, const std::vector<ledger::path_stage>& stages);

/// From the keeper's report of this node's account.
void tend_stake(payments_pointer self, const ledger::account_report& own);

// payments_requests.cpp

void load_reservations(payments_pointer self);
/// Signs refused reservations again whose nonces are at most `nonce_used`, the highest that the
/// keeper has of this account; the requests of the others fail.
void sign_refused_anew(payments_pointer self, std::uint64_t nonce_used);
[[nodiscard]] caf::result<credit_reserved> reserve(payments_pointer self, reserve_credit& asked);
void take_stated(payments_pointer self, const work_stated& news);
/// Keeps a reservation, and sends it.
void send_reserved(payments_pointer self, request_id request, payments_state::paid& p,
                   const ledger::reserve& r, const signature& proof);
/// The core of a request, once its terms, its reservation and the rules are known.
void make_core(payments_pointer self, payments_state::paid& p);
void end_request(payments_pointer self, request_id request);
void lead_down(payments_pointer self, const caf::down_msg& message);
void take_promise(payments_pointer self, request_id request, const ledger::promise& news);
void take_refusal(payments_pointer self, request_id request, const error& why);
void take_report(payments_pointer self, request_id request, const ledger::request_report& news);
/// It is not paid for, and fails.
void refuse_request(payments_pointer self, request_id request, error why);
/// Who pays is known: a path is planned, and reserved for.
void plan_request(payments_pointer self, request_id request, payments_state::paid& p);
void tend_request(payments_pointer self, request_id id, payments_state::paid& p);

} // namespace ovir::actors
