// How far a planner trusts a node by what verifiers say of it.
#include "actors/members/standing.hpp"

#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

node_id id(std::uint8_t n) {
  node_id made;
  made.key.fill(n);
  return made;
}

TEST(standing, is_one_until_somebody_audits) { EXPECT_DOUBLE_EQ(standing{}.trust(id(1)), 1); }

TEST(standing, prefers_who_was_audited_and_is_the_mean_of_what_verifiers_say) {
  standing s;
  s.tell(id(100), {{id(1), 1'000'000}, {id(2), 500'000}});
  EXPECT_DOUBLE_EQ(s.trust(id(1)), 1.2);
  EXPECT_DOUBLE_EQ(s.trust(id(2)), 1.0);
  EXPECT_DOUBLE_EQ(s.trust(id(3)), 0.8) << "nobody looked at it yet";
  s.tell(id(101), {{id(2), 500'000}, {id(3), 1'000'000}});
  EXPECT_DOUBLE_EQ(s.trust(id(1)), 1.0) << "the other verifier never saw it";
  EXPECT_DOUBLE_EQ(s.trust(id(2)), 1.0);
  EXPECT_DOUBLE_EQ(s.trust(id(3)), 1.0);
  s.tell(id(101), {});
  EXPECT_DOUBLE_EQ(s.trust(id(3)), 0.8) << "what was told before is replaced";
  s.forget(id(101));
  EXPECT_DOUBLE_EQ(s.trust(id(1)), 1.2);
  s.forget(id(100));
  EXPECT_DOUBLE_EQ(s.trust(id(1)), 1);
}

} // namespace
} // namespace ovir::actors
