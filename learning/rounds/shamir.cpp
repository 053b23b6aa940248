#include "learning/rounds/shamir.hpp"

#include "learning/rounds/wide.hpp"

#include <cstring>

namespace ovir::learning {

namespace {

constexpr std::size_t limb_bytes = 7;

// x - p where x >= p, for x < 2p, without a branch.
std::uint64_t once_less(std::uint64_t x) noexcept {
  const std::uint64_t less = x - share_prime;
  const std::uint64_t below = std::uint64_t{0} - (less >> 63U); // all ones where x < p
  return (x & below) | (less & ~below);
}

std::uint64_t share_power(std::uint64_t base, std::uint64_t exponent) noexcept {
  std::uint64_t out = 1;
  for (; exponent != 0; exponent >>= 1U) { // of public exponents
    if ((exponent & 1U) != 0) {
      out = share_product(out, base);
    }
    base = share_product(base, base);
  }
  return out;
}

std::uint64_t drawn_element(keystream& chance) {
  while (true) { // p of 2^61 values: the second draw is never seen
    const std::uint64_t x = chance.next() >> 3U;
    if (x < share_prime) {
      return x;
    }
  }
}

std::size_t bytes_of_limb(std::size_t limb) {
  return limb + 1 == share_numbers ? 32 - limb_bytes * (share_numbers - 1) : limb_bytes;
}

// The weight of each share's value at 0: the product of x_j / (x_j - x_i).
std::vector<std::uint64_t> weights_at_zero(std::span<const secret_share> shares) {
  std::vector<std::uint64_t> out;
  for (const secret_share& i : shares) {
    std::uint64_t above = 1;
    std::uint64_t below = 1;
    for (const secret_share& j : shares) {
      if (i.at != j.at) {
        above = share_product(above, j.at);
        below = share_product(below, share_sum(j.at, share_prime - i.at));
      }
    }
    out.push_back(share_product(above, share_power(below, share_prime - 2)));
  }
  return out;
}

result<void> check_shares(std::span<const secret_share> shares) {
  if (shares.empty()) {
    return fail(errc::malformed, "there is no share of a secret");
  }
  for (std::size_t i = 0; i < shares.size(); ++i) {
    bool sound = shares[i].at != 0;
    for (const std::uint64_t value : shares[i].values) {
      sound = sound && value < share_prime;
    }
    for (std::size_t j = 0; j < i; ++j) {
      sound = sound && shares[i].at != shares[j].at;
    }
    if (!sound) {
      return fail(errc::malformed, "a share of a secret is out of the field or there twice");
    }
  }
  return {};
}

} // namespace

std::uint64_t share_product(std::uint64_t a, std::uint64_t b) noexcept {
  const uint128 x = static_cast<uint128>(a) * b; // below 2^122
  return once_less((static_cast<std::uint64_t>(x) & share_prime) +
                   static_cast<std::uint64_t>(x >> 61U));
}

std::uint64_t share_sum(std::uint64_t a, std::uint64_t b) noexcept { return once_less(a + b); }

std::vector<secret_share> split(const secret32& secret, std::uint32_t threshold,
                                std::span<const std::uint32_t> places, keystream& chance) {
  OVIR_CHECK(threshold >= 1 && threshold <= places.size(), threshold, places.size());
  std::vector<secret_share> out(places.size());
  for (std::size_t i = 0; i < places.size(); ++i) {
    out[i].at = places[i];
  }
  std::vector<std::uint64_t> polynomial(threshold);
  for (std::size_t limb = 0; limb < share_numbers; ++limb) {
    polynomial[0] = 0;
    std::memcpy(polynomial.data(), secret.bytes.data() + limb * limb_bytes, bytes_of_limb(limb));
    for (std::uint32_t k = 1; k < threshold; ++k) {
      polynomial[k] = drawn_element(chance);
    }
    for (secret_share& share : out) {
      std::uint64_t value = 0;
      for (std::uint32_t k = threshold; k-- > 0;) {
        value = share_sum(share_product(value, share.at), polynomial[k]);
      }
      share.values[limb] = value;
    }
  }
  wipe(std::as_writable_bytes(std::span{polynomial}));
  return out;
}

result<secret32> rebuilt(std::span<const secret_share> shares) {
  OVIR_TRY(check_shares(shares));
  const std::vector<std::uint64_t> weights = weights_at_zero(shares);
  secret32 out;
  for (std::size_t limb = 0; limb < share_numbers; ++limb) {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < shares.size(); ++i) {
      value = share_sum(value, share_product(weights[i], shares[i].values[limb]));
    }
    const std::size_t bytes = bytes_of_limb(limb);
    if (value >> (8 * bytes) != 0) {
      return fail(errc::malformed, "the shares are not of one secret of 32 bytes");
    }
    std::memcpy(out.bytes.data() + limb * limb_bytes, &value, bytes);
  }
  return out;
}

} // namespace ovir::learning
