#include "tests/learning/rounds/round_world.hpp"

#include "learning/rounds/fixed_point.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace ovir::test {

using namespace learning;

namespace {

std::uint64_t mixed(std::uint64_t& state) {
  state += 0x9e3779b97f4a7c15U;
  std::uint64_t z = state;
  z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 27U)) * 0x94d049bb133111ebU;
  return z ^ (z >> 31U);
}

} // namespace

random_source seeded_source(std::uint64_t seed) {
  return [state = seed](std::span<std::byte> out) mutable {
    for (std::byte& b : out) {
      b = static_cast<std::byte>(mixed(state));
    }
  };
}

secret_key seeded_key(std::uint64_t seed) {
  std::array<std::byte, secret_key::seed_size> bytes{};
  seeded_source(seed)(bytes);
  return secret_key::from_seed(bytes);
}

round_world::round_world(const round_spec& spec)
    : coordinator_key(seeded_key(spec.seed * 1'000 + 999)) {
  for (std::uint32_t i = 0; i < spec.members; ++i) {
    keys.push_back(seeded_key(spec.seed * 1'000 + i));
  }
  std::sort(keys.begin(), keys.end(),
            [](const secret_key& a, const secret_key& b) { return a.id() < b.id(); });
  task.mode = spec.mode;
  task.nonce.bytes[0] = static_cast<std::uint8_t>(spec.seed);
  task.coordinator = coordinator_key.id();
  task.adapter = hash_plain({});
  task.numbers = spec.numbers;
  task.clip_units = 1'000;
  task.drop_outs = spec.drop_outs;
  task.colluders = spec.colluders;
  task.settings = "steps 1";
  if (spec.mode == round_mode::masked) {
    task.noise_variance = spec.variance;
    task.threshold = least_threshold(spec.members, spec.colluders);
  }
  std::uint64_t state = spec.seed;
  for (const secret_key& key : keys) {
    task.members.push_back(key.id());
    std::vector<float> update;
    for (std::uint32_t i = 0; i < spec.numbers; ++i) {
      update.push_back(static_cast<float>(static_cast<std::int64_t>(mixed(state))) * 0x1p-70F);
    }
    units.push_back(clipped_units(update, 20, task.clip_units).value());
  }
  const auto sound = check_task(task);
  EXPECT_TRUE(sound) << sound.error().message;
  coordinator = std::make_unique<round_coordinator>(task);
  for (std::size_t i = 0; i < keys.size() && spec.mode == round_mode::masked; ++i) {
    workers.push_back(std::make_unique<round_worker>(keys[i], task, units[i],
                                                     seeded_source(spec.seed * 1'000 + 500 + i)));
  }
  sent.resize(keys.size());
}

round_offer round_world::offer() const { return {task, sign_task(coordinator_key, task), {}}; }

worker_terms round_world::terms() const {
  return {task.mode, coordinator_key.id(), task.members, 1'000};
}

void round_world::exchange(const std::function<bool(std::size_t)>& answers) {
  for (std::size_t i = 0; i < workers.size(); ++i) {
    if (!answers(i)) {
      continue;
    }
    letter out = workers[i]->advert();
    if (coordinator->phase() != round_phase::keys) {
      const auto in = coordinator->letter_for(keys[i].id());
      ASSERT_TRUE(in.has_value());
      auto answer = workers[i]->take(*in);
      ASSERT_TRUE(answer) << answer.error().message;
      out = std::move(*answer);
    }
    sent[i].push_back(out);
    const auto taken = coordinator->take(keys[i].id(), out);
    ASSERT_TRUE(taken) << taken.error().message;
  }
}

std::size_t round_world::place_of(const node_id& worker) const { return *task.place_of(worker); }

std::vector<std::int64_t> round_world::sum_of(const std::vector<node_id>& those) const {
  std::vector<std::int64_t> out(task.numbers);
  for (const node_id& n : those) {
    const auto& noised = workers[place_of(n)]->noised();
    EXPECT_EQ(noised.size(), out.size());
    for (std::size_t i = 0; i < out.size(); ++i) {
      out[i] += noised.at(i);
    }
  }
  return out;
}

} // namespace ovir::test
