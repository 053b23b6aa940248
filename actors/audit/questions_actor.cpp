#include "actors/audit/questions_actor.hpp"

#include "actors/audit/audit_intake_actor.hpp"
#include "actors/audit/conviction_news_actor.hpp"
#include "actors/audit/hearings_actor.hpp"
#include "actors/audit/verifier_parts_actor.hpp"
#include "actors/audit/window_inputs_actor.hpp"
#include "verify/receipt_check.hpp"
#include "verify/window_task.hpp"

#include <algorithm>
#include <memory>
#include <utility>

namespace ovir::actors {

namespace {

const compute::signer_policy whoever{compute::signer_policy::kind::any, {}};

std::optional<audit_task> task_in(std::span<const std::byte> receipt, const audit_place& place) {
  const auto r = decode_receipt(receipt);
  const auto at = r ? compute::window_of(*r, place) : std::nullopt;
  return at ? std::optional{compute::task_of(*r, *at)} : std::nullopt;
}

void note_unanswered(verifier_pointer self, const waiting_question& asked, std::string_view why) {
  self->state.environment.journal->say(log_level::info, std::nullopt,
                                       "a question of {} is not answered: {}",
                                       short_name(asked.from), why);
}

/// Remembers what the window came to until it is shown what was stated.
void send_answer(verifier_pointer self, const waiting_question& asked, const replayed& again) {
  auto outcome = compute::outcome_for(asked.what.task, again.again);
  if (!outcome) {
    return note_unanswered(self, asked, "the window is not all there");
  }
  verifier_state& state = self->state;
  auto& answered = state.questions.answered;
  const auto now = state.environment.env->now();
  std::erase_if(answered, [now](const auto& entry) { return now >= entry.second.until; });
  if (answered.size() >= limits::audit_answers_kept_max) {
    answered.erase(
        std::min_element(answered.begin(), answered.end(), [](const auto& a, const auto& b) {
          return a.second.until < b.second.until;
        }));
  }
  const digest task = task_digest(asked.what.task);
  const digest name = compute::outcome_digest(*outcome);
  answered[{asked.from, asked.what.number}] = {task, std::move(*outcome), again.means,
                                               now + limits::audit_answer_lasts};
  send_audit(
      self, asked.from,
      audit_answer{asked.what.number, name, sign_outcome(*state.environment.key, task, name)});
}

void answer_from_tokens(verifier_pointer self, const waiting_question& asked, const receipt& r) {
  const audit_task& task = asked.what.task;
  const compute::replay_bounds bounds{task.layers.last, task.window() + 1};
  const auto again = replay(self, r, bounds, asked.what.taken);
  if (!again) {
    return note_unanswered(self, asked, again.error().message);
  }
  charge_for(self, asked.from, bounds.windows);
  if (!compute::follows_from_tokens(task, again->again)) {
    return note_unanswered(self, asked, "what it is about follows from another's statement");
  }
  send_answer(self, asked, *again);
}

void answer_from_inputs(verifier_pointer self, const waiting_question& asked, const receipt& r,
                        const known_inputs& inputs) {
  const compute::stage_window at{0, asked.what.task.window()};
  const auto again = replay_window(self, r, at, inputs, asked.what.taken);
  return again ? send_answer(self, asked, *again) : answer_from_tokens(self, asked, r);
}

} // namespace

std::uint64_t chance(verifier_pointer self) {
  std::uint64_t number = 0;
  self->state.environment.env->random(std::as_writable_bytes(std::span{&number, 1}));
  return number;
}

std::uint64_t ask_window(verifier_pointer self, const node_id& host,
                         std::span<const std::byte> receipt, const audit_place& place,
                         std::span<const audit_kernels> taken) {
  const std::uint64_t number = chance(self);
  if (auto task = task_in(receipt, place)) {
    send_audit(self, host, audit_question{number, std::move(*task), {taken.begin(), taken.end()}});
  }
  return number;
}

bool is_signed_by(const node_id& host, const audit_answer& a, std::span<const std::byte> receipt,
                  const audit_place& place) {
  const auto task = task_in(receipt, place);
  return task && verify_outcome(host, task_digest(*task), a.outcome, a.proof);
}

void reveal_to(verifier_pointer self, const node_id& host, std::uint64_t number,
               const std::vector<std::byte>& receipt, const audit_place& place) {
  send_audit(self, host, audit_reveal{number, place, receipt});
}

void take_answer(verifier_pointer self, const node_id& from, const audit_answer& a) {
  verifier_state& state = self->state;
  if (take_further_answer(self, from, a)) {
    return flush(self);
  }
  const auto found = std::find_if(state.cases.begin(), state.cases.end(), [&](const auto& entry) {
    const verifier_state::open_case& c = entry.second;
    return c.asked == from && c.number == a.number && !c.answered;
  });
  if (found == state.cases.end() ||
      !is_signed_by(from, a, *found->second.bytes, found->second.place)) {
    return;
  }
  const ledger::audit_case_id about = found->first;
  verifier_state::open_case& c = found->second;
  if (a.outcome == c.outcome && !state.book->is_planted(about)) {
    c.answered = true;
    c.until = state.environment.env->now() + limits::second_opinion_wait;
    return reveal_to(self, from, a.number, *c.bytes, c.place);
  }
  c.asked.reset();
  perform(self, state.book->answered(about, from, a.outcome == c.outcome ? c.computed : a.outcome,
                                     state.environment.env->unix_seconds()));
  if (state.book->unit_of(about) == nullptr) {
    state.cases.erase(about);
  }
  flush(self);
}

void take_vouch(verifier_pointer self, const node_id& from, const audit_vouch& v) {
  verifier_state& state = self->state;
  if (take_further_vouch(self, from, v)) {
    return flush(self);
  }
  const auto found = std::find_if(state.cases.begin(), state.cases.end(), [&](const auto& entry) {
    const verifier_state::open_case& c = entry.second;
    return c.asked == from && c.number == v.number && c.answered;
  });
  const auto beside = [&](const audit_verdict& other) {
    return differ_enough(other.means.kernels, v.verdict.means.kernels);
  };
  if (found == state.cases.end() || v.verdict.verifier != from ||
      !std::all_of(found->second.verdicts.begin(), found->second.verdicts.end(), beside) ||
      !verify_verdict(v.verdict, receipt_digest(*found->second.bytes), found->second.place,
                      v.computed)) {
    return;
  }
  const ledger::audit_case_id about = found->first;
  found->second.asked.reset();
  found->second.verdicts.push_back(v.verdict);
  perform(self,
          state.book->answered(about, from, v.computed, state.environment.env->unix_seconds()));
  if (state.book->unit_of(about) == nullptr) {
    state.cases.erase(about);
  }
  flush(self);
}

void begin_answer(verifier_pointer self, waiting_question asked) {
  const auto r = std::make_shared<const receipt>(compute::receipt_of(asked.what.task));
  const std::uint32_t window = asked.what.task.window();
  ++self->state.under_way.count;
  charge_for(self, asked.from, 1);
  fetch_windows(self, r, {0, {window}}, {asked.from},
                [self, r, asked = std::move(asked)](const known_inputs& inputs) {
                  answer_from_inputs(self, asked, *r, inputs);
                  --self->state.under_way.count;
                  call_to_work(self);
                });
}

void take_reveal(verifier_pointer self, const node_id& from, const audit_reveal& shown) {
  verifier_state& state = self->state;
  const auto given = state.questions.answered.extract({from, shown.number});
  if (given.empty()) {
    return;
  }
  const verifier_state::given_answer& answer = given.mapped();
  const auto r = decode_receipt(shown.receipt);
  const auto at = r ? compute::window_of(*r, shown.place) : std::nullopt;
  if (!at || task_digest(compute::task_of(*r, *at)) != answer.task ||
      !compute::check_receipt(*r, whoever).empty()) {
    return; // the asker hears nothing, as from one that is gone
  }
  charge_for(self, from, 1 + windows_of(r->positions) / 8); // signatures
  const auto fault = compute::window_fault(*r, *at, answer.outcome);
  const auto computed = compute::computed_at(answer.outcome, shown.place);
  if (!computed || (fault && fault->place != shown.place)) {
    return;
  }
  send_audit(self, from,
             audit_vouch{shown.number, *computed,
                         give_verdict(*state.environment.key, receipt_digest(shown.receipt),
                                      shown.place, *computed, answer.means)});
}

} // namespace ovir::actors
