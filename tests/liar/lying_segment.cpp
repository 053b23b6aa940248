// What a lying worker computes. The linker calls this instead of `compute::segment::forward`
// (tests/CMakeLists.txt): it changes what goes into the real one or what comes out, at random, so
// that everything the worker signs fits together and is wrong. OVIR_LIE names one way to lie, or
// "any"; OVIR_LIE_SEED is the chance, OVIR_LIE_PPM how many passes lie. What is said with a
// signature and not computed is in lying_words.cpp.
#include "compute/forward/segment.hpp"
#include "messages/digest.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <iterator>
#include <map>
#include <string>
#include <string_view>
#include <vector>

using ovir::compute::parallel_runner;
using ovir::compute::segment;
using ovir::compute::session_step;

// The name of `segment::forward(std::span<session_step>, parallel_runner&)`, as compilers write it.
#define OVIR_FORWARD                                                                               \
  "_ZN4ovir7compute7segment7forwardESt4spanINS0_12session_stepE"                                   \
  "Lm18446744073709551615EERNS0_15parallel_runnerE"
void real_forward(segment* self, std::span<session_step> steps,
                  parallel_runner& runner) __asm__("__real_" OVIR_FORWARD);
void lying_forward(segment* self, std::span<session_step> steps,
                   parallel_runner& runner) __asm__("__wrap_" OVIR_FORWARD);

namespace {

// Drawn from by "any". Beside them there are, of every pass whatever the share: "smaller_model",
// as if half of the width were missing; "claimed", a unit inside is stated that was never computed;
// "equivocation", every other request is computed wrongly.
constexpr std::string_view ways[] = {
    "wrong_output", "scaled", "quantised", "skipped", "stale_kv", "swapped_positions", "logits"};

std::string setting(const char* name, const char* otherwise) {
  const char* const value = std::getenv(name);
  return value == nullptr ? otherwise : value;
}

/// The next of a row of numbers that the seed determines.
std::uint64_t chance() {
  static std::atomic<std::uint64_t> drawn{0};
  static const std::uint64_t seed =
      std::strtoull(setting("OVIR_LIE_SEED", "1").c_str(), nullptr, 10);
  const ovir::digest d =
      ovir::hasher{"ovir/test/liar"}.update_u64(seed).update_u64(drawn++).finish();
  std::uint64_t value = 0;
  std::memcpy(&value, d.bytes.data(), sizeof(value));
  return value;
}

std::string_view way() {
  static const std::string wanted = setting("OVIR_LIE", "any");
  return wanted == "any" ? ways[chance() % std::size(ways)] : std::string_view{wanted};
}

std::uint64_t share_ppm() {
  static const std::uint64_t ppm =
      std::strtoull(setting("OVIR_LIE_PPM", "100000").c_str(), nullptr, 10);
  return ppm;
}

/// Of a stage that gets tokens: another token than the one that came.
void lie_about_tokens(session_step& step, std::vector<ovir::token_id>& changed) {
  changed.assign(step.in.tokens.begin(), step.in.tokens.end());
  ovir::token_id& one = changed[chance() % changed.size()];
  one = one == 0 ? 1 : one - 1;
  step.in.tokens = changed;
}

void lie_about_rows(session_step& step, std::uint32_t dim, std::string_view how,
                    std::vector<float>& changed) {
  changed.assign(step.in.boundary.begin(), step.in.boundary.end());
  const std::size_t row = chance() % step.in.count;
  float* const at = changed.data() + row * dim;
  if (how == "scaled") {
    std::transform(at, at + dim, at, [](float v) { return v * 1.01F; });
  } else if (how == "quantised") {
    std::transform(at, at + dim, at, [](float v) { return std::round(v * 16.0F) / 16.0F; });
  } else if (how == "skipped") {
    std::fill(at, at + dim, 0.5F);
  } else if ((how == "stale_kv" || how == "swapped_positions") && row > 0) {
    how == "stale_kv" ? (void)std::copy_n(at - dim, dim, at)
                      : (void)std::swap_ranges(at, at + dim, at - dim);
  } else {
    at[chance() % dim] += 0.5F;
  }
  step.in.boundary = changed;
}

/// Whether a request that begins now is one of those that are computed wrongly.
bool every_other(const session_step& step) {
  static std::map<const void*, bool> lies; // by session
  static std::uint64_t begun = 0;
  if (step.in.first == 0) {
    lies[step.state] = begun++ % 2 == 1;
  }
  return lies[step.state];
}

/// Ways that are not drawn by chance, or not about bits. True: this is one of them.
bool lie_always(session_step& step, std::uint32_t dim, bool first, std::vector<float>& rows,
                std::vector<ovir::token_id>& tokens) {
  const std::string_view how = way();
  if (how != "smaller_model" && !(how == "equivocation" && every_other(step))) {
    return std::find(std::begin(ways), std::end(ways), how) == std::end(ways);
  }
  if (first) {
    lie_about_tokens(step, tokens);
    return true;
  }
  rows.assign(step.in.boundary.begin(), step.in.boundary.end());
  for (std::size_t row = 0; row < step.in.count; ++row) {
    float* const at = rows.data() + row * dim;
    std::fill(at + dim / 2, at + dim, 0.0F);
  }
  step.in.boundary = rows;
  return true;
}

} // namespace

void lying_forward(segment* self, std::span<session_step> steps, parallel_runner& runner) {
  const std::uint32_t dim = self->config().dim;
  std::deque<std::vector<float>> rows; // what the steps point into until the pass is over
  std::deque<std::vector<ovir::token_id>> tokens;
  std::vector<bool> about_logits(steps.size(), false);
  for (std::size_t i = 0; i < steps.size(); ++i) {
    session_step& step = steps[i];
    if (step.in.count > 0 &&
        lie_always(step, dim, self->is_first(), rows.emplace_back(), tokens.emplace_back())) {
      continue;
    }
    if (chance() % 1'000'000 >= share_ppm() || step.in.count == 0) {
      continue;
    }
    const std::string_view how = way();
    if (how == "logits" && self->is_last()) {
      about_logits[i] = true;
    } else if (self->is_first()) {
      lie_about_tokens(step, tokens.emplace_back());
    } else {
      lie_about_rows(step, dim, how, rows.emplace_back());
    }
  }
  real_forward(self, steps, runner);
  for (session_step& step : steps) {
    if (way() == "claimed" && step.done && step.out->leaves.size() > 1) {
      step.out->leaves.front().boundary.bytes[3] ^= 1U; // not the one that is sent on
    }
  }
  for (std::size_t i = 0; i < steps.size(); ++i) {
    if (about_logits[i] && steps[i].done && !steps[i].out->logits.empty()) {
      std::rotate(steps[i].out->logits.begin(), steps[i].out->logits.begin() + 1,
                  steps[i].out->logits.end());
    }
  }
}
