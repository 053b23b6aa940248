#include "actors/request/request_journal.hpp"
#include "messages/limits/general.hpp"
#include "tests/support/shared_files.hpp"

#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

constexpr request_id request{0xabcdU};

request_log some_log() {
  request_log log;
  log.id = request;
  log.generation = 2;
  log.model.bytes.fill(7);
  log.prompt = {1, 2, 3};
  log.sampling.seed = 11;
  log.max_tokens = 4;
  log.stop = {"end"};
  log.logprobs = 3;
  return log;
}

drawn_token drawn(std::uint32_t token) {
  drawn_token d{token, {}};
  d.logits.bytes.fill(static_cast<std::uint8_t>(token));
  return d;
}

class journal : public testing::Test {
protected:
  void write(const std::string& bytes) {
    auto file = env_->create(path_);
    ASSERT_TRUE(file);
    ASSERT_TRUE((*file)->append(std::as_bytes(std::span{bytes})));
  }

  test::temporary_folder folder_;
  std::string path_ = (folder_.path() / "000000000000abcd.request").string();
  std::unique_ptr<storage::env> env_ = storage::make_env_posix();
  std::unique_ptr<request_journal> journal_ =
      request_journal::open(*env_, folder_.path().string()).value();
};

TEST_F(journal, gives_back_what_was_begun_and_every_token_since) {
  EXPECT_TRUE(journal_->unfinished().empty());
  request_log log = some_log();
  {
    const auto entry = journal_->begin(log);
    ASSERT_TRUE(entry) << entry.error().message;
    for (const std::uint32_t token : {5U, 6U}) {
      ASSERT_TRUE((*entry)->append(drawn(token)));
      log.drawn.push_back(drawn(token));
    }
  }
  EXPECT_EQ(journal_->unfinished(), std::vector{log});
  journal_->done(request);
  EXPECT_TRUE(journal_->unfinished().empty());
  journal_->done(request); // is no trouble
}

TEST_F(journal, does_not_give_back_what_was_withdrawn) {
  const auto entry = journal_->begin(some_log());
  ASSERT_TRUE(entry);
  ASSERT_TRUE(journal_->withdraw(request));
  ASSERT_TRUE((*entry)->append(drawn(5))) << "of a lead that has not heard of it";
  EXPECT_TRUE(journal_->unfinished().empty());
  EXPECT_FALSE(env_->read(path_, 1)) << "nothing is left of it";
}

TEST_F(journal, says_so_where_the_disk_does_not_take_a_cancellation) {
  ASSERT_TRUE(journal_->begin(some_log()));
  std::filesystem::remove_all(folder_.path());
  const auto kept = journal_->withdraw(request);
  ASSERT_FALSE(kept);
  EXPECT_EQ(kept.error().code, errc::io_failed);
}

TEST_F(journal, reads_a_log_cut_at_any_byte_up_to_its_last_whole_token) {
  request_log log = some_log();
  {
    const auto entry = journal_->begin(log);
    ASSERT_TRUE(entry);
    ASSERT_TRUE((*entry)->append(drawn(5)));
    ASSERT_TRUE((*entry)->append(drawn(6)));
  }
  const std::string whole = env_->read(path_, 1U << 20U).value();
  const std::size_t head = whole.size() - 80;
  for (std::size_t size = 0; size < whole.size(); ++size) {
    write(whole.substr(0, size));
    const auto logs = journal_->unfinished();
    if (size < head) {
      EXPECT_TRUE(logs.empty()) << size;
    } else {
      ASSERT_EQ(logs.size(), 1U) << size;
      EXPECT_EQ(logs[0].drawn.size(), (size - head) / 40) << size;
    }
  }
}

TEST_F(journal, stops_at_a_token_whose_check_is_wrong_and_at_more_than_may_be_drawn) {
  {
    const auto entry = journal_->begin(some_log());
    ASSERT_TRUE(entry);
    for (std::uint32_t token = 0; token < 6; ++token) {
      ASSERT_TRUE((*entry)->append(drawn(token)));
    }
  }
  ASSERT_EQ(journal_->unfinished().size(), 1U);
  EXPECT_EQ(journal_->unfinished()[0].drawn.size(), 4U); // max_tokens
  const std::string whole = env_->read(path_, 1U << 20U).value();
  for (const std::size_t byte : {0U, 5U, 20U, 39U}) {
    std::string damaged = whole;
    damaged[whole.size() - 200 + byte] = static_cast<char>(damaged[whole.size() - 200 + byte] ^ 1);
    write(damaged);
    ASSERT_EQ(journal_->unfinished().size(), 1U);
    EXPECT_EQ(journal_->unfinished()[0].drawn.size(), 1U) << byte;
  }
}

// Most bits of a request make another one that is as well formed.
TEST_F(journal, skips_a_request_in_which_any_bit_is_another) {
  ASSERT_TRUE(journal_->begin(some_log()));
  const std::string whole = env_->read(path_, 1U << 20U).value();
  for (std::size_t bit = 0; bit < 8 * whole.size(); ++bit) {
    std::string damaged = whole;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    write(damaged);
    EXPECT_TRUE(journal_->unfinished().empty()) << "bit " << bit;
  }
}

TEST_F(journal, skips_what_is_no_log_and_refuses_to_write_none) {
  for (const std::string& bytes :
       {std::string{}, std::string{"\xff\xff\xff\xff", 4}, std::string(500, 'x')}) {
    write(bytes);
    EXPECT_TRUE(journal_->unfinished().empty()) << bytes.size();
  }
  request_log empty = some_log();
  empty.prompt.clear();
  EXPECT_FALSE(journal_->begin(empty));
}

TEST_F(journal, gives_back_no_more_requests_than_a_scheduler_runs) {
  request_log log = some_log();
  for (std::uint64_t i = 0; i < limits::requests_active_max + 3; ++i) {
    log.id = request_id{i};
    ASSERT_TRUE(journal_->begin(log));
  }
  EXPECT_EQ(journal_->unfinished().size(), limits::requests_active_max);
}

} // namespace
} // namespace ovir::actors
