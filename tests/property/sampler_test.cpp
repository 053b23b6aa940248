#include "compute/base/exact_math.hpp"
#include "compute/text/sampler.hpp"
#include "messages/digest.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <random>
#include <set>
#include <vector>

namespace ovir::compute {
namespace {

__extension__ typedef unsigned __int128 wide;

struct naive_candidate {
  float logit;
  token_id id;
  std::uint64_t weight;
};

void weigh(std::vector<naive_candidate>& all) {
  for (naive_candidate& c : all) {
    c.weight = static_cast<std::uint64_t>(
        std::floor(double{exact_exp(c.logit - all[0].logit)} * 4294967296.0));
  }
}

std::uint64_t total_of(const std::vector<naive_candidate>& all) {
  return std::accumulate(all.begin(), all.end(), std::uint64_t{0},
                         [](std::uint64_t s, const naive_candidate& c) { return s + c.weight; });
}

/// exact-1's paragraph on sampling, read aloud: a full sort and no short cuts.
token_id naive_draw(const sampling_params& p, const std::vector<float>& logits,
                    const std::vector<token_id>& history, position at,
                    const std::vector<token_id>& output = {}) {
  std::vector<naive_candidate> all;
  const std::size_t recent = std::min<std::size_t>(64, history.size());
  const std::set<token_id> seen(history.end() - static_cast<std::ptrdiff_t>(recent), history.end());
  for (token_id id = 0; id < logits.size(); ++id) {
    float l = logits[id];
    if (seen.contains(id)) {
      l = l > 0 ? l / p.repeat_penalty : l * p.repeat_penalty;
    }
    const auto count = std::count(output.begin(), output.end(), id);
    if (count > 0) {
      const float often = static_cast<float>(count) * p.frequency_penalty;
      l = l - often;
      l = l - p.presence_penalty;
    }
    for (const token_bias& one : p.logit_bias) {
      l = one.token == id ? l + one.bias : l;
    }
    all.push_back({l, id, 0});
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const auto& a, const auto& b) { return a.logit > b.logit; });
  if (p.temperature == 0) {
    return all[0].id;
  }
  if (p.top_k != 0 && p.top_k < all.size()) {
    all.resize(p.top_k);
  }
  weigh(all);
  const auto fixed_p = static_cast<wide>(std::floor(p.top_p * 4294967296.0));
  const wide total = total_of(all);
  std::size_t kept = 0;
  for (wide sum = 0; kept == 0 || (sum << 32U) < fixed_p * total; ++kept) {
    sum += all[kept].weight;
  }
  all.resize(kept);
  std::erase_if(all, [&](const naive_candidate& c) {
    return static_cast<double>(c.weight) < std::floor(p.min_p * 4294967296.0);
  });
  for (naive_candidate& c : all) {
    c.logit /= p.temperature;
  }
  weigh(all);
  std::array<std::uint8_t, 32> bytes =
      hasher{"ovir/exact-1/draw"}.update_u64(p.seed).update_u32(at).finish().bytes;
  std::uint64_t draw = 0;
  for (std::size_t i = 8; i-- > 0;) {
    draw = draw * 256 + bytes[i];
  }
  const wide target = (static_cast<wide>(draw) * total_of(all)) >> 64U;
  wide sum = 0;
  for (const naive_candidate& c : all) {
    sum += c.weight;
    if (sum > target) {
      return c.id;
    }
  }
  return ~token_id{0};
}

TEST(sampler, equals_a_full_sort_on_random_logits) {
  std::mt19937_64 random{4};
  const auto pick = [&](auto... options) {
    const std::array choices{options...};
    return choices[random() % choices.size()];
  };
  for (int round = 0; round < 1'500; ++round) {
    const std::size_t size = pick(1U, 2U, 17U, 300U, 2'000U);
    const float spread = pick(0.01F, 1.0F, 8.0F, 60.0F);
    const bool coarse = random() % 3 == 0; // many equal logits, zeros of both signs
    std::normal_distribution<float> normal{0, spread};
    std::vector<float> logits(size);
    for (float& l : logits) {
      l = normal(random);
      l = coarse ? std::nearbyintf(l) : l;
    }
    std::vector<token_id> history(random() % 100);
    for (token_id& id : history) {
      id = static_cast<token_id>(random() % size);
    }
    const sampling_params p{.temperature = pick(0.0F, 0.2F, 0.8F, 1.0F, 3.0F, 500.0F),
                            .top_k = pick(0U, 0U, 1U, 5U, 40U, 1'000U),
                            .top_p = pick(1.0, 1.0, 0.95, 0.5, 1e-11),
                            .min_p = pick(0.0, 0.0, 0.05, 0.9),
                            .repeat_penalty = pick(1.0F, 1.0F, 1.3F, 0.5F),
                            .seed = random()};
    const auto at = static_cast<position>(random());
    ASSERT_EQ(sampler{p}.draw(logits, history, at), naive_draw(p, logits, history, at)) << round;
  }
}

TEST(sampler, with_counts_and_biases_equals_a_full_sort_too) {
  std::mt19937_64 random{47};
  const auto pick = [&](auto... options) {
    const std::array choices{options...};
    return choices[random() % choices.size()];
  };
  for (int round = 0; round < 600; ++round) {
    const std::size_t size = pick(1U, 2U, 17U, 300U);
    std::normal_distribution<float> normal{0, pick(0.01F, 1.0F, 8.0F)};
    std::vector<float> logits(size);
    std::generate(logits.begin(), logits.end(), [&] { return normal(random); });
    std::vector<token_id> history(random() % 200);
    std::generate(history.begin(), history.end(),
                  [&] { return static_cast<token_id>(random() % size); });
    const std::vector<token_id> output(
        history.end() - static_cast<std::ptrdiff_t>(random() % (history.size() + 1)),
        history.end());
    sampling_params p{.temperature = pick(0.0F, 0.0F, 0.8F, 3.0F),
                      .top_k = pick(0U, 5U),
                      .top_p = pick(1.0, 0.5),
                      .repeat_penalty = pick(1.0F, 1.3F),
                      .seed = random()};
    p.presence_penalty = pick(0.0F, 0.3F, 2.0F, -1.7F);
    p.frequency_penalty = pick(0.0F, 0.1F, -0.7F, 2.0F);
    for (token_id id = 0; id < size + 2; ++id) { // some of no vocabulary
      if (random() % 7 == 0) {
        p.logit_bias.push_back({id, pick(-100.0F, -1.25F, 0.3F, 100.0F)});
      }
    }
    const auto at = static_cast<position>(history.size());
    ASSERT_EQ(sampler{p}.draw(logits, history, at, {}, output),
              naive_draw(p, logits, history, at, output))
        << round;
  }
}

} // namespace
} // namespace ovir::compute
