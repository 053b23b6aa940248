// What a lying node says with its signature, put in front of the real functions by the linker
// (tests/CMakeLists.txt). OVIR_LIE names one way: "other_key", statements by another key than its
// own; "replayed", the signature of an earlier statement under every later one; "withheld", it
// computes and states nothing; "forged_timing", everything took a microsecond; "sampling", a lead
// that draws another token than the one that follows; "choice", a last stage that does; "kv", other
// K and V of the stage's second layer than those it computes with.
#include "actors/request/draws.hpp"
#include "actors/stage/stage_evidence.hpp"
#include "compute/forward/kv_digest.hpp"
#include "messages/evidence/audit.hpp"
#include "messages/signing.hpp"

#include <array>
#include <cstdlib>
#include <optional>
#include <span>
#include <string_view>

using namespace ovir;
using namespace ovir::actors;

// The names that compilers write. What is taken by value there arrives as a reference to a copy.
#define OVIR_SIGN "_ZN4ovir14sign_statementERKNS_10secret_keyERKNS_6digestE"
#define OVIR_FRAME                                                                                 \
  "_ZN4ovir6actors14evidence_frameENS_9strong_idINS_14request_id_tagEmEENS1_INS_9epoch_tagEjEE"    \
  "RKNS_14evidence_batchE"
#define OVIR_ADD                                                                                   \
  "_ZN4ovir6actors14stage_evidence3addERKNS0_13evidence_stepENSt6chrono8durationIlSt5ratioILl1E"   \
  "Ll1000000000EEEERNS0_13evidence_newsE"
#define OVIR_DRAW                                                                                  \
  "_ZN4ovir6actors8draw_allERKSt6vectorISt4byteSaIS2_EEjRKS1_IjSaIjEES8_RNS_7compute7samplerEPN"   \
  "SB_13token_matcherES8_St8optionalIjE"

#define OVIR_KV "_ZN4ovir7compute9kv_digestERKNS0_8kv_cacheEjjj"
#define OVIR_ADMIT "_ZN4ovir11admit_faultERKNS_10secret_keyERKNS_10convictionENS_11audit_faultE"
#define OVIR_HIGHEST "_ZN4ovir7compute10highest_ofESt4spanIKfLm18446744073709551615EE"

signature real_sign(const secret_key& key, const digest& what) __asm__("__real_" OVIR_SIGN);
signature lying_sign(const secret_key& key, const digest& what) __asm__("__wrap_" OVIR_SIGN);
frame_bytes real_frame(request_id request, epoch driver,
                       const evidence_batch& batch) __asm__("__real_" OVIR_FRAME);
frame_bytes lying_frame(request_id request, epoch driver,
                        const evidence_batch& batch) __asm__("__wrap_" OVIR_FRAME);
void real_add(stage_evidence* self, const evidence_step& step, std::chrono::nanoseconds since,
              evidence_news& news) __asm__("__real_" OVIR_ADD);
void lying_add(stage_evidence* self, const evidence_step& step, std::chrono::nanoseconds since,
               evidence_news& news) __asm__("__wrap_" OVIR_ADD);
result<tokens_drawn> real_draw(const std::vector<std::byte>& frame, position at,
                               const std::vector<token_id>& drafts, std::vector<token_id>& recent,
                               compute::sampler& sampler, compute::token_matcher* matcher,
                               std::vector<token_id>& output,
                               std::optional<std::uint32_t> logprobs) __asm__("__real_" OVIR_DRAW);
result<tokens_drawn> lying_draw(const std::vector<std::byte>& frame, position at,
                                const std::vector<token_id>& drafts, std::vector<token_id>& recent,
                                compute::sampler& sampler, compute::token_matcher* matcher,
                                std::vector<token_id>& output,
                                std::optional<std::uint32_t> logprobs) __asm__("__wrap_" OVIR_DRAW);
token_id real_highest(std::span<const float> logits) __asm__("__real_" OVIR_HIGHEST);
token_id lying_highest(std::span<const float> logits) __asm__("__wrap_" OVIR_HIGHEST);
digest real_kv(const compute::kv_cache& kv, layer_index layer, std::uint32_t window,
               std::uint32_t positions) __asm__("__real_" OVIR_KV);
digest lying_kv(const compute::kv_cache& kv, layer_index layer, std::uint32_t window,
                std::uint32_t positions) __asm__("__wrap_" OVIR_KV);

/// A liar admits nothing: what it signs when accused is nobody's signature.
audit_admission lying_admit(const secret_key& key, const conviction& c,
                            audit_fault fault) __asm__("__wrap_" OVIR_ADMIT);
audit_admission lying_admit(const secret_key&, const conviction&, audit_fault fault) {
  return {fault, {}};
}

namespace {

bool lies_by(std::string_view way) {
  const char* const given = std::getenv("OVIR_LIE");
  return given != nullptr && way == given;
}

} // namespace

signature lying_sign(const secret_key& key, const digest& what) {
  if (lies_by("other_key")) {
    std::array<std::byte, secret_key::seed_size> seed{};
    seed.fill(std::byte{0x5a});
    return real_sign(secret_key::from_seed(seed), what);
  }
  if (lies_by("replayed")) {
    static const signature first = real_sign(key, what);
    return first;
  }
  return real_sign(key, what);
}

frame_bytes lying_frame(request_id request, epoch driver, const evidence_batch& batch) {
  if (!lies_by("withheld")) {
    return real_frame(request, driver, batch);
  }
  evidence_batch less = batch;
  less.records.statements.clear();
  return real_frame(request, driver, less);
}

void lying_add(stage_evidence* self, const evidence_step& step, std::chrono::nanoseconds since,
               evidence_news& news) {
  if (!lies_by("forged_timing")) {
    return real_add(self, step, since, news);
  }
  evidence_step faster = step;
  faster.time = std::chrono::microseconds{1};
  real_add(self, faster, std::chrono::microseconds{1}, news);
}

result<tokens_drawn> lying_draw(const std::vector<std::byte>& frame, position at,
                                const std::vector<token_id>& drafts, std::vector<token_id>& recent,
                                compute::sampler& sampler, compute::token_matcher* matcher,
                                std::vector<token_id>& output,
                                std::optional<std::uint32_t> logprobs) {
  auto drawn = real_draw(frame, at, drafts, recent, sampler, matcher, output, logprobs);
  if (drawn && lies_by("sampling")) {
    drawn->drawn.resize(1);
    token_id& token = drawn->drawn[0].token;
    token = token == 17 ? 18 : 17; // no end of anything
  }
  return drawn;
}

token_id lying_highest(std::span<const float> logits) {
  const token_id token = real_highest(logits);
  return lies_by("choice") ? (token == 17 ? 18 : 17) : token;
}

digest lying_kv(const compute::kv_cache& kv, layer_index layer, std::uint32_t window,
                std::uint32_t positions) {
  digest value = real_kv(kv, layer, window, positions);
  if (lies_by("kv") && layer % 3 == 1) {
    value.bytes[0] ^= 1U;
  }
  return value;
}
