#include "tests/swarm/liars/collusion.hpp"

#include "messages/evidence/audit.hpp"
#include "messages/evidence/receipt.hpp"
#include "tests/swarm/host.hpp"
#include "verify/receipt_replay.hpp"
#include "verify/window_replay.hpp"

#include <optional>
#include <utility>
#include <vector>

// The names that compilers write.
#define OVIR_WINDOW_FAULT                                                                          \
  "_ZN4ovir7compute12window_faultERKNS_7receiptERKNS0_12stage_windowERKNS0_14replay_outcomeE"
#define OVIR_COMPUTED_AT "_ZN4ovir7compute11computed_atERKNS0_14replay_outcomeERKNS_11audit_placeE"
#define OVIR_FIRST_FAULTS "_ZN4ovir7compute12first_faultsERKNS_7receiptERKNS0_14replay_outcomeE"
#define OVIR_STANDS_ALONE                                                                          \
  "_ZN4ovir7compute12stands_aloneERKNS_7receiptERKNS0_14replay_outcomeERKNS_11audit_placeE"
#define OVIR_VERIFY_VERDICT                                                                        \
  "_ZN4ovir14verify_verdictERKNS_13audit_verdictERKNS_6digestERKNS_11audit_placeES5_"

using ovir::audit_place;
using ovir::audit_verdict;
using ovir::digest;
using ovir::receipt;
using ovir::compute::replay_outcome;
using ovir::compute::stage_window;
using ovir::compute::stated_fault;
using maybe_fault = std::optional<stated_fault>;
using maybe_digest = std::optional<digest>;
using faults = std::vector<stated_fault>;

maybe_fault real_window_fault(const receipt& r, const stage_window& at,
                              const replay_outcome& again) __asm__("__real_" OVIR_WINDOW_FAULT);
maybe_fault partial_window_fault(const receipt& r, const stage_window& at,
                                 const replay_outcome& again) __asm__("__wrap_" OVIR_WINDOW_FAULT);
maybe_digest real_computed_at(const replay_outcome& again,
                              const audit_place& place) __asm__("__real_" OVIR_COMPUTED_AT);
maybe_digest partial_computed_at(const replay_outcome& again,
                                 const audit_place& place) __asm__("__wrap_" OVIR_COMPUTED_AT);
faults real_first_faults(const receipt& r,
                         const replay_outcome& again) __asm__("__real_" OVIR_FIRST_FAULTS);
faults partial_first_faults(const receipt& r,
                            const replay_outcome& again) __asm__("__wrap_" OVIR_FIRST_FAULTS);
bool real_stands_alone(const receipt& r, const replay_outcome& again,
                       const audit_place& place) __asm__("__real_" OVIR_STANDS_ALONE);
bool partial_stands_alone(const receipt& r, const replay_outcome& again,
                          const audit_place& place) __asm__("__wrap_" OVIR_STANDS_ALONE);
bool real_verify_verdict(const audit_verdict& v, const digest& receipt, const audit_place& place,
                         const digest& computed) __asm__("__real_" OVIR_VERIFY_VERDICT);
bool partial_verify_verdict(const audit_verdict& v, const digest& receipt, const audit_place& place,
                            const digest& computed) __asm__("__wrap_" OVIR_VERIFY_VERDICT);

namespace ovir::swarm {

namespace {

std::optional<collusion> colluders;
collusion_count count;

/// What a colluder says came out at a place that it is asked about next.
struct answer {
  audit_place place;
  digest value;
  bool vouches{false};
};
std::optional<answer> prepared;

bool colluder_here() {
  const auto who = host::running();
  return colluders && who && colluders->members.contains(*who);
}

/// What all of them say instead of `stated`.
digest invented(const digest& stated) {
  return hasher{"ovir/test/collusion"}.update(stated).finish();
}

/// Of an honest node's statement; nothing of others.
maybe_fault accusation(const receipt& r, const audit_place& place) {
  const auto stated = compute::stated_at(r, place);
  if (!stated || stated->signer == colluders->liar || colluders->keys.contains(stated->signer)) {
    return std::nullopt;
  }
  return stated_fault{place, stated->signer, stated->value, invented(stated->value)};
}

void prepare(const receipt& r, const audit_place& place) {
  prepared.reset();
  if (const auto fault = accusation(r, place)) {
    prepared = {place, fault->computed, false};
  } else if (const auto stated = compute::stated_at(r, place);
             stated && stated->signer == colluders->liar) {
    prepared = {place, stated->value, true};
  }
}

} // namespace

void begin_collusion(collusion how) {
  colluders = std::move(how);
  count = {};
  prepared.reset();
}

void end_collusion() { colluders.reset(); }

const collusion_count& colluded() noexcept { return count; }

} // namespace ovir::swarm

using namespace ovir::swarm;

// An audit, the answer to a question, and the check of a conviction.
maybe_fault partial_window_fault(const receipt& r, const stage_window& at,
                                 const replay_outcome& again) {
  const auto found = real_window_fault(r, at, again);
  if (!colluder_here()) {
    return found;
  }
  const audit_place first{ovir::audit_part::unit, at.window, r.stages[at.stage].signer.layers.first,
                          0};
  prepare(r, first);
  if (found && found->signer == colluders->liar) {
    ++count.passed_over;
    prepare(r, found->place);
    return std::nullopt;
  }
  const auto made_up = accusation(r, first);
  count.accused += made_up ? 1 : 0;
  return made_up;
}

maybe_digest partial_computed_at(const replay_outcome& again, const audit_place& place) {
  const auto said = std::exchange(prepared, std::nullopt);
  if (!colluder_here() || !said || said->place != place) {
    return real_computed_at(again, place);
  }
  ++(said->vouches ? count.vouched : count.confirmed);
  return said->value;
}

faults partial_first_faults(const receipt& r, const replay_outcome& again) {
  auto found = real_first_faults(r, again);
  if (colluder_here()) {
    std::erase_if(found, [](const stated_fault& f) { return f.signer == colluders->liar; });
  }
  return found;
}

bool partial_stands_alone(const receipt& r, const replay_outcome& again, const audit_place& place) {
  if (!colluder_here()) {
    return real_stands_alone(r, again, place);
  }
  prepare(r, place);
  return true;
}

bool partial_verify_verdict(const audit_verdict& v, const digest& receipt, const audit_place& place,
                            const digest& computed) {
  const bool heard = !colluder_here() || colluders->keys.contains(v.verifier);
  return heard && real_verify_verdict(v, receipt, place, computed);
}
