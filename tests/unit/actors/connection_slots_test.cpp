#include "actors/link/connection_slots.hpp"
#include "messages/limits/general.hpp"

#include <gtest/gtest.h>

#include <list>
#include <vector>

namespace ovir::actors {
namespace {

using slot = connection_slots::slot;

constexpr std::uint32_t ten = 10U << 24U; // 10.0.0.0
constexpr std::uint32_t here = 127U << 24U | 1U;

node_id node(std::uint8_t value) {
  node_id id;
  id.key.fill(value);
  return id;
}

/// A connection that closes when it is told to.
struct knock {
  slot place;
  bool closed{false};
};

/// Those that knocked, oldest first.
class crowd {
public:
  explicit crowd(std::shared_ptr<connection_slots> slots) : slots_(std::move(slots)) {}

  knock& add(std::uint32_t from, std::size_t port = 0) {
    knock& made = all_.emplace_back();
    const address_prefix prefix = prefix_of(from);
    made.place = slots_->take_incoming(
        {port, prefix, is_this_machine(prefix) ? std::string{} : std::to_string(from), [&made] {
           made.closed = true;
           made.place = {};
         }});
    return made;
  }
  [[nodiscard]] std::size_t open() const {
    return static_cast<std::size_t>(
        std::count_if(all_.begin(), all_.end(), [](const knock& k) { return !k.closed; }));
  }

private:
  std::shared_ptr<connection_slots> slots_;
  std::list<knock> all_;
};

TEST(connection_slots, a_newcomer_puts_the_oldest_out_of_a_full_pool) {
  const auto slots = std::make_shared<connection_slots>();
  crowd knocking{slots};
  const knock& oldest = knocking.add(here);
  const knock& second = knocking.add(here);
  for (std::size_t i = 2; i < limits::pending_silent_max; ++i) {
    EXPECT_FALSE(knocking.add(here).closed);
  }
  EXPECT_FALSE(oldest.closed);
  EXPECT_FALSE(knocking.add(here).closed);
  EXPECT_TRUE(oldest.closed);
  EXPECT_FALSE(second.closed);
  EXPECT_EQ(knocking.open(), limits::pending_silent_max);
  EXPECT_EQ(slots->in_use(), limits::pending_silent_max);
}

TEST(connection_slots, a_flood_of_one_address_puts_out_its_own) {
  const auto slots = std::make_shared<connection_slots>();
  crowd knocking{slots};
  const knock& honest = knocking.add(ten + 8);
  for (int i = 0; i < 2'000; ++i) {
    knocking.add(ten + 7);
  }
  EXPECT_FALSE(honest.closed);
  EXPECT_FALSE(knocking.add(ten + 9).closed);
  EXPECT_FALSE(honest.closed);
}

TEST(connection_slots, a_flood_of_many_addresses_puts_out_the_oldest) {
  const auto slots = std::make_shared<connection_slots>();
  crowd knocking{slots};
  const knock& oldest = knocking.add(ten);
  for (std::uint32_t i = 1; i <= limits::pending_silent_max; ++i) {
    EXPECT_FALSE(knocking.add(ten + i).closed);
  }
  EXPECT_TRUE(oldest.closed);
}

TEST(connection_slots, who_makes_progress_is_not_put_out_by_those_that_make_none) {
  const auto slots = std::make_shared<connection_slots>();
  crowd knocking{slots};
  knock& shaking = knocking.add(here);
  shaking.place.advance(progress::shaking);
  knock& proven = knocking.add(here);
  proven.place.advance(progress::shaking);
  proven.place.advance(progress::proven);
  for (int i = 0; i < 2'000; ++i) {
    knocking.add(here);
  }
  EXPECT_FALSE(shaking.closed);
  EXPECT_FALSE(proven.closed);
  // Those that make the same progress do, the oldest first; a newcomer has its place meanwhile.
  for (std::size_t i = 0; i < limits::pending_shaking_max; ++i) {
    knock& next = knocking.add(here);
    next.place.advance(progress::shaking);
    EXPECT_FALSE(next.closed);
  }
  EXPECT_TRUE(shaking.closed);
  EXPECT_FALSE(proven.closed);
}

TEST(connection_slots, each_port_has_its_own_places) {
  const auto slots = std::make_shared<connection_slots>();
  crowd knocking{slots};
  const knock& at_shells = knocking.add(here, 1);
  for (int i = 0; i < 2'000; ++i) {
    knocking.add(here, 0);
  }
  EXPECT_FALSE(at_shells.closed);
}

TEST(connection_slots, an_address_that_was_admitted_has_places_that_strangers_do_not_reach) {
  const auto slots = std::make_shared<connection_slots>();
  crowd knocking{slots};
  ASSERT_TRUE(knocking.add(ten + 1).place.admitted(node(1), channel::control));
  const knock& known = knocking.add(ten + 1);
  const knock& elsewhere = knocking.add(ten + 1, 1);
  for (std::uint32_t i = 0; i < 2'000; ++i) {
    knocking.add(ten + 2 + i, 0);
    knocking.add(ten + 2 + i, 1);
  }
  EXPECT_FALSE(known.closed);
  EXPECT_TRUE(elsewhere.closed) << "known at another port alone";
}

TEST(connection_slots, when_descriptors_run_out_the_least_advanced_goes) {
  const auto slots = std::make_shared<connection_slots>();
  crowd knocking{slots};
  EXPECT_FALSE(slots->put_one_out());
  knock& shaking = knocking.add(here);
  shaking.place.advance(progress::shaking);
  const knock& silent = knocking.add(here);
  EXPECT_TRUE(slots->put_one_out());
  EXPECT_TRUE(silent.closed);
  EXPECT_FALSE(shaking.closed);
  EXPECT_TRUE(slots->put_one_out());
  EXPECT_TRUE(shaking.closed);
  EXPECT_FALSE(slots->put_one_out());
  EXPECT_EQ(slots->in_use(), 0U);
  const auto few = connection_slots::sizes_for(1'024);
  EXPECT_LE(4 * (few[0] + few[1] + few[2]), 512U);
}

TEST(connection_slots, one_address_is_admitted_a_bounded_number_of_times) {
  const auto slots = std::make_shared<connection_slots>();
  crowd knocking{slots};
  std::vector<slot> admitted;
  for (std::uint8_t i = 1; i <= 200; ++i) {
    slot next = std::move(knocking.add(ten + 7).place);
    if (next.admitted(node(i), channel::control)) {
      admitted.push_back(std::move(next));
    }
  }
  EXPECT_EQ(admitted.size(), limits::connections_per_address_max);
  EXPECT_TRUE(knocking.add(here).place.admitted(node(201), channel::control));
  admitted.clear();
  EXPECT_TRUE(knocking.add(ten + 7).place.admitted(node(202), channel::control));
}

TEST(connection_slots, one_node_has_a_bounded_number) {
  const auto slots = std::make_shared<connection_slots>();
  crowd knocking{slots};
  std::vector<slot> held;
  for (std::size_t i = 0; i < limits::connections_per_node_max; ++i) {
    held.push_back(std::move(knocking.add(here).place));
    ASSERT_TRUE(held.back().admitted(node(1), channel::control));
  }
  slot one_more = std::move(knocking.add(here).place);
  EXPECT_EQ(one_more.admitted(node(1), channel::control).error().code, errc::busy);
  EXPECT_TRUE(one_more.admitted(node(2), channel::control));
  held.pop_back();
  EXPECT_TRUE(knocking.add(here).place.admitted(node(1), channel::data));
}

TEST(connection_slots, one_person_has_fewer_shells) {
  const auto slots = std::make_shared<connection_slots>();
  crowd knocking{slots};
  std::vector<slot> held;
  for (std::size_t i = 0; i < limits::shells_per_key_max; ++i) {
    held.push_back(std::move(knocking.add(here).place));
    ASSERT_TRUE(held.back().admitted(node(1), channel::admin));
  }
  EXPECT_EQ(knocking.add(here).place.admitted(node(1), channel::admin).error().code, errc::busy);
}

TEST(connection_slots, all_together_are_bounded_and_members_leave_places_to_shells) {
  const auto slots = std::make_shared<connection_slots>();
  crowd knocking{slots};
  std::vector<slot> held;
  while (auto next = slots->take_outgoing()) {
    held.push_back(std::move(*next));
    ASSERT_LE(held.size(), limits::connections_max);
  }
  EXPECT_EQ(held.size(), limits::connections_max - limits::shell_places_reserved);
  EXPECT_EQ(knocking.add(here).place.admitted(node(1), channel::control).error().code, errc::busy);
  for (std::uint8_t i = 0; i < limits::shell_places_reserved; ++i) {
    held.push_back(std::move(knocking.add(here).place));
    EXPECT_TRUE(held.back().admitted(node(2 + i), channel::admin));
  }
  EXPECT_EQ(knocking.add(here).place.admitted(node(99), channel::admin).error().code, errc::busy);
}

TEST(connection_slots, give_back_what_is_dropped) {
  const auto slots = std::make_shared<connection_slots>();
  {
    crowd knocking{slots};
    knocking.add(here);
    knocking.add(here).place.advance(progress::shaking);
    EXPECT_TRUE(knocking.add(ten).place.admitted(node(1), channel::control));
    EXPECT_EQ(slots->in_use(), 3U);
  }
  EXPECT_EQ(slots->in_use(), 0U);
}

} // namespace
} // namespace ovir::actors
