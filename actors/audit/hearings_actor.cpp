#include "actors/audit/hearings_actor.hpp"

#include "actors/audit/audit_intake_actor.hpp"
#include "actors/audit/audit_words.hpp"
#include "actors/audit/conviction_news_actor.hpp"
#include "actors/audit/open_cases_actor.hpp"
#include "actors/audit/questions_actor.hpp"
#include "actors/audit/shown_parts_actor.hpp"
#include "actors/audit/verifier_parts_actor.hpp"
#include "actors/audit/window_inputs_actor.hpp"
#include "verify/capsule_replay.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <utility>

namespace ovir::actors {

namespace {

template <class... Args>
void say(verifier_pointer self, log_level level, fmt::format_string<Args...> text, Args&&... args) {
  self->state.environment.journal->say(level, std::nullopt, text, std::forward<Args>(args)...);
}

/// The stated value of a replay's place; nothing where the receipt has none.
std::optional<digest> stated_in(const conviction& c) {
  const auto r = decode_receipt(c.receipts.front());
  const auto stated = r ? compute::stated_at(*r, c.place) : std::nullopt;
  return stated ? std::optional{stated->value} : std::nullopt;
}

void wait_for(verifier_pointer self, verifier_state::running_hearing& h,
              std::chrono::seconds time) {
  h.until = self->state.environment.env->now() + time;
}

void tell(verifier_pointer self, verifier_state::running_hearing& h) {
  const conviction& c = h.mind.draft();
  audit_accusation a{0, c, {}};
  if (const auto r = decode_receipt(c.receipts.front())) {
    a.capsule = inputs_of(self, *r, c.place);
  }
  wait_for(self, h, limits::hearing_wait); // the inputs took their time
  h.number = a.number = chance(self);
  say(self, log_level::warn, "{}: it is heard first", conviction_text(c));
  send_audit(self, c.guilty, a);
}

/// Does what a hearing came to; over, it is gone.
void carry_out(verifier_pointer self, const node_id& guilty, const ledger::hearing_step& step) {
  verifier_state& state = self->state;
  const auto found = state.hearings.find(guilty);
  if (std::holds_alternative<ledger::tell_accused>(step)) {
    return tell(self, found->second);
  }
  if (const auto* const ask = std::get_if<ledger::ask_further>(&step)) {
    verifier_state::running_hearing& h = found->second;
    wait_for(self, h, limits::second_opinion_wait);
    const conviction& c = h.mind.draft();
    h.answered = false;
    h.number = ask_window(self, ask->host, c.receipts.front(), c.place, ask->taken);
    return;
  }
  state.hearings.erase(found);
  if (const auto* const over = std::get_if<ledger::hearing_over>(&step)) {
    return publish(self, over->what, std::nullopt);
  }
  say(self, log_level::warn, "{} is not convicted: {}", short_name(guilty),
      std::get<ledger::hearing_dropped>(step).reason);
}

} // namespace

void begin_hearing(verifier_pointer self, conviction draft, const digest& outcome) {
  verifier_state& state = self->state;
  const node_id guilty = draft.guilty;
  if (state.hearings.contains(guilty)) {
    return;
  }
  if (state.hearings.size() >= limits::hearings_max) {
    return say(self, log_level::error, "{} is not heard, and not convicted: {} others are heard",
               short_name(guilty), state.hearings.size());
  }
  const bool there =
      guilty != state.environment.key->id() && state.environment.links->reachable(guilty);
  for (const std::vector<std::byte>& receipt : draft.receipts) {
    keep_open(self, receipt);
  }
  const auto others = others_of(self, verifiers_of(self, draft.receipts.front(), draft.place),
                                std::span{&guilty, 1});
  const auto made = state.hearings.emplace(
      guilty,
      verifier_state::running_hearing{ledger::hearing{std::move(draft), others}, 0, {}, outcome});
  carry_out(self, guilty, there ? ledger::hearing::begin() : made.first->second.mind.silent());
}

void take_defence(verifier_pointer self, const node_id& from, const audit_defence& said) {
  const auto found = self->state.hearings.find(from);
  if (found == self->state.hearings.end() || found->second.number != said.number) {
    return;
  }
  ledger::hearing& mind = found->second.mind;
  const conviction& c = mind.draft();
  std::optional<ledger::hearing_step> step;
  if (said.admission && verify_admission(*said.admission, c)) {
    step = mind.admitted(*said.admission);
  } else if (said.counter && said.counter->verifier == from) {
    const auto stated = stated_in(c);
    if (stated &&
        verify_verdict(*said.counter, receipt_digest(c.receipts.front()), c.place, *stated)) {
      say(self, log_level::warn, "{} computes again what it stated: another host is asked",
          short_name(from));
      step = mind.contested();
    }
  }
  if (step) {
    carry_out(self, from, *step);
  }
}

namespace {

auto hearing_that_asked(verifier_state& state, const node_id& host, std::uint64_t number,
                        bool answered) {
  return std::find_if(state.hearings.begin(), state.hearings.end(), [&](const auto& entry) {
    const verifier_state::running_hearing& h = entry.second;
    return h.number == number && h.mind.asked() == host && h.answered == answered;
  });
}

} // namespace

bool take_further_answer(verifier_pointer self, const node_id& from, const audit_answer& a) {
  const auto found = hearing_that_asked(self->state, from, a.number, false);
  if (found == self->state.hearings.end()) {
    return false;
  }
  verifier_state::running_hearing& h = found->second;
  const conviction& c = h.mind.draft();
  if (!is_signed_by(from, a, c.receipts.front(), c.place)) {
    return true;
  }
  if (a.outcome == h.outcome) {
    h.answered = true;
    wait_for(self, h, limits::second_opinion_wait);
    reveal_to(self, from, a.number, c.receipts.front(), c.place);
  } else if (const auto step = h.mind.answered({from, {}, {}}, a.outcome)) {
    carry_out(self, node_id{found->first}, *step); // no verdict is needed of who computed otherwise
  }
  return true;
}

bool take_further_vouch(verifier_pointer self, const node_id& from, const audit_vouch& v) {
  const auto found = hearing_that_asked(self->state, from, v.number, true);
  if (found == self->state.hearings.end()) {
    return false;
  }
  const conviction& c = found->second.mind.draft();
  const auto taken = ledger::taken_by(c.verdicts);
  if (v.verdict.verifier != from ||
      std::find(taken.begin(), taken.end(), v.verdict.means.kernels) != taken.end() ||
      !verify_verdict(v.verdict, receipt_digest(c.receipts.front()), c.place, v.computed)) {
    return true;
  }
  if (const auto step = found->second.mind.answered(v.verdict, v.computed)) {
    carry_out(self, node_id{found->first}, *step);
  }
  return true;
}

void tend_hearings(verifier_pointer self) {
  verifier_state& state = self->state;
  std::vector<node_id> late;
  for (const auto& [guilty, h] : state.hearings) {
    if (state.environment.env->now() >= h.until) {
      late.push_back(guilty);
    }
  }
  for (const node_id& guilty : late) {
    if (const auto found = state.hearings.find(guilty); found != state.hearings.end()) {
      carry_out(self, guilty, found->second.mind.silent());
    }
  }
}

void take_accusation(verifier_pointer self, const node_id& from, audit_accusation&& a) {
  verifier_state& state = self->state;
  const auto own = std::count_if(state.accusations.begin(), state.accusations.end(),
                                 [&](const auto& other) { return other.from == from; });
  if (a.what.guilty != state.environment.key->id() || !is_verifier(self, from) || own > 0 ||
      state.accusations.size() >= limits::accusations_max) {
    return;
  }
  state.accusations.push_back({from, std::move(a)});
  self->send(self, verifier_work{});
}

namespace {

/// Whether the stage computes again what it stated, with these kernels. An error: it cannot.
result<bool> states_the_same(const capsule& c, const model_catalog::entry& part,
                             const compute::kernel_set& kernels) {
  compute::serial_runner runner;
  const bool own = kernels.id == part->kernels->id;
  const auto* const words = part->vocabulary ? &part->vocabulary->words() : nullptr;
  OVIR_ASSIGN(const auto failure,
              compute::replay_piece(c, c.pieces.front(),
                                    own ? part->weights : unpacked(part->weights), kernels, runner,
                                    words));
  return !failure;
}

/// The stage's inputs, seen to be those of the receipt that this node is accused by.
result<capsule> inputs_in(verifier_pointer self, const audit_accusation& a) {
  OVIR_ASSIGN(const receipt r, decode_receipt(a.what.receipts.front()));
  OVIR_TRY(compute::check_conviction(a.what)); // it did sign that
  std::vector<std::byte> bytes = a.capsule;
  if (bytes.empty()) {
    bytes = inputs_of(self, r, a.what.place);
  }
  OVIR_ASSIGN(capsule c, decode_capsule(bytes));
  if (c.pieces.size() != 1 || encode_receipt(c.what) != a.what.receipts.front()) {
    return fail(errc::invalid_argument, "the inputs are of another receipt, or of many stages");
  }
  const capsule_piece& piece = c.pieces.front();
  if (a.what.place.layer < piece.layers.first || a.what.place.layer >= piece.layers.last ||
      piece.positions <= a.what.place.window * limits::window_positions) {
    return fail(errc::invalid_argument, "the inputs are not those of the place in question");
  }
  if (const auto wrong = compute::check_inputs(c); !wrong.empty()) {
    return fail(errc::digest_mismatch, "{}", wrong.front().what);
  }
  return c;
}

result<audit_defence> defence(verifier_pointer self, const audit_accusation& a) {
  const secret_key& key = *self->state.environment.key;
  OVIR_ASSIGN(const capsule c, inputs_in(self, a));
  const auto part =
      self->state.environment.models->find(c.what.asked.model, c.pieces.front().layers);
  if (!part || part->kernels == nullptr) {
    return fail(errc::segment_missing, "the layers in question are not here");
  }
  audit_defence said;
  said.number = a.number;
  OVIR_ASSIGN(const bool again, states_the_same(c, part, *part->kernels));
  if (!again || a.what.kind == conviction_kind::equivocation) { // one of the two is wrong
    said.admission = admit_fault(key, a.what, audit_fault::hardware);
    return said;
  }
  OVIR_ASSIGN(const bool by_reference, states_the_same(c, part, compute::kernels_reference()));
  if (!by_reference) {
    said.admission = admit_fault(key, a.what, audit_fault::software);
    return said;
  }
  const auto stated = stated_in(a.what);
  said.counter = give_verdict(key, receipt_digest(a.what.receipts.front()), a.what.place, *stated,
                              {audit_kernels::reference, self->state.environment.software});
  return said;
}

/// From the window's inputs; an error where they are not all there, or the layers are not.
result<audit_defence> defence_from(verifier_pointer self, const audit_accusation& a,
                                   const receipt& r, const known_inputs& inputs) {
  const auto at = compute::window_of(r, a.what.place);
  const auto stated = compute::stated_at(r, a.what.place);
  if (!at || !stated) {
    return fail(errc::invalid_argument, "the place in question is not in the receipt");
  }
  const auto computes_it = [&](std::span<const audit_kernels> taken) -> result<bool> {
    OVIR_ASSIGN(const auto again, replay_window(self, r, *at, inputs, taken));
    return compute::computed_at(again.again, a.what.place) == stated->value;
  };
  const secret_key& key = *self->state.environment.key;
  audit_defence said;
  said.number = a.number;
  OVIR_ASSIGN(const bool again, computes_it({}));
  if (!again) {
    said.admission = admit_fault(key, a.what, audit_fault::hardware);
    return said;
  }
  constexpr std::array fast{audit_kernels::avx2, audit_kernels::avx512, audit_kernels::neon};
  OVIR_ASSIGN(const bool by_reference, computes_it(fast));
  if (!by_reference) {
    said.admission = admit_fault(key, a.what, audit_fault::software);
    return said;
  }
  said.counter =
      give_verdict(key, receipt_digest(a.what.receipts.front()), a.what.place, stated->value,
                   {audit_kernels::reference, self->state.environment.software});
  return said;
}

void say_defence(verifier_pointer self, const verifier_state::accusation& a,
                 const result<audit_defence>& said) {
  if (!said) {
    return say(self, log_level::error, "accused by {}, this node has nothing to say: {}",
               short_name(a.from), said.error().message);
  }
  say(self, log_level::error, "accused by {}: {}; {}", short_name(a.from),
      conviction_text(a.what.what),
      said->counter ? "it computes again what it stated, and contests"
                    : "it computes something else now, and admits a fault");
  send_audit(self, a.from, *said);
}

/// With the inputs that are here or that the accuser has; else as its capsule has them.
void plead_from_inputs(verifier_pointer self,
                       const std::shared_ptr<const verifier_state::accusation>& a,
                       const std::shared_ptr<const receipt>& r) {
  const auto at = compute::window_of(*r, a->what.what.place);
  if (!at) {
    return say_defence(self, *a, defence(self, a->what));
  }
  fetch_windows(self, r, {at->stage, {at->window}}, {self->state.environment.key->id(), a->from},
                [self, a, r](const known_inputs& inputs) {
                  if (show_parts(self, *a, *r, inputs)) {
                    return;
                  }
                  const auto said = defence_from(self, a->what, *r, inputs);
                  say_defence(self, *a, said ? said : defence(self, a->what));
                });
}

} // namespace

void plead(verifier_pointer self, const verifier_state::accusation& a) {
  if (a.what.what.receipts.empty()) {
    return;
  }
  const auto r = decode_receipt(a.what.what.receipts.front());
  const bool replays = a.what.what.kind == conviction_kind::replay;
  if (!r || !replays || !compute::check_conviction(a.what.what)) {
    return say_defence(self, a, defence(self, a.what));
  }
  plead_from_inputs(self, std::make_shared<const verifier_state::accusation>(a),
                    std::make_shared<const receipt>(*r));
}

} // namespace ovir::actors
