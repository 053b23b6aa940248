#include "messages/caf/errors.hpp"
#include "messages/caf/system_config.hpp"

#include <caf/all.hpp>

#include <gtest/gtest.h>

namespace ovir {

TEST(caf_errors, keep_code_and_sentence_across_an_actor) {
  const error sent{errc::over_limit, "too much of it"};
  EXPECT_EQ(from_caf(to_caf(sent)), sent);
  system_config config = system_config::simulated();
  EXPECT_EQ(config.error_renderers.at(error_category)(static_cast<std::uint8_t>(errc::busy),
                                                      error_category, caf::make_message()),
            "busy");
}

TEST(caf_errors, become_the_code_whose_reaction_fits) {
  EXPECT_EQ(from_caf(caf::sec::request_timeout).code, errc::timed_out);
  EXPECT_EQ(from_caf(caf::exit_reason::kill).code, errc::peer_lost);
  EXPECT_EQ(from_caf(caf::sec::unexpected_message).code, errc::internal);
}

TEST(caf_errors, know_a_normal_end_from_a_crash) {
  EXPECT_TRUE(is_normal_exit(caf::error{}));
  EXPECT_TRUE(is_normal_exit(caf::exit_reason::user_shutdown));
  EXPECT_FALSE(is_normal_exit(caf::exit_reason::kill));
  EXPECT_FALSE(is_normal_exit(make_error(errc::internal)));
}

} // namespace ovir
