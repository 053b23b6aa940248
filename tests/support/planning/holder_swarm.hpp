#pragma once

#include "actors/path/holder_index.hpp"
#include "actors/path/path_choice.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace ovir::test {

/// Members that hold parts of one model, made up from a seed: unequal in speed, load, distance,
/// price and memory.
class holder_swarm {
public:
  holder_swarm(std::uint64_t seed, std::uint32_t layers) : random_(seed), layers_(layers) {
    wanted_.model.bytes[0] = 1;
    wanted_.name = "made up";
    wanted_.positions = 4'096;
    actors::model_shape& s = wanted_.shape;
    const std::uint64_t layer = layers > 40 ? 850'000'000 : 220'000'000;
    for (std::uint32_t l = 0; l < layers; ++l) {
      s.layer_weights.push_back(l % 8 == 0 ? layer * 11 / 10 : layer);
    }
    s.kv_per_position = 4'096;
    s.embedding = s.head = 260'000'000;
    s.boundary = layers > 40 ? 32'768 : 16'384;
    s.logits = 512'000;
    s.stage_buffers = 40'000'000;
  }

  std::uint64_t whole(std::uint64_t low, std::uint64_t high) {
    return low + random_() % (high - low + 1);
  }
  double real(double low, double high) {
    return low + (high - low) * static_cast<double>(random_() >> 11U) * 0x1p-53;
  }

  /// A member with one to three ranges; one in ten is dead, one in ten has hardly any memory.
  actors::member make(std::uint64_t number) {
    actors::member m;
    for (std::size_t i = 0; i < m.node.key.size(); ++i) {
      m.node.key[i] = static_cast<std::uint8_t>(i < 8 ? random_() : number >> 8U * (i % 4));
    }
    m.health = whole(0, 9) == 0 ? actors::member_health::dead : actors::member_health::alive;
    m.advert.name = "n" + std::to_string(number);
    m.advert.roles.add(role::worker);
    m.advert.decode_bytes_per_second = static_cast<std::uint64_t>(std::exp(real(22, 25.5)));
    m.advert.prefill_bytes_per_second = 5 * m.advert.decode_bytes_per_second;
    m.advert.sessions = static_cast<std::uint32_t>(whole(0, 3) * whole(0, 2));
    m.advert.memory_free = whole(0, 9) == 0 ? 60'000'000 : whole(1, 30) * 100'000'000;
    m.advert.ask_ppm = static_cast<std::uint32_t>(real(0.5, 2.0) * 1e6);
    m.rtt = std::chrono::microseconds{whole(100, whole(0, 1) == 0 ? 2'000 : 60'000)};
    for (std::uint64_t k = whole(1, 3); k > 0; --k) {
      const auto length = static_cast<std::uint32_t>(
          whole(0, 19) == 0 ? layers_
                            : whole(std::max(1U, layers_ / 16), std::max(1U, layers_ / 2)));
      const auto first = static_cast<std::uint32_t>(whole(0, layers_ - length));
      m.advert.held.push_back({wanted_.model, {first, first + length}, layers_});
    }
    return m;
  }
  std::vector<actors::member> make_some(std::size_t count) {
    std::vector<actors::member> some;
    for (std::size_t i = 0; i < count; ++i) {
      some.push_back(make(i));
    }
    for (std::size_t i = 0; count > 1 && i < count; ++i) { // a few know how far others are
      const std::size_t other = (i + whole(1, count - 1)) % count;
      some[i].advert.rtts = {
          {some[other].node, static_cast<std::uint32_t>(whole(50'000, 200'000))}};
    }
    return some;
  }

  /// What a scheduler would plan with: all ranges of those that are alive, by key.
  [[nodiscard]] static std::vector<actors::path_candidate>
  candidates(actors::holder_index& index, const actors::path_terms& wanted) {
    const auto layers = static_cast<std::uint32_t>(wanted.shape.layer_weights.size());
    const std::vector<layer_range> all{{0, layers}};
    std::vector<actors::path_candidate> list;
    for (const actors::layer_holding& holding : index.holders(wanted.model, layers, all)) {
      for (const layer_range& range : holding.ranges) {
        list.push_back({holding.who, range, holding.who->advert.memory_free / holding.ranges.size(),
                        1, holding.who->advert.ask_ppm * 1e-6, 0});
      }
    }
    return list;
  }

  [[nodiscard]] const actors::path_terms& wanted() const { return wanted_; }

private:
  std::mt19937_64 random_;
  std::uint32_t layers_;
  actors::path_terms wanted_;
};

} // namespace ovir::test
