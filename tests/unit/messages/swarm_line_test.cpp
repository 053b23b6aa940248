#include "messages/swarm_line.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

namespace ovir {
namespace {

swarm_line some_line() {
  std::array<std::byte, secret_key::seed_size> seed{};
  seed[0] = std::byte{7};
  swarm_line line{{"a.example:7300", "b.example:7301"}, secret_key::from_seed(seed), {}, {}, 4'096};
  line.model.bytes[31] = 9;
  line.keeper.key[0] = 5;
  return line;
}

TEST(swarm_line, comes_back_as_it_was) {
  const auto read = swarm_line_from(to_text(some_line()));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->members, some_line().members);
  EXPECT_EQ(read->key.id(), some_line().key.id());
  EXPECT_EQ(read->model, some_line().model);
  EXPECT_EQ(read->keeper, some_line().keeper);
  EXPECT_EQ(read->context, 4'096U);
}

TEST(swarm_line, any_other_text_is_refused_without_being_quoted) {
  const std::string good = to_text(some_line());
  const std::size_t secret = good.find("/ovir-swarm-") + 12;
  EXPECT_FALSE(swarm_line_from(""));
  EXPECT_FALSE(swarm_line_from(good.substr(good.find('/'))));
  EXPECT_FALSE(swarm_line_from(good + "A"));
  for (std::size_t cut = 0; cut < good.size(); ++cut) {
    const auto read = swarm_line_from(good.substr(0, cut));
    ASSERT_FALSE(read) << cut;
    EXPECT_EQ(read.error().code, errc::malformed);
    EXPECT_EQ(read.error().message.find(good.substr(secret, 12)), std::string::npos);
  }
  std::string many;
  for (int i = 0; i < 65; ++i) {
    many += "a:1,";
  }
  EXPECT_FALSE(swarm_line_from(many + good));
}

TEST(swarm_line, another_byte_is_another_key_or_no_line) {
  const std::string good = to_text(some_line());
  for (std::size_t at = good.find("/ovir-swarm-") + 12; at < good.size(); ++at) {
    std::string other = good;
    other[at] = other[at] == 'A' ? 'B' : 'A';
    const auto read = swarm_line_from(other);
    EXPECT_TRUE(!read || to_text(*read) == other) << at;
  }
}

} // namespace
} // namespace ovir
