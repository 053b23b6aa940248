#include "compute/text/sampler.hpp"

#include "compute/base/exact_math.hpp"
#include "messages/check.hpp"
#include "messages/digest.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <limits>
#include <optional>

namespace ovir::compute {

namespace {

__extension__ typedef unsigned __int128 uint128;

/// Part of exact-1: how far back the repeat penalty looks.
constexpr std::size_t penalty_window = 64;

/// A logit this far or farther below the highest has weight 0, as e^-22.5 < 2^-32. Top-p drops such
/// candidates whatever p is, so they need not be sorted.
constexpr float weightless_distance = 22.5F;

constexpr float two_to_32 = 0x1p+32F;

/// Overflow stops at the largest finite value, so that differences of logits stay numbers.
float finite(float x) {
  constexpr float most = std::numeric_limits<float>::max();
  return std::clamp(x, -most, most);
}

float penalized(float logit, float penalty) {
  return finite(logit > 0 ? logit / penalty : logit * penalty);
}

// As OpenAI writes it: c * frequency, then presence where c > 0; each operation rounds to binary32.
float less_counted(float logit, std::uint32_t count, float frequency, float presence) {
  const float often = static_cast<float>(count) * frequency; // counts are at most 2^20: exact
  return finite(finite(logit - often) - presence);
}

std::uint64_t weight_of(float logit, float highest) {
  return static_cast<std::uint64_t>(exact_exp(logit - highest) * two_to_32);
}

/// floor(p * 2^32): exact, because scaling by a power of two is.
std::uint64_t fixed32(double p) { return static_cast<std::uint64_t>(p * 0x1p+32); }

/// 64 bits that depend on nothing but seed and position.
std::uint64_t draw_bits(std::uint64_t seed, position p) {
  std::array<std::uint8_t, 8> bytes{};
  hasher{"ovir/exact-1/draw"}.update_u64(seed).update_u32(p).finish_into(bytes);
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    value |= std::uint64_t{bytes[i]} << (8 * i);
  }
  return value;
}

template <class Visitor>
void for_each_allowed(token_mask allowed, std::size_t vocabulary, const Visitor& visit) {
  constexpr std::size_t bits = 64;
  for (std::size_t w = 0; w < allowed.size(); ++w) {
    for (std::uint64_t word = allowed[w]; word != 0; word &= word - 1) {
      const std::size_t id = w * bits + static_cast<std::size_t>(std::countr_zero(word));
      if (id < vocabulary) {
        visit(static_cast<token_id>(id));
      }
    }
  }
}

} // namespace

// Lane by lane, which compilers turn into vectors; then the first that equals the highest, looked
// for in runs. As a comparison of each with the best so far, to the choice between zeros and with a
// NaN.
token_id highest_of(std::span<const float> logits) {
  OVIR_CHECK(!logits.empty());
  constexpr std::size_t lanes = 16;
  constexpr std::size_t run = 512;
  const float* const x = logits.data();
  const std::size_t n = logits.size();
  std::array<float, lanes> most{};
  most.fill(x[0]);
  std::size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    for (std::size_t l = 0; l < lanes; ++l) {
      most[l] = x[i + l] > most[l] ? x[i + l] : most[l];
    }
  }
  for (; i < n; ++i) {
    most[0] = x[i] > most[0] ? x[i] : most[0];
  }
  float highest = most[0];
  for (const float one : most) {
    highest = one > highest ? one : highest;
  }
  for (std::size_t first = 0; first < n; first += run) {
    const std::size_t end = std::min(n, first + run);
    std::uint32_t found = 0;
    for (std::size_t at = first; at < end; ++at) {
      found |= x[at] == highest ? 1U : 0U;
    }
    if (found != 0) {
      return static_cast<token_id>(std::find(x + first, x + end, highest) - x);
    }
  }
  return 0; // the first is a NaN, which nothing is higher than
}

token_id highest_of(std::span<const float> logits, token_mask allowed) {
  std::optional<token_id> best;
  for_each_allowed(allowed, logits.size(), [&](token_id id) {
    if (!best || logits[id] > logits[*best]) {
      best = id;
    }
  });
  OVIR_CHECK(best.has_value());
  return *best;
}

void sampler::gather(std::span<const float> logits, token_mask allowed) {
  candidates_.clear();
  candidates_.reserve(logits.size());
  if (allowed.empty()) {
    for (std::size_t i = 0; i < logits.size(); ++i) {
      candidates_.push_back({logits[i], static_cast<token_id>(i)});
    }
  } else {
    for_each_allowed(allowed, logits.size(), [&](token_id id) {
      candidates_.push_back({logits[id], id});
    });
  }
  OVIR_CHECK(!candidates_.empty());
}

float* sampler::logit_of(std::size_t& from, token_id id) {
  const auto found =
      std::lower_bound(candidates_.begin() + static_cast<std::ptrdiff_t>(from), candidates_.end(),
                       id, [](const candidate& c, token_id wanted) { return c.id < wanted; });
  from = static_cast<std::size_t>(found - candidates_.begin());
  return found != candidates_.end() && found->id == id ? &found->logit : nullptr;
}

void sampler::penalize_repeats(std::span<const token_id> history) {
  if (params_.repeat_penalty == 1) {
    return;
  }
  std::array<token_id, penalty_window> recent{};
  const auto tail = history.last(std::min(history.size(), penalty_window));
  const auto end = std::copy(tail.begin(), tail.end(), recent.begin());
  std::sort(recent.begin(), end);
  const auto distinct_end = std::unique(recent.begin(), end);
  std::size_t from = 0;
  for (auto id = recent.begin(); id != distinct_end; ++id) {
    if (float* const logit = logit_of(from, *id)) {
      *logit = penalized(*logit, params_.repeat_penalty);
    }
  }
}

void sampler::penalize_counts(std::span<const token_id> output) {
  if (!counts_output()) {
    return;
  }
  counted_.assign(output.begin(), output.end());
  std::sort(counted_.begin(), counted_.end());
  std::size_t from = 0;
  for (auto first = counted_.begin(); first != counted_.end();) {
    const auto last = std::upper_bound(first, counted_.end(), *first);
    if (float* const logit = logit_of(from, *first)) {
      *logit = less_counted(*logit, static_cast<std::uint32_t>(last - first),
                            params_.frequency_penalty, params_.presence_penalty);
    }
    first = last;
  }
}

void sampler::add_biases() {
  std::size_t from = 0;
  for (const token_bias& one : params_.logit_bias) {
    if (float* const logit = logit_of(from, one.token)) {
      *logit = finite(*logit + one.bias);
    }
  }
}

void sampler::keep_top_k() {
  const auto precedes = [](const candidate& a, const candidate& b) {
    return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
  };
  const float highest = std::min_element(candidates_.begin(), candidates_.end(), precedes)->logit;
  std::erase_if(candidates_,
                [highest](const candidate& c) { return c.logit - highest < -weightless_distance; });
  if (params_.top_k != 0 && params_.top_k < candidates_.size()) {
    const auto kept_end = candidates_.begin() + static_cast<std::ptrdiff_t>(params_.top_k);
    std::nth_element(candidates_.begin(), kept_end, candidates_.end(), precedes);
    candidates_.erase(kept_end, candidates_.end());
  }
  std::sort(candidates_.begin(), candidates_.end(), precedes);
}

std::uint64_t sampler::weigh() {
  weights_.resize(candidates_.size());
  std::uint64_t total = 0; // at most 2^20 candidates of at most 2^32
  for (std::size_t i = 0; i < candidates_.size(); ++i) {
    weights_[i] = weight_of(candidates_[i].logit, candidates_[0].logit);
    total += weights_[i];
  }
  return total;
}

void sampler::keep_top_p(std::uint64_t total) {
  const uint128 wanted = uint128{fixed32(params_.top_p)} * total;
  std::uint64_t sum = 0;
  std::size_t kept = 0;
  do {
    sum += weights_[kept];
    ++kept;
  } while ((uint128{sum} << 32U) < wanted);
  candidates_.resize(kept);
}

void sampler::keep_min_p() {
  const std::uint64_t least = fixed32(params_.min_p);
  std::size_t kept = 0;
  for (std::size_t i = 0; i < candidates_.size(); ++i) {
    if (weights_[i] >= least) {
      candidates_[kept] = candidates_[i];
      ++kept;
    }
  }
  candidates_.resize(kept);
}

token_id sampler::draw(std::span<const float> logits, std::span<const token_id> history, position p,
                       token_mask allowed, std::span<const token_id> output) {
  OVIR_CHECK(!logits.empty());
  if (params_.temperature == 0 && !changes_logits()) {
    return allowed.empty() ? highest_of(logits) : highest_of(logits, allowed);
  }
  gather(logits, allowed);
  penalize_repeats(history);
  penalize_counts(output);
  add_biases();
  if (params_.temperature == 0) {
    const auto lower = [](const candidate& a, const candidate& b) { return a.logit < b.logit; };
    return std::max_element(candidates_.begin(), candidates_.end(), lower)->id;
  }

  keep_top_k();
  keep_top_p(weigh());
  keep_min_p();
  for (candidate& c : candidates_) {
    c.logit = finite(c.logit / params_.temperature);
  }
  const std::uint64_t total = weigh();
  const auto target =
      static_cast<std::uint64_t>((uint128{draw_bits(params_.seed, p)} * total) >> 64U);
  std::uint64_t sum = 0;
  std::size_t chosen = 0;
  while ((sum += weights_[chosen]) <= target) {
    ++chosen;
  }
  return candidates_[chosen].id;
}

} // namespace ovir::compute
