// Members with valid keys whose adverts are to keep every other node out of every plan.
#include "tests/hostile/hostile_stage.hpp"
#include "tests/support/cluster/cli.hpp"

#include <algorithm>

namespace ovir::test {
namespace {

using namespace actors;

class hole_05 : public hostile_stages {
protected:
  /// The seeds whose keys come first of all: where candidates are taken in the order of keys, no
  /// honest node precedes them.
  [[nodiscard]] static std::vector<std::uint8_t> first_keys(std::size_t count) {
    std::vector<std::uint8_t> seeds;
    for (std::uint32_t seed = 1; seed < 256; ++seed) {
      const bool known = seed >= attacker::stranger && seed <= attacker::rival;
      if (!known) {
        seeds.push_back(static_cast<std::uint8_t>(seed));
      }
    }
    std::sort(seeds.begin(), seeds.end(),
              [](std::uint8_t a, std::uint8_t b) { return id_of(a) < id_of(b); });
    seeds.resize(count);
    return seeds;
  }
};

// One fills the places of a plan, one claims layers beyond the model's, and none answers anything.
TEST_F(hole_05, adverts_of_many_ranges_and_absurd_speed_keep_no_honest_node_out_of_plans) {
  std::vector<std::unique_ptr<hostile_stage>> liars;
  const std::vector<std::uint8_t> keys = first_keys(3);
  for (std::size_t i = 0; i < keys.size(); ++i) {
    node_advert advert = praise(keys[i]);
    for (layer_index first = 0; i == 0 && first < 15; ++first) {
      advert.held.push_back({model_, {first % layers, first % layers + 1}, layers});
    }
    if (i == 1) {
      advert.held.push_back({model_, {0, 400}, 400});
    }
    liars.push_back(std::make_unique<hostile_stage>(guest(head, keys[i]), attacker_key(keys[i]),
                                                    advert, hostile_stage::orders{}));
  }
  expect_service();
  EXPECT_FALSE(liars.front()->opened().empty()) << "whoever says it is so fast is asked first";
  EXPECT_EQ(failure_text(cluster_->shell({head}).call("plan")), "");
}

} // namespace
} // namespace ovir::test
