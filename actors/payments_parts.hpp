#pragma once

#include "actors/payments.hpp"
#include "messages/limits_credit.hpp"

#include <caf/fwd.hpp>
#include <caf/result.hpp>

/// What the files of the payments actor say to each other: payments.cpp, the keeper's messages,
/// shells and time; payments_requests.cpp, the requests of this node; payments_convictions.cpp, who
/// was convicted.
namespace ovir::actors {

// payments_convictions.cpp
[[nodiscard]] caf::result<ledger::promise> begin_accusation(payments_pointer self, accuse& asked);
void report_conviction(payments_pointer self, const conviction_found& news);
/// Whether it was one.
[[nodiscard]] bool take_answer_to_accusation(payments_pointer self, const ledger::message& m);
void tend_convictions(payments_pointer self);

[[nodiscard]] storage::env::time_point now_of(payments_pointer self);
void keep_ticking(payments_pointer self);
void say(payments_pointer self, std::uint64_t id, decltype(ledger::message::body) body);
void ask_for_account(payments_pointer self);
[[nodiscard]] bool ready(const payments_state& state);
[[nodiscard]] std::vector<std::byte> entry_of(const ledger::command& c, const signature& proof);
[[nodiscard]] payments_state::sent make_sent(payments_pointer self, ledger::command what,
                                             std::vector<std::byte> entry,
                                             std::vector<std::byte> evidence = {});
void submit(payments_pointer self, payments_state::sent& s);
/// Whether the promise is one of this command, by the keeper.
[[nodiscard]] bool holds(payments_pointer self, const payments_state::sent& s,
                         const ledger::promise& p);

void load_reservations(payments_pointer self);
[[nodiscard]] caf::result<bool> reserve(payments_pointer self, reserve_credit& asked);
void take_stated(payments_pointer self, const work_stated& news);
void end_request(payments_pointer self, request_id request, std::uint64_t tokens,
                 const computing_path& path);
void lead_down(payments_pointer self, const caf::down_msg& message);
void take_promise(payments_pointer self, request_id request, const ledger::promise& news);
void take_refusal(payments_pointer self, request_id request, const error& why);
void take_report(payments_pointer self, request_id request, const ledger::request_report& news);
void tend_request(payments_pointer self, request_id id, payments_state::paid& p);

} // namespace ovir::actors
