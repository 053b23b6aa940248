// The strings of docs/formats/announcement.md. A change here is a new version of the format.
#include "actors/reach/announcement.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

TEST(announcement_golden, an_announcement_is_these_strings) {
  announcement told{"swarm-d75a980182b1", {}, true};
  told.key =
      node_id_from_hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a").value();
  EXPECT_THAT(
      to_txt(told),
      ::testing::ElementsAre("v=1", "cluster=swarm-d75a980182b1",
                             "key=d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
                             "asks=1"));
  EXPECT_EQ(lan_service_type, "_ovir._tcp");
}

} // namespace
} // namespace ovir::actors
