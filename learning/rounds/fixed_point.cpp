#include "learning/rounds/fixed_point.hpp"

#include "learning/rounds/wide.hpp"
#include "messages/limits/rounds.hpp"

#include <cmath>

namespace ovir::learning {

namespace {

// Rounding towards 0 makes no number larger, so the loop below ends at once but for the rounding of
// the norm itself.
constexpr double shrink = 1 - 0x1p-40;
constexpr int tries_max = 64;

std::uint64_t size_of(std::int64_t x) noexcept {
  return x < 0 ? std::uint64_t{0} - static_cast<std::uint64_t>(x) : static_cast<std::uint64_t>(x);
}

} // namespace

std::vector<float> difference_of(const lora_numbers& after, const lora_numbers& before) {
  std::vector<float> out;
  out.reserve(count_of(after));
  for_each_pair(after, [&](std::size_t layer, std::size_t place, const lora_pair& pair) {
    const lora_pair& from = before.at(layer)[place];
    OVIR_CHECK(from.a.size() == pair.a.size() && from.b.size() == pair.b.size());
    for (std::size_t i = 0; i < pair.a.size(); ++i) {
      out.push_back(pair.a[i] - from.a[i]);
    }
    for (std::size_t i = 0; i < pair.b.size(); ++i) {
      out.push_back(pair.b[i] - from.b[i]);
    }
  });
  return out;
}

bool within_norm(std::span<const std::int64_t> units, std::uint32_t clip_units) {
  uint128 squares = 0; // 2^22 squares of 2^40 at most
  for (const std::int64_t x : units) {
    const std::uint64_t size = size_of(x);
    if (size > clip_units) {
      return false;
    }
    squares += static_cast<uint128>(size) * size;
  }
  return squares <= static_cast<uint128>(clip_units) * clip_units;
}

result<std::vector<std::int64_t>>
clipped_units(std::span<const float> update, std::uint8_t quantum_bits, std::uint32_t clip_units) {
  OVIR_CHECK(clip_units <= limits::round_clip_units_max, clip_units);
  double squares = 0; // of binary32 numbers: below 2^278
  for (const float x : update) {
    if (!std::isfinite(x)) {
      return fail(errc::nonfinite,
                  "the update holds a NaN or an infinity; train with a lower rate");
    }
    squares += static_cast<double>(x) * static_cast<double>(x);
  }
  const double quanta = std::ldexp(1.0, quantum_bits);
  const double norm = std::sqrt(squares) * quanta;
  double factor = norm > clip_units ? quanta * (clip_units / norm) : quanta;
  std::vector<std::int64_t> out(update.size());
  for (int tries = 0; tries < tries_max; ++tries, factor *= shrink) {
    for (std::size_t i = 0; i < update.size(); ++i) {
      out[i] = static_cast<std::int64_t>(static_cast<double>(update[i]) * factor);
    }
    if (within_norm(out, clip_units)) {
      return out;
    }
  }
  return fail(errc::internal, "an update could not be clipped to {} units", clip_units);
}

std::vector<std::uint64_t> wrapped(std::span<const std::int64_t> units) {
  return {units.begin(), units.end()}; // modulo 2^64, as the language has it
}

result<std::vector<std::int64_t>> unwrapped(std::span<const std::uint64_t> sum,
                                            std::uint32_t workers) {
  const std::uint64_t most = workers * static_cast<std::uint64_t>(limits::round_value_max);
  std::vector<std::int64_t> out;
  out.reserve(sum.size());
  for (const std::uint64_t x : sum) {
    out.push_back(static_cast<std::int64_t>(x)); // modulo 2^64, since C++20
    if (size_of(out.back()) > most) {
      return fail(errc::malformed,
                  "the sum holds a number that no updates of {} workers add up to: a worker sent "
                  "something else, and which one is not to be told; repeat the round with others",
                  workers);
    }
  }
  return out;
}

result<void> add_mean(lora_numbers& to, std::span<const std::int64_t> sum, std::uint32_t workers,
                      std::uint8_t quantum_bits) {
  if (count_of(to) != sum.size() || workers == 0) {
    return fail(errc::malformed, "a sum of {} numbers for an adapter of {}", sum.size(),
                count_of(to));
  }
  const double unit = std::ldexp(1.0, -static_cast<int>(quantum_bits)) / workers;
  std::size_t at = 0;
  bool finite = true;
  const auto add = [&](float& x) {
    x = static_cast<float>(static_cast<double>(x) + static_cast<double>(sum[at++]) * unit);
    finite = finite && std::isfinite(x);
  };
  for_each_pair(to, [&](std::size_t, std::size_t, lora_pair& pair) {
    for (float& x : pair.a) {
      add(x);
    }
    for (float& x : pair.b) {
      add(x);
    }
  });
  if (!finite) {
    return fail(errc::nonfinite, "the new adapter holds a number beyond binary32");
  }
  return {};
}

digest name_of_sum(std::span<const std::int64_t> sum) {
  return hash("ovir/rounds-1/sum", std::as_bytes(sum));
}

} // namespace ovir::learning
