#include "actors/shared/ring.hpp"
#include "messages/limits/shared.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <semaphore>
#include <thread>
#include <vector>

namespace ovir::actors {
namespace {

/// A small ring, and what a hostile side does to it.
class ring_memory {
public:
  explicit ring_memory(std::size_t capacity) : bytes_(ring_layout::head_bytes + capacity + 64) {
    const auto at = reinterpret_cast<std::uintptr_t>(bytes_.data());
    memory_ = std::span{bytes_}.subspan((64 - at % 64) % 64, ring_layout::head_bytes + capacity);
  }
  [[nodiscard]] std::span<std::byte> all() const { return memory_; }
  void set(std::size_t at, std::uint64_t value) {
    std::memcpy(memory_.data() + at, &value, sizeof(value));
  }

private:
  std::vector<std::byte> bytes_;
  std::span<std::byte> memory_;
};

std::vector<std::byte> numbered(std::size_t size, std::size_t first) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) {
    bytes[i] = static_cast<std::byte>((first + i) * 131 >> 3U);
  }
  return bytes;
}

TEST(ring, gives_back_what_was_written_across_its_end_in_parts_of_any_size) {
  constexpr std::uint32_t seed = 7;
  SCOPED_TRACE(seed);
  std::mt19937 chance{seed};
  ring_memory memory{1'024};
  ring_writer writer{memory.all()};
  ring_reader reader{memory.all()};
  std::size_t written = 0;
  std::size_t read = 0;
  for (int i = 0; i < 20'000; ++i) {
    const auto put = writer.write(numbered(chance() % 700, written));
    ASSERT_TRUE(put);
    written += *put;
    ASSERT_LE(written - read, 1'024U);
    std::vector<std::byte> out(chance() % 700);
    const auto got = reader.read(out);
    ASSERT_TRUE(got);
    out.resize(*got);
    ASSERT_EQ(out, numbered(*got, read));
    read += *got;
    ASSERT_EQ(*reader.present(), written - read);
  }
  EXPECT_GT(read, 1'000'000U);
}

TEST(ring, shows_a_large_copy_in_parts) {
  ring_memory memory{4 * limits::shared_part_bytes};
  ring_writer writer{memory.all()};
  EXPECT_EQ(*writer.write(numbered(3 * limits::shared_part_bytes, 0)), limits::shared_part_bytes);
}

TEST(ring, takes_no_more_than_it_holds_and_gives_no_more_than_it_has) {
  ring_memory memory{64};
  ring_writer writer{memory.all()};
  ring_reader reader{memory.all()};
  EXPECT_EQ(*writer.write(numbered(100, 0)), 64U);
  EXPECT_EQ(*writer.write(numbered(1, 0)), 0U);
  std::vector<std::byte> out(100);
  EXPECT_EQ(*reader.read(out), 64U);
  EXPECT_EQ(*reader.read(out), 0U);
}

TEST(ring, refuses_an_index_of_the_writer_that_it_cannot_have) {
  for (const std::uint64_t wrong :
       {std::uint64_t{65}, ~std::uint64_t{0}, std::uint64_t{1} << 63U}) {
    ring_memory memory{64};
    ring_reader reader{memory.all()};
    memory.set(ring_layout::written_at, wrong);
    std::vector<std::byte> out(100);
    EXPECT_EQ(reader.read(out).error().code, errc::malformed);
    EXPECT_EQ(reader.present().error().code, errc::malformed);
    EXPECT_EQ(reader.wait_for_bytes().error().code, errc::malformed);
  }
}

TEST(ring, refuses_an_index_of_the_writer_that_goes_back) {
  ring_memory memory{64};
  ring_writer writer{memory.all()};
  ring_reader reader{memory.all()};
  ASSERT_EQ(*writer.write(numbered(40, 0)), 40U);
  std::vector<std::byte> out(40);
  ASSERT_EQ(*reader.read(out), 40U);
  memory.set(ring_layout::written_at, 39);
  EXPECT_FALSE(reader.read(out));
}

TEST(ring, refuses_an_index_of_the_reader_that_it_cannot_have) {
  for (const std::uint64_t wrong : {std::uint64_t{11}, ~std::uint64_t{0}}) {
    ring_memory memory{64};
    ring_writer writer{memory.all()};
    ASSERT_EQ(*writer.write(numbered(10, 0)), 10U);
    memory.set(ring_layout::read_at, wrong);
    EXPECT_EQ(writer.write(numbered(1, 0)).error().code, errc::malformed);
    EXPECT_EQ(writer.wait_for_room().error().code, errc::malformed);
  }
}

TEST(ring, refuses_an_index_of_the_reader_that_goes_back) {
  ring_memory memory{64};
  ring_writer writer{memory.all()};
  ring_reader reader{memory.all()};
  ASSERT_EQ(*writer.write(numbered(40, 0)), 40U);
  std::vector<std::byte> out(30);
  ASSERT_EQ(*reader.read(out), 30U);
  ASSERT_EQ(*writer.write(numbered(1, 40)), 1U);
  memory.set(ring_layout::read_at, 29);
  EXPECT_FALSE(writer.write(numbered(1, 41)));
}

TEST(ring, believes_its_own_index_and_not_the_one_in_the_memory) {
  ring_memory memory{64};
  ring_writer writer{memory.all()};
  ring_reader reader{memory.all()};
  ASSERT_EQ(*writer.write(numbered(10, 0)), 10U);
  memory.set(ring_layout::written_at, 3); // what the writer reads of itself
  ASSERT_EQ(*writer.write(numbered(10, 10)), 10U);
  std::vector<std::byte> out(20);
  EXPECT_EQ(*reader.read(out), 20U);
  EXPECT_EQ(out, numbered(20, 0));
}

TEST(ring, tells_once_that_the_other_side_waits) {
  ring_memory memory{64};
  ring_writer writer{memory.all()};
  ring_reader reader{memory.all()};
  EXPECT_FALSE(writer.reader_waits());
  EXPECT_FALSE(*reader.wait_for_bytes());
  EXPECT_TRUE(writer.reader_waits());
  EXPECT_FALSE(writer.reader_waits());
  ASSERT_EQ(*writer.write(numbered(64, 0)), 64U);
  EXPECT_TRUE(*reader.wait_for_bytes()) << "they are there already";
  EXPECT_FALSE(reader.writer_waits());
  EXPECT_FALSE(*writer.wait_for_room());
  EXPECT_TRUE(reader.writer_waits());
  EXPECT_FALSE(reader.writer_waits());
}

// Each side sleeps whenever it can do nothing. A wake that is lost would leave both asleep.
TEST(ring, two_threads_never_sleep_at_the_same_time) {
  constexpr std::size_t all = 4U << 20U;
  ring_memory memory{256};
  std::counting_semaphore<> bell_of_reader{0};
  std::counting_semaphore<> bell_of_writer{0};
  const auto slept = [](std::counting_semaphore<>& bell) {
    return bell.try_acquire_for(std::chrono::seconds{30});
  };
  std::thread other{[&] {
    ring_writer writer{memory.all()};
    for (std::size_t done = 0; done < all;) {
      const std::size_t put = *writer.write(numbered(std::min<std::size_t>(97, all - done), done));
      done += put;
      if (writer.reader_waits()) {
        bell_of_reader.release();
      }
      if (put == 0 && !*writer.wait_for_room() && !slept(bell_of_writer)) {
        return;
      }
    }
  }};
  ring_reader reader{memory.all()};
  std::size_t done = 0;
  while (done < all) {
    std::vector<std::byte> out(61);
    const std::size_t got = *reader.read(out);
    out.resize(got);
    if (out != numbered(got, done)) {
      break;
    }
    done += got;
    if (reader.writer_waits()) {
      bell_of_writer.release();
    }
    if (got == 0 && !*reader.wait_for_bytes() && !slept(bell_of_reader)) {
      break;
    }
  }
  EXPECT_EQ(done, all);
  other.join();
}

} // namespace
} // namespace ovir::actors
