// The ledger's index: what it spares, and that it is never believed more than the log. This program
// stands between LMDB and the system's calls (disk_recorder.hpp).
#include "ledger/keeper/ledger.hpp"
#include "ledger/log/log_format.hpp"
#include "storage/env/durable_file.hpp"
#include "storage/store/lmdb_index.hpp"
#include "tests/store/disk_recorder.hpp"
#include "tests/store/store_folder.hpp"
#include "tests/support/ledger/ledger_world.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <random>

namespace ovir::ledger {
namespace {

using test::ledger_world;

constexpr std::uint64_t t0 = ledger_world::t0;

/// A ledger with its index in a folder. `damaged`: the index was, and is empty.
struct opened_ledger {
  std::unique_ptr<durable_file> file;
  std::unique_ptr<derived_index> index;
  std::optional<ledger> book;
  open_report report;
  bool damaged{false};
  error why;
};

genesis many_actions() {
  genesis g = ledger_world::rules();
  g.rules.actions_per_minute_max = 1'000'000'000;
  return g;
}

ledger_options options_with(derived_index* index) {
  ledger_options o;
  o.log.step_bytes = 64 * sector_bytes;
  o.index = index;
  return o;
}

opened_ledger open_in(const std::filesystem::path& folder) {
  opened_ledger out;
  out.file = storage::open_durable_file((folder / "log").string(), false).value();
  storage::derived_index_report found;
  static const auto machine = storage::make_env_posix();
  auto index = storage::open_lmdb_index(*machine, folder.string(), found);
  out.damaged = found.damaged;
  if (index) {
    out.index = std::move(*index);
  }
  auto book = ledger::open(*out.file, options_with(out.index.get()), out.report);
  if (book) {
    out.book.emplace(std::move(*book));
  } else {
    out.why = book.error();
  }
  return out;
}

/// Some of every frequent kind, beginning with credits for everybody.
void fill(ledger& book, ledger_world& world, std::uint64_t batches, std::uint64_t each) {
  for (std::uint64_t n = 0; n < batches; ++n) {
    std::vector<authentic_command> batch;
    if (book.log().size() == 1) {
      batch.push_back(world.mint(1, 1'000'000 * credit));
      batch.push_back(world.mint(2, 1'000 * credit));
      batch.push_back(world.mint_assurance(1'000 * credit));
    } else if (n % 5 == 1) {
      batch.push_back(world.reserve(1, {2, 3}, 20, 40));
    } else if (n % 5 == 2 && book.view().find_request(world.last_request) != nullptr) {
      batch.push_back(world.accrue(book.view(), 20, {2, 3}));
    } else if (n % 7 == 3) {
      batch.push_back(world.lock(2, 3 * credit));
    }
    while (batch.size() < each) {
      batch.push_back(world.transfer(1, static_cast<std::uint8_t>(4 + n % 3), 100 + n));
    }
    ASSERT_TRUE(book.commit(batch, t0 + n));
  }
}

std::vector<std::byte> truth_of(const std::filesystem::path& folder) {
  const auto file = storage::open_durable_file_to_read((folder / "log").string()).value();
  const auto copy = storage::open_durable_file((folder / "log").string(), false).value();
  log_report unused;
  return ledger::open(*copy, options_with(nullptr), unused).value().view().snapshot();
}

/// All movements of an account, from the log alone.
std::vector<statement_line> truth_of(durable_file& file, const node_id& account) {
  std::vector<statement_line> lines;
  state s{3};
  std::vector<posting> effects;
  log_report unused;
  const auto log = entry_log::read(
      file,
      [&](std::uint64_t index, std::span<const std::byte> bytes) -> result<void> {
        effects.clear();
        OVIR_ASSIGN(const entry e, decode_entry(bytes));
        OVIR_TRY(s.apply(e, bytes, index, effects));
        for (const posting& p : effects) {
          for (const bool out : {true, false}) {
            const account_ref& side = out ? p.from : p.to;
            if (side.kind >= purse::free && side.kind <= purse::stake &&
                side.of.bytes == account.key) {
              lines.push_back({index, e.time, p, out});
            }
          }
        }
        return {};
      },
      unused);
  EXPECT_TRUE(log);
  return lines;
}

std::string content_of(const std::filesystem::path& path) {
  std::ifstream in{path, std::ios::binary};
  return {std::istreambuf_iterator<char>{in}, {}};
}
void put_content(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream{path, std::ios::binary | std::ios::trunc} << bytes;
}

class ledger_index_test : public testing::Test {
public:
  ledger_index_test() {
    test::skip_syncs(true);
    const auto file = storage::open_durable_file((folder.path() / "log").string(), true).value();
    ledger book = ledger::create(*file, many_actions(), t0, options_with(nullptr)).value();
    world.emplace(book.id());
  }
  ~ledger_index_test() override { test::skip_syncs(false); }

  /// Everything about the ledger equals what the log alone gives.
  void expect_true(const opened_ledger& it) {
    ASSERT_TRUE(it.book) << it.why.message;
    ASSERT_EQ(it.book->view().snapshot(), truth_of(folder.path()));
    const auto read = storage::open_durable_file_to_read((folder.path() / "log").string()).value();
    for (std::uint8_t who = 1; who <= 4; ++who) {
      ASSERT_EQ(it.book->statement(ledger_world::node(who)).value(),
                truth_of(*read, ledger_world::node(who)))
          << "account " << int{who};
    }
    // It proves from where the index took it over as from anywhere.
    const log_head head = it.book->head();
    for (std::uint64_t i = 0; i < head.size; i += 1 + head.size / 50) {
      ASSERT_TRUE(proves(it.book->prove(i, head.size).value(), head)) << i;
    }
  }

  test::store_folder folder{"ovir-ledger-index"};
  std::optional<ledger_world> world;
};

TEST_F(ledger_index_test, opening_reads_what_the_index_lacks_and_nothing_else) {
  std::uint64_t size = 0;
  {
    opened_ledger it = open_in(folder.path());
    EXPECT_TRUE(it.report.index_rebuilt);
    fill(*it.book, *world, 40, 60);
    it.book->absorb();
    fill(*it.book, *world, 3, 11);
    size = it.book->log().size();
    expect_true(it);
  }
  opened_ledger again = open_in(folder.path());
  expect_true(again);
  EXPECT_FALSE(again.report.index_rebuilt) << again.report.index_trouble;
  EXPECT_EQ(again.report.entries_read, 33U) << "of " << size;
  // And it goes on, also over many openings.
  for (int round = 0; round < 5; ++round) {
    again = {};
    again = open_in(folder.path());
    EXPECT_FALSE(again.report.index_rebuilt);
    fill(*again.book, *world, 6, 70);
    again.book->absorb();
    expect_true(again);
  }
  again = {};
  again = open_in(folder.path());
  EXPECT_EQ(again.report.entries_read, 0U);
  expect_true(again);
}

TEST_F(ledger_index_test, whatever_becomes_of_the_index_the_ledger_is_what_the_log_says) {
  std::string older;
  const auto path = folder.path() / "index.mdb";
  {
    opened_ledger it = open_in(folder.path());
    fill(*it.book, *world, 30, 40);
    it.book->absorb();
    it = {};
    older = content_of(path);
    it = open_in(folder.path());
    fill(*it.book, *world, 10, 20);
    it.book->absorb();
  }
  const std::string sound = content_of(path);
  std::mt19937_64 random{test::test_seed()};
  std::uint64_t rebuilt = 0;
  for (std::uint64_t n = 0; n < 60 * test::effort(); ++n) {
    std::string bytes = sound;
    switch (n % 6) {
    case 0: bytes[random() % bytes.size()] ^= static_cast<char>(1U << random() % 8); break;
    case 1: bytes.resize(random() % bytes.size()); break;
    case 2: std::memset(bytes.data() + random() % (bytes.size() / 4096) * 4096, 0, 4096); break;
    case 3: // two pages change places
      std::swap_ranges(bytes.begin() + 8192, bytes.begin() + 12'288,
                       bytes.begin() +
                           static_cast<long>(2 + random() % (bytes.size() / 4096 - 2)) * 4096);
      break;
    case 4: bytes = older; break;
    case 5: bytes.assign(random() % 20'000, static_cast<char>(random())); break;
    }
    put_content(path, bytes);
    // In a child: were LMDB to follow a wrong page, that would be the end of this one only.
    const int ended = test::run_in_child([&] {
      opened_ledger it = open_in(folder.path());
      expect_true(it);
      if (HasFatalFailure()) {
        return 1;
      }
      if (n % 6 == 4) {
        return it.report.index_rebuilt || it.report.entries_read == 0 ? 2 : 0;
      }
      return it.report.index_rebuilt ? 10 : 0;
    });
    ASSERT_TRUE(ended == 0 || ended == 10) << "case " << n << ": " << ended;
    rebuilt += ended == 10 ? 1 : 0;
  }
  EXPECT_GT(rebuilt, 30U) << "damage must have been met";
}

TEST_F(ledger_index_test, an_index_of_another_log_or_ahead_of_it_is_made_anew) {
  const auto path = folder.path() / "index.mdb";
  const std::string log_before = [&] {
    opened_ledger it = open_in(folder.path());
    fill(*it.book, *world, 10, 20);
    return content_of(folder.path() / "log");
  }();
  {
    opened_ledger it = open_in(folder.path());
    fill(*it.book, *world, 10, 20);
    it.book->absorb();
  }
  const std::string ahead = content_of(path);
  put_content(folder.path() / "log", log_before);
  {
    const opened_ledger it = open_in(folder.path());
    EXPECT_TRUE(it.report.index_rebuilt);
    EXPECT_NE(it.report.index_trouble, "");
    expect_true(it);
  }
  // As many entries, and others.
  put_content(path, ahead);
  {
    const auto file = storage::open_durable_file((folder.path() / "log").string(), false).value();
    log_report unused;
    ledger book = ledger::open(*file, options_with(nullptr), unused).value();
    ledger_world other{book.id()};
    other = *world;
    fill(book, other, 10, 20);
  }
  const opened_ledger it = open_in(folder.path());
  EXPECT_TRUE(it.report.index_rebuilt);
  expect_true(it);
}

TEST_F(ledger_index_test, damage_to_the_log_behind_the_index_is_named_as_without_one) {
  std::uint64_t indexed = 0;
  std::uint64_t offset = 0;
  {
    opened_ledger it = open_in(folder.path());
    fill(*it.book, *world, 10, 20);
    it.book->absorb();
    indexed = it.book->log().size();
    offset = it.book->log().bytes();
    fill(*it.book, *world, 2, 1);
  }
  std::string log = content_of(folder.path() / "log");
  log[offset + 80] ^= 1; // in the first entry behind
  put_content(folder.path() / "log", log);
  const opened_ledger it = open_in(folder.path());
  ASSERT_FALSE(it.book);
  EXPECT_EQ(it.why.code, errc::digest_mismatch);
  EXPECT_NE(it.why.message.find(fmt::format("entry {} ", indexed)), std::string::npos)
      << it.why.message;
}

TEST_F(ledger_index_test, an_index_that_cannot_be_written_costs_nothing_but_time) {
  {
    opened_ledger it = open_in(folder.path());
    fill(*it.book, *world, 10, 20);
    it.book->absorb();
    fill(*it.book, *world, 5, 20);
    test::fail_writes_after(0);
    it.book->absorb();
    test::fail_no_writes();
    fill(*it.book, *world, 5, 20);
    EXPECT_EQ(it.book->statement(ledger_world::node(1)).error().code, errc::not_found);
  }
  const opened_ledger it = open_in(folder.path());
  EXPECT_FALSE(it.report.index_rebuilt);
  expect_true(it);
}

TEST_F(ledger_index_test, after_each_kill_log_and_index_agree) {
  std::mt19937_64 random{test::test_seed()};
  std::uint64_t read = 0;
  for (std::uint64_t n = 0; n < 40 * test::effort(); ++n) {
    const std::uint64_t when = 1 + random() % 60;
    const int ended = test::run_in_child([&] {
      opened_ledger it = open_in(folder.path());
      if (!it.book) {
        return 1;
      }
      test::kill_at_call(when);
      for (std::uint64_t i = it.book->log().size();; i += 1'000) {
        std::vector<authentic_command> batch;
        for (std::uint64_t k = 0; k < 1 + i % 40; ++k) {
          batch.push_back(authentic_command::unchecked_for_test(
              ovir::ledger::mint{ledger_world::node(ledger_world::minter), mint_target::participant,
                                 ledger_world::node(static_cast<std::uint8_t>(1 + k % 4)), 5,
                                 it.book->log().size() + k + 1}));
        }
        if (!it.book->commit(batch, t0)) {
          return 2;
        }
        it.book->absorb();
      }
    });
    ASSERT_EQ(ended, -SIGKILL) << n;
    const opened_ledger it = open_in(folder.path());
    expect_true(it);
    ASSERT_FALSE(HasFatalFailure()) << n;
    read += it.report.entries_read;
  }
  EXPECT_GT(read, 0U) << "some kills must have come between log and index";
}

TEST(ledger_index_power, after_any_loss_of_power_the_ledger_is_what_its_log_says) {
  const test::store_folder folder{"ovir-ledger-index-power"};
  const auto work = folder.path() / "work";
  std::filesystem::create_directory(work);
  std::vector<std::pair<std::size_t, std::uint64_t>> acknowledged; ///< events so far, entries
  test::start_recording(work);
  {
    const auto file = storage::open_durable_file((work / "log").string(), true).value();
    ledger book = ledger::create(*file, many_actions(), t0, options_with(nullptr)).value();
    ledger_world world{book.id()};
    fill(book, world, 2, 4);
  }
  {
    opened_ledger it = open_in(work);
    ledger_world world{it.book->id()};
    acknowledged.emplace_back(test::events_recorded(), it.book->log().size());
    for (std::uint64_t n = 0; n < 12; ++n) {
      std::vector<authentic_command> batch;
      for (std::uint64_t k = 0; k < 1 + n * 5 % 17; ++k) {
        batch.push_back(authentic_command::unchecked_for_test(
            transfer{ledger_world::node(1), ledger_world::node(2), 1, 100 + n * 100 + k}));
      }
      ASSERT_TRUE(it.book->commit(batch, t0 + 50));
      acknowledged.emplace_back(test::events_recorded(), it.book->log().size());
      if (n % 3 == 2) {
        it.book->absorb();
      }
    }
  }
  const auto names = test::names_recorded();
  const auto events = test::stop_recording();
  std::mt19937_64 random{test::test_seed()};
  std::uint64_t used = 0;
  for (std::uint64_t n = 0; n < 200 * test::effort(); ++n) {
    const std::size_t first = acknowledged.front().first;
    const std::size_t count = first + random() % (events.size() - first + 1);
    const auto image = folder.path() / fmt::format("image{}", n);
    test::make_power_loss_image(events, count, names, random, image);
    std::uint64_t promised = 0;
    for (const auto& [at, entries] : acknowledged) {
      promised = at <= count ? entries : promised;
    }
    const opened_ledger it = open_in(image);
    ASSERT_TRUE(it.book) << it.why.message << ", image " << n;
    ASSERT_GE(it.book->log().size(), promised) << n;
    ASSERT_EQ(it.book->view().snapshot(), truth_of(image)) << n;
    used += it.report.index_rebuilt ? 0 : 1;
    std::filesystem::remove_all(image);
  }
  EXPECT_GT(used, 50U) << "some images must have had an index of use";
}

} // namespace
} // namespace ovir::ledger
