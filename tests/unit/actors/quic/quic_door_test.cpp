#include "actors/quic/quic_door.hpp"
#include "messages/limits/quic.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

namespace ovir::actors {
namespace {

using namespace std::chrono_literals;

secret_key door_key() {
  std::array<std::byte, secret_key::seed_size> seed{};
  seed.fill(std::byte{4});
  return secret_key::from_seed(seed);
}

udp_address stranger_at(unsigned char last) {
  udp_address at;
  at.bytes = {10, 0, 0, last};
  at.port = 4'000;
  return at;
}

/// A long header of a client with names of 16 and 8 bytes, filled up to `size`.
std::vector<std::byte> long_header(std::uint8_t first, std::uint32_t version, std::size_t size) {
  std::vector<std::byte> bytes{std::byte{first}};
  for (int shift = 24; shift >= 0; shift -= 8) {
    bytes.push_back(static_cast<std::byte>((version >> static_cast<unsigned>(shift)) & 0xffU));
  }
  bytes.push_back(std::byte{16});
  bytes.resize(bytes.size() + 16, std::byte{0xd0});
  bytes.push_back(std::byte{8});
  bytes.resize(bytes.size() + 8, std::byte{0x50});
  if (version == 1) {
    bytes.push_back(std::byte{0}); // no token
    const std::size_t rest = size - bytes.size() - 2;
    bytes.push_back(static_cast<std::byte>(0x40U | (rest >> 8U)));
    bytes.push_back(static_cast<std::byte>(rest & 0xffU));
  }
  bytes.resize(size, std::byte{7});
  return bytes;
}

std::vector<std::byte> short_header(std::size_t size) {
  std::vector<std::byte> bytes(size, std::byte{9});
  bytes[0] = std::byte{0x40};
  return bytes;
}

class quic_door_of_a_node : public ::testing::Test {
protected:
  std::size_t answer_to(std::span<const std::byte> datagram, quic_time now = 1s,
                        unsigned char from = 1) {
    const quic_door::verdict verdict = door_.judge(stranger_at(from), datagram, now);
    EXPECT_FALSE(verdict.opening);
    EXPECT_LE(verdict.answer.size(), datagram.size());
    return verdict.answer.size();
  }

  quic_identity identity_ = quic_identity::make(door_key()).value();
  std::uint64_t drawn_{0};
  quic_chance chance_ = [this](std::span<std::byte> out) {
    for (std::byte& b : out) {
      b = static_cast<std::byte>(++drawn_ & 0xffU);
    }
  };
  quic_door door_{identity_, chance_};
};

TEST_F(quic_door_of_a_node, answers_no_noise) {
  EXPECT_EQ(answer_to({}), 0U);
  EXPECT_FALSE(quic_door::name_in({}));
  for (std::size_t size = 1; size < 60; ++size) {
    const std::vector<std::byte> noise(size, std::byte{0xff});
    EXPECT_EQ(answer_to(noise), 0U) << size;
  }
}

TEST_F(quic_door_of_a_node, sends_a_whole_hello_back_for_a_token_and_no_shorter_one) {
  EXPECT_GT(answer_to(long_header(0xc0, 1, 1'200)), 0U);
  EXPECT_EQ(answer_to(long_header(0xc0, 1, 1'199)), 0U);
  EXPECT_EQ(answer_to(long_header(0xe0, 1, 1'200)), 0U) << "no handshake begins in its midst";
  EXPECT_EQ(answer_to(long_header(0xd0, 1, 1'200)), 0U) << "there is no early data";
}

TEST_F(quic_door_of_a_node, says_which_version_it_speaks) {
  EXPECT_GT(answer_to(long_header(0xc0, 0x1a2a3a4a, 1'200)), 0U);
  EXPECT_EQ(answer_to(long_header(0xc0, 0x1a2a3a4a, 1'199)), 0U);
}

TEST_F(quic_door_of_a_node, resets_what_it_does_not_know_and_never_in_circles) {
  const auto shortest = short_header(44);
  const auto answer = door_.judge(stranger_at(1), shortest, 1s).answer;
  EXPECT_EQ(answer.size(), 43U);
  EXPECT_EQ(answer_to(answer), 0U) << "two that forgot each other would go on for ever";
  EXPECT_EQ(answer_to(short_header(1'200)), 43U);
}

TEST_F(quic_door_of_a_node, gives_answers_at_a_rate) {
  const auto hello = long_header(0xc0, 1, 1'200);
  std::size_t given = 0;
  for (std::uint32_t i = 0; i < limits::quic_answers_burst * 2; ++i) {
    given += answer_to(hello, 1s, static_cast<unsigned char>(i)) > 0 ? 1 : 0;
  }
  EXPECT_EQ(given, limits::quic_answers_burst);
  given = 0;
  const quic_time later = 1s + 10 * quic_time{limits::quic_answer_interval};
  for (std::uint32_t i = 0; i < 100; ++i) {
    given += answer_to(hello, later) > 0 ? 1 : 0;
  }
  EXPECT_EQ(given, 10U);
}

} // namespace
} // namespace ovir::actors
