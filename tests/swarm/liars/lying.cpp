#include "tests/swarm/liars/lying.hpp"

#include "actors/stage/stage_evidence.hpp"
#include "compute/forward/segment.hpp"
#include "messages/evidence/audit.hpp"
#include "messages/evidence/evidence.hpp"
#include "messages/limits/general.hpp"
#include "messages/signing.hpp"
#include "tests/swarm/economy/work.hpp"
#include "tests/swarm/host.hpp"

#include <deque>
#include <map>
#include <set>
#include <span>
#include <utility>

// The names that compilers write. What is taken by value there arrives as a reference to a copy,
// unless it fits in registers.
#define OVIR_FORWARD                                                                               \
  "_ZN4ovir7compute7segment7forwardESt4spanINS0_12session_stepE"                                   \
  "Lm18446744073709551615EERNS0_15parallel_runnerE"
#define OVIR_SIGN "_ZN4ovir14sign_statementERKNS_10secret_keyERKNS_6digestE"
#define OVIR_ADMIT "_ZN4ovir11admit_faultERKNS_10secret_keyERKNS_10convictionENS_11audit_faultE"
#define OVIR_ADD                                                                                   \
  "_ZN4ovir6actors14stage_evidence3addERKNS0_13evidence_stepENSt6chrono8durationIlSt5ratioILl1E"   \
  "Ll1000000000EEEERNS0_13evidence_newsE"
#define OVIR_TAKE "_ZN4ovir6actors14stage_evidence4takeERKNS_14evidence_batchERNS0_13evidence_newsE"
#define OVIR_FINISH                                                                                \
  "_ZN4ovir6actors14stage_evidence6finishEjRKSt6vectorINS_7compute9unit_leafESaIS4_EENSt6chrono8"  \
  "durationIlSt5ratioILl1ELl1000000000EEEERNS0_13evidence_newsE"

#define OVIR_MADE                                                                                  \
  "_ZN4ovir6actors14stage_evidenceC1ENS_14evidence_orderESt10shared_ptrIKNS0_11stage_benchEE"

using ovir::actors::evidence_news;
using ovir::actors::evidence_step;
using ovir::actors::stage_evidence;
using ovir::compute::parallel_runner;
using ovir::compute::segment;
using ovir::compute::session_step;
using leaves = std::vector<ovir::compute::unit_leaf>;

void real_forward(segment* self, std::span<session_step> steps,
                  parallel_runner& runner) __asm__("__real_" OVIR_FORWARD);
void lying_forward(segment* self, std::span<session_step> steps,
                   parallel_runner& runner) __asm__("__wrap_" OVIR_FORWARD);
ovir::signature real_sign(const ovir::secret_key& key,
                          const ovir::digest& what) __asm__("__real_" OVIR_SIGN);
ovir::signature noted_sign(const ovir::secret_key& key,
                           const ovir::digest& what) __asm__("__wrap_" OVIR_SIGN);
ovir::audit_admission real_admit(const ovir::secret_key& key, const ovir::conviction& c,
                                 ovir::audit_fault fault) __asm__("__real_" OVIR_ADMIT);
ovir::audit_admission lying_admit(const ovir::secret_key& key, const ovir::conviction& c,
                                  ovir::audit_fault fault) __asm__("__wrap_" OVIR_ADMIT);
using bench_pointer = std::shared_ptr<const ovir::actors::stage_bench>;
void real_make(stage_evidence* self, ovir::evidence_order* order,
               bench_pointer* bench) __asm__("__real_" OVIR_MADE);
void noted_make(stage_evidence* self, ovir::evidence_order* order,
                bench_pointer* bench) __asm__("__wrap_" OVIR_MADE);
void real_add(stage_evidence* self, const evidence_step& step, std::chrono::nanoseconds since,
              evidence_news& news) __asm__("__real_" OVIR_ADD);
void noted_add(stage_evidence* self, const evidence_step& step, std::chrono::nanoseconds since,
               evidence_news& news) __asm__("__wrap_" OVIR_ADD);
void real_take(stage_evidence* self, const ovir::evidence_batch& links,
               evidence_news& news) __asm__("__real_" OVIR_TAKE);
void noted_take(stage_evidence* self, const ovir::evidence_batch& links,
                evidence_news& news) __asm__("__wrap_" OVIR_TAKE);
void real_finish(stage_evidence* self, ovir::position length, const leaves& open,
                 std::chrono::nanoseconds since,
                 evidence_news& news) __asm__("__real_" OVIR_FINISH);
void noted_finish(stage_evidence* self, ovir::position length, const leaves& open,
                  std::chrono::nanoseconds since,
                  evidence_news& news) __asm__("__wrap_" OVIR_FINISH);

namespace ovir::swarm {

namespace {

/// What one stage says about one request.
struct stage_record {
  std::shared_ptr<actors::session_data> data; ///< of the latest step
  std::set<std::uint32_t> lied;               ///< windows, stated or not
  std::shared_ptr<std::vector<bool>> stated{std::make_shared<std::vector<bool>>()};
};

class liar {
public:
  liar(lying how, chance draws) : how_(std::move(how)), draws_(draws) {}

  [[nodiscard]] bool is_here() const { return host::running() == how_.who; }

  void forward(segment& s, std::span<session_step> steps, parallel_runner& runner) {
    std::deque<std::vector<float>> rows; // what steps point into until the pass is over
    std::deque<std::vector<token_id>> tokens;
    std::map<std::size_t, std::uint32_t> windows; // of steps that are lies
    for (std::size_t i = 0; i < steps.size(); ++i) {
      session_step& step = steps[i];
      if (step.in.first == 0) {
        open_.erase(step.state); // of an earlier session in the same memory
      }
      // Guesses that turn out wrong are computed again.
      const std::uint32_t certain = step.in.count - std::min(step.in.count, step.in.drafts);
      if (certain == 0 || told_ >= how_.most || !how_.now() || !draws_.one_in(how_.one_in)) {
        continue;
      }
      const auto row = static_cast<std::uint32_t>(draws_.below(certain));
      const std::uint32_t window = (step.in.first + row) / limits::window_positions;
      if (s.is_first()) {
        auto& changed = tokens.emplace_back(step.in.tokens.begin(), step.in.tokens.end());
        changed[row] = changed[row] == 0 ? 1 : changed[row] - 1;
        step.in.tokens = changed;
      } else {
        auto& changed = rows.emplace_back(step.in.boundary.begin(), step.in.boundary.end());
        changed[std::size_t{row} * s.config().dim] += 0.5F;
        step.in.boundary = changed;
      }
      windows[i] = window;
      told_ += open_[step.state].insert(window).second ? 1 : 0;
    }
    real_forward(&s, steps, runner);
    for (const auto& [i, window] : windows) {
      if (!steps[i].done) {
        told_ -= open_[steps[i].state].erase(window);
      } else if (how_.after_a_lie) {
        how_.after_a_lie();
      }
    }
  }

  void note_signed(const digest& what, const signature& proof) {
    values_[proof.bytes] = signed_digest(what, proof);
  }

  void forget(const stage_evidence* one) { records_.erase(one); }
  /// Before its statements are made.
  void note_step(const stage_evidence& of, const evidence_step& step) {
    if (step.data == nullptr) {
      return;
    }
    stage_record& r = records_[&of];
    r.data = step.data; // held, so that its memory is no other session's
    if (const auto lied = open_.find(&step.data->state); lied != open_.end()) {
      r.lied.insert(lied->second.begin(), lied->second.end());
    }
  }

  /// `from`: how many statements the news had before.
  void note_statements(const stage_evidence& of, const evidence_news& news, std::size_t from) {
    const auto& said = news.to_lead.records.statements;
    for (std::size_t i = from; i < said.size(); ++i) {
      stage_record& r = records_[&of];
      const bool lie = r.lied.contains(said[i].window);
      r.stated->resize(said[i].window + std::size_t{1}, false);
      r.stated->back() = lie;
      const auto value = values_.find(said[i].proof.bytes);
      if (value != values_.end()) {
        statements_[value->second] = {r.stated, said[i].window};
      }
      ++stated_;
      lies_stated_ += lie ? 1 : 0;
    }
  }

  [[nodiscard]] std::optional<lying_statement> find(const digest& value) const {
    const auto found = statements_.find(value);
    return found == statements_.end() ? find_pair(value) : std::optional{found->second};
  }
  [[nodiscard]] std::uint64_t stated() const { return stated_; }
  [[nodiscard]] std::uint64_t lies_stated() const { return lies_stated_; }

private:
  /// Of a path in which it has two places: both are paid for at once.
  [[nodiscard]] std::optional<lying_statement> find_pair(const digest& value) const {
    for (const auto& [first, a] : statements_) {
      for (const auto& [second, b] : statements_) {
        if (a.window != b.window ||
            hasher{"ovir/ledger/v1/statements"}.update(first).update(second).finish() != value) {
          continue;
        }
        auto both = std::make_shared<std::vector<bool>>(*a.all);
        for (std::size_t w = 0; w <= b.window; ++w) {
          (*both)[w] = (*both)[w] || (*b.all)[w];
        }
        return lying_statement{std::move(both), a.window};
      }
    }
    return std::nullopt;
  }

  lying how_;
  chance draws_;
  std::uint64_t told_{0};
  std::uint64_t stated_{0};
  std::uint64_t lies_stated_{0};
  std::map<const compute::segment_state*, std::set<std::uint32_t>> open_; ///< sessions
  std::map<const stage_evidence*, stage_record> records_;
  std::map<decltype(signature::bytes), digest> values_;
  std::map<digest, lying_statement> statements_;
};

std::optional<liar> the_liar;
pass_of_stage in_front;

bool liar_here() { return the_liar && the_liar->is_here(); }

/// Runs `work`, which adds to the news of a stage.
template <class Work>
void note(stage_evidence* of, evidence_news& news, Work work) {
  const std::size_t before = news.to_lead.records.statements.size();
  work();
  if (liar_here()) {
    the_liar->note_statements(*of, news, before);
  }
}

} // namespace

void begin_lying(lying how, chance draws) { the_liar.emplace(std::move(how), draws); }

void end_lying() { the_liar.reset(); }

void compute_with(pass_of_stage instead) { in_front = std::move(instead); }

std::optional<lying_statement> stated_by_liar(const digest& value) {
  return the_liar ? the_liar->find(value) : std::nullopt;
}

std::uint64_t windows_stated() noexcept { return the_liar ? the_liar->stated() : 0; }

std::uint64_t windows_lied() noexcept { return the_liar ? the_liar->lies_stated() : 0; }

} // namespace ovir::swarm

using ovir::swarm::liar_here;
using ovir::swarm::the_liar;

void lying_forward(segment* self, std::span<session_step> steps, parallel_runner& runner) {
  if (ovir::swarm::in_front) {
    return ovir::swarm::in_front(*self, steps, [&] { real_forward(self, steps, runner); });
  }
  liar_here() ? the_liar->forward(*self, steps, runner) : real_forward(self, steps, runner);
}

ovir::signature noted_sign(const ovir::secret_key& key, const ovir::digest& what) {
  const ovir::signature proof = real_sign(key, what);
  if (liar_here()) {
    the_liar->note_signed(what, proof);
  }
  return proof;
}

/// A liar admits nothing: what it signs when accused is no one's signature.
ovir::audit_admission lying_admit(const ovir::secret_key& key, const ovir::conviction& c,
                                  ovir::audit_fault fault) {
  return liar_here() || ovir::swarm::lies_here() ? ovir::audit_admission{fault, {}}
                                                 : real_admit(key, c, fault);
}

void noted_make(stage_evidence* self, ovir::evidence_order* order, bench_pointer* bench) {
  real_make(self, order, bench);
  if (liar_here()) {
    the_liar->forget(self); // another one had this memory
  }
}

void noted_add(stage_evidence* self, const evidence_step& step, std::chrono::nanoseconds since,
               evidence_news& news) {
  if (liar_here()) {
    the_liar->note_step(*self, step);
  }
  ovir::swarm::note(self, news, [&] { real_add(self, step, since, news); });
}

void noted_take(stage_evidence* self, const ovir::evidence_batch& links, evidence_news& news) {
  ovir::swarm::note(self, news, [&] { real_take(self, links, news); });
}

void noted_finish(stage_evidence* self, ovir::position length, const leaves& open,
                  std::chrono::nanoseconds since, evidence_news& news) {
  ovir::swarm::note(self, news, [&] { real_finish(self, length, open, since, news); });
}
