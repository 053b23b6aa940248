#include "actors/reach/found_table.hpp"
#include "messages/limits/lan.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

node_id key_of(std::uint32_t number) {
  node_id key;
  key.key[0] = static_cast<std::uint8_t>(number);
  key.key[1] = static_cast<std::uint8_t>(number >> 8U);
  key.key[31] = 1;
  return key;
}

sighting seen(const std::string& service, const std::string& address, const std::string& cluster,
              std::uint32_t key, bool asks = true) {
  return {service, address, to_txt({cluster, key_of(key), asks})};
}

TEST(found_table, has_a_row_for_each_key_with_its_nodes_and_addresses_once) {
  found_table table;
  table.add(seen("ovir-2", "10.0.0.2:7300", "home", 1));
  table.add(seen("ovir-1", "10.0.0.1:7300", "home", 1));
  table.add(seen("ovir-1", "10.0.0.1:7300", "home", 1)); // on another interface
  table.add(seen("ovir-1", "[fd00::1]:7300", "home", 1));
  table.add(seen("ovir-3", "10.0.0.3:7300", "attic", 2, false));
  const auto found = table.clusters();
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].name, "attic");
  EXPECT_FALSE(found[0].asks);
  EXPECT_EQ(found[1].key, key_of(1));
  EXPECT_EQ(found[1].nodes, 2U);
  EXPECT_THAT(found[1].addresses, ElementsAre("10.0.0.2:7300", "10.0.0.1:7300", "[fd00::1]:7300"));
  EXPECT_EQ(table.nodes(), 3U);
  EXPECT_THAT(table.warnings(), IsEmpty());
  EXPECT_THAT(table_text(found), HasSubstr("2   home     0100000000000000  needed      2      "
                                           "10.0.0.2:7300\n"));
}

TEST(found_table, warns_once_of_what_is_unreadable_however_much_of_it_there_is) {
  found_table table;
  for (int i = 0; i < 500; ++i) {
    table.add({fmt::format("\xff\x1b[31m{}", i), "10.0.0.9:1", {"nothing"}});
    table.add({fmt::format("\xff\x1b[31m{}", i), "10.0.0.9:2", {"nothing"}});
  }
  EXPECT_THAT(table.clusters(), IsEmpty());
  ASSERT_EQ(table.warnings().size(), 1U);
  EXPECT_THAT(table.warnings()[0], HasSubstr("500 announcements"));
  EXPECT_EQ(table.warnings()[0].find('\x1b'), std::string::npos);
}

TEST(found_table, tells_two_keys_of_one_name_apart_and_warns) {
  found_table table;
  table.add(seen("ovir-1", "10.0.0.1:7300", "home", 1));
  table.add(seen("liar", "10.0.0.9:7300", "home", 2));
  EXPECT_EQ(table.clusters().size(), 2U);
  EXPECT_THAT(table.warnings(), ElementsAre(HasSubstr("several clusters call themselves 'home'")));
}

TEST(found_table, keeps_the_first_name_of_a_key_and_believes_that_it_asks) {
  found_table table;
  table.add(seen("ovir-1", "10.0.0.1:7300", "home", 1, false));
  table.add(seen("liar", "10.0.0.9:7300", "elsewhere", 1, true));
  const auto found = table.clusters();
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].name, "home");
  EXPECT_TRUE(found[0].asks);
  EXPECT_THAT(table.warnings(), ElementsAre(HasSubstr("differ in their cluster's name")));
}

TEST(found_table, does_not_tell_a_node_its_own_address) {
  found_table table;
  table.set_own_address("10.0.0.5:7300");
  table.add(seen("mirror", "10.0.0.5:7300", "home", 1));
  EXPECT_THAT(table.clusters(), IsEmpty());
  EXPECT_THAT(table.warnings(), ElementsAre(HasSubstr("this node itself")));
}

TEST(found_table, is_bounded_in_services_addresses_and_rows) {
  found_table table;
  const auto services = static_cast<std::uint32_t>(limits::lan_services_max);
  for (std::uint32_t i = 0; i < services + 10; ++i) {
    table.add(seen(fmt::format("flood-{}", i), fmt::format("10.0.0.9:{}", 1 + i), "flood",
                   i < 200 ? i : 200));
  }
  EXPECT_EQ(table.nodes(), services);
  const auto found = table.clusters();
  EXPECT_EQ(found.size(), 201U);
  for (const found_cluster& one : found) {
    EXPECT_LE(one.addresses.size(), limits::lan_addresses_max);
  }
  EXPECT_THAT(table.warnings(), ElementsAre(HasSubstr("10 announcements beyond the first"),
                                            HasSubstr("several clusters")));
  const std::string text = table_text(found);
  EXPECT_EQ(static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')),
            limits::lan_rows_max + 2);
  EXPECT_THAT(text, HasSubstr("and 137 more"));
}

TEST(found_table, a_choice_is_a_number_or_the_beginning_of_one_key) {
  found_table table;
  table.add(seen("a", "10.0.0.1:1", "a", 0xabab));
  table.add(seen("b", "10.0.0.2:1", "b", 0xcdab));
  const auto found = table.clusters();
  EXPECT_EQ(chosen_from(found, "1").value(), 0U);
  EXPECT_EQ(chosen_from(found, "2").value(), 1U);
  EXPECT_EQ(chosen_from(found, "abcd").value(), 1U);
  EXPECT_EQ(chosen_from(found, to_hex(key_of(0xabab))).value(), 0U);
  for (const char* const wrong : {"", "0", "3", "-1", "1 ", "ab", "abc", "abce", "\x1b[2J#"}) {
    const auto chosen = chosen_from(found, wrong);
    ASSERT_FALSE(chosen) << wrong;
    EXPECT_EQ(chosen.error().code, errc::invalid_argument);
    EXPECT_EQ(chosen.error().message.find('\x1b'), std::string::npos);
  }
}

} // namespace
} // namespace ovir::actors
