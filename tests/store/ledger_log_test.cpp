// The ledger's log when its process is killed, when the power goes, and when bits flip. This
// program stands between the log and the system's calls (disk_recorder.hpp).
#include "ledger/keeper/ledger.hpp"
#include "ledger/keeper/verify.hpp"
#include "ledger/log/log_format.hpp"
#include "storage/env/durable_file.hpp"
#include "tests/store/disk_recorder.hpp"
#include "tests/store/store_folder.hpp"
#include "tests/support/ledger/ledger_world.hpp"
#include "tests/support/memory_file.hpp"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <random>
#include <set>
#include <thread>
#include <utility>

namespace ovir::ledger {
namespace {

using test::ledger_world;
using test::memory_file;

constexpr std::uint64_t t0 = ledger_world::t0;
constexpr std::uint64_t kills = 500;

ledger_options small_steps() {
  ledger_options o;
  o.log.step_bytes = 4 * sector_bytes;
  return o;
}

/// A batch whose commands depend on what is there: `n` of them, of all frequent kinds.
std::vector<authentic_command> batch_for(const ledger& book, ledger_world& world,
                                         std::uint64_t number, std::uint64_t n) {
  std::vector<authentic_command> batch;
  if (number == 0) {
    batch.push_back(world.mint(1, 1'000'000 * credit));
    batch.push_back(world.mint(2, 1'000 * credit));
    return batch;
  }
  if (number % 5 == 1) {
    batch.push_back(world.reserve(1, {2, 3}, 20, 40));
  } else if (number % 5 == 2) {
    batch.push_back(world.accrue(book.view(), 20, {2, 3}));
  }
  while (batch.size() < n) {
    batch.push_back(world.transfer(1, static_cast<std::uint8_t>(4 + number % 3),
                                   100'000 * (number + 1) + batch.size()));
  }
  return batch;
}

// --- power

/// A write or sync, as the recorder or a `memory_file` saw it.
struct change {
  bool sync{false};
  std::uint64_t offset{0};
  std::string bytes;
};

std::string with(std::string content, std::uint64_t offset, std::string_view bytes) {
  content.resize(std::max<std::size_t>(content.size(), offset + bytes.size()));
  content.replace(offset, bytes.size(), bytes);
  return content;
}

/// Every content that a loss of power after `count` changes can leave: what was synced is there, of
/// what was not each sector of 512 bytes is there or not, in every combination.
std::set<std::string> images_after(const std::vector<change>& changes, std::size_t count,
                                   const std::string& first = {}) {
  std::size_t synced = 0;
  for (std::size_t i = 0; i < count; ++i) {
    synced = changes[i].sync ? i + 1 : synced;
  }
  std::set<std::string> images{first};
  for (std::size_t i = 0; i < count; ++i) {
    if (changes[i].sync) {
      continue;
    }
    for (std::size_t at = 0; at < changes[i].bytes.size(); at += sector_bytes) {
      const std::uint64_t offset = changes[i].offset + at;
      const std::string sector = changes[i].bytes.substr(at, sector_bytes);
      std::set<std::string> next;
      for (const std::string& image : images) {
        next.insert(with(image, offset, sector));
      }
      if (i >= synced) {
        next.merge(images);
      }
      images = std::move(next);
    }
  }
  return images;
}

std::vector<std::byte> as_bytes(const std::string& text) {
  const auto* const first = reinterpret_cast<const std::byte*>(text.data());
  return {first, first + text.size()};
}

/// Opens an image: what was promised is there, no batch is half there, and it goes on.
void check_image(const std::string& image, std::uint64_t promised,
                 const std::map<std::uint64_t, std::vector<std::byte>>& snapshots,
                 std::size_t& torn) {
  memory_file disk{as_bytes(image)};
  log_report report;
  auto opened = ledger::open(disk, small_steps(), report);
  if (promised == 0 && !opened) { // the making was interrupted: said so, nothing promised
    ASSERT_TRUE(opened.error().code == errc::malformed) << opened.error().message;
    return;
  }
  ASSERT_TRUE(opened) << opened.error().message;
  torn += report.torn ? 1 : 0;
  const std::uint64_t size = opened->log().size();
  ASSERT_GE(size, promised);
  ASSERT_TRUE(snapshots.contains(size)) << "half a batch, " << size << " entries";
  ASSERT_EQ(opened->view().snapshot(), snapshots.at(size));
  // Also when the power goes while the torn end is cleared.
  std::vector<change> clearing;
  for (const memory_file::event& e : disk.events) {
    clearing.push_back(
        {e.sync, e.offset, {reinterpret_cast<const char*>(e.bytes.data()), e.bytes.size()}});
  }
  for (const std::string& again : images_after(clearing, clearing.empty() ? 0 : 1, image)) {
    memory_file second{as_bytes(again)};
    log_report unused;
    const auto reopened = ledger::open(second, small_steps(), unused);
    ASSERT_TRUE(reopened) << reopened.error().message;
    ASSERT_GE(reopened->log().size(), promised);
  }
  const authentic_command next = authentic_command::unchecked_for_test(
      transfer{ledger_world::node(1), ledger_world::node(9), 1, 99'999'999});
  ASSERT_TRUE(opened->commit(std::span{&next, 1}, t0 + 100));
  log_report unused;
  ASSERT_EQ(ledger::open(disk, small_steps(), unused).value().view().snapshot(),
            opened->view().snapshot());
}

TEST(ledger_log, every_image_that_lost_power_can_leave_has_all_that_was_acknowledged_and_no_half) {
  const test::store_folder folder{"ovir-ledger-power"};
  const std::string path = (folder.path() / "log").string();
  std::map<std::uint64_t, std::vector<std::byte>> snapshots;       ///< by entries: after each batch
  std::vector<std::pair<std::size_t, std::uint64_t>> acknowledged; ///< events so far, entries
  test::start_recording(folder.path());
  const auto file = storage::open_durable_file(path, true).value();
  ledger book = ledger::create(*file, ledger_world::rules(), t0, small_steps()).value();
  ledger_world world{book.id()};
  const auto note = [&] {
    snapshots[book.log().size()] = book.view().snapshot();
    acknowledged.emplace_back(test::events_recorded(), book.log().size());
  };
  note();
  for (std::uint64_t n = 0; n < 20; ++n) {
    ASSERT_TRUE(book.commit(batch_for(book, world, n, 1 + n * 7 % 23), t0 + n));
    note();
  }
  std::vector<change> changes;
  for (const test::disk_event& e : test::stop_recording()) {
    if (e.kind == test::disk_event::what::write || e.kind == test::disk_event::what::sync) {
      changes.push_back({e.kind == test::disk_event::what::sync, e.offset, e.bytes});
    } else {
      ASSERT_EQ(e.kind, test::disk_event::what::sync_folder);
      changes.push_back({false, 0, {}});
    }
  }
  std::size_t tried = 0;
  std::size_t torn = 0;
  for (std::size_t count = 0; count <= changes.size(); ++count) {
    std::uint64_t promised = 0;
    for (const auto& [events, entries] : acknowledged) {
      promised = events <= count ? entries : promised;
    }
    for (const std::string& image : images_after(changes, count)) {
      ++tried;
      check_image(image, promised, snapshots, torn);
      ASSERT_FALSE(testing::Test::HasFatalFailure()) << "after " << count << " events";
    }
  }
  EXPECT_GT(tried, 200U);
  EXPECT_GT(torn, 50U) << "the images must have had torn ends";
}

// --- room ahead

TEST(ledger_log, room_zeroed_beside_the_work_changes_no_byte_and_may_fail_or_never_come) {
  std::vector<std::thread> threads;
  std::vector<std::function<void()>> later;
  const std::vector<storage::background_runner> runners{
      {},
      [](const std::function<void()>& job) { job(); },
      [](const std::function<void()>&) {},
      [&](std::function<void()> job) { threads.emplace_back(std::move(job)); },
      [&](std::function<void()> job) {
        later.push_back(std::move(job));
        if (later.size() == 1 && later.front()) {
          std::exchange(later, {}).front()(); // while the file is in use
        }
      }};
  std::vector<std::byte> first;
  for (const storage::background_runner& runner : runners) {
    const test::store_folder folder{"ovir-ledger-room"};
    const std::string path = (folder.path() / "log").string();
    ledger_options options;
    options.log.step_bytes = 16 * sector_bytes;
    std::vector<std::byte> snapshot;
    {
      const auto file = storage::open_durable_file(path, true, runner).value();
      ledger book = ledger::create(*file, ledger_world::rules(), t0, options).value();
      ledger_world world{book.id()};
      for (std::uint64_t n = 0; n < 20; ++n) {
        ASSERT_TRUE(book.commit(batch_for(book, world, n, 1 + n * 7 % 23), t0 + n));
      }
      snapshot = book.view().snapshot();
    } // waits for its job
    std::vector<std::byte> bytes;
    {
      const auto file = storage::open_durable_file(path, false).value();
      log_report report;
      const auto opened = ledger::open(*file, options, report);
      ASSERT_TRUE(opened) << opened.error().message;
      ASSERT_FALSE(report.torn);
      ASSERT_EQ(opened->view().snapshot(), snapshot);
      bytes.resize(static_cast<std::size_t>(opened->log().bytes()));
      ASSERT_TRUE(file->read_at(0, bytes));
    }
    first = first.empty() ? bytes : first;
    ASSERT_EQ(bytes, first);
    for (std::thread& t : threads) {
      t.join();
    }
    threads.clear();
  }
}

// --- kill -9

/// What a child tells its parent while it lives: memory they share.
struct shared_counts {
  std::atomic<std::uint64_t> entries;
  std::atomic<std::uint64_t> batches;
};

int work_until_killed(const std::string& path, shared_counts& counts, std::uint64_t kill_at) {
  test::skip_syncs(true); // they matter when the power goes, and take most of the time
  const auto file = storage::open_durable_file(path, false).value();
  log_report report;
  auto opened = ledger::open(*file, small_steps(), report);
  if (!opened) {
    return 1;
  }
  if (kill_at > 0) {
    test::kill_at_call(kill_at);
  }
  for (std::uint64_t n = opened->log().size(); n < 100'000; n = opened->log().size()) {
    std::vector<authentic_command> batch;
    for (std::uint64_t i = 0; i < 1 + n % 40; ++i) {
      batch.push_back(authentic_command::unchecked_for_test(
          transfer{ledger_world::node(1), ledger_world::node(2), 1, n + i + 2}));
    }
    const auto done = opened->commit(batch, t0 + n);
    if (!done || !done->commands.back().done) {
      return 2;
    }
    counts.entries = opened->log().size();
    ++counts.batches;
  }
  return 0;
}

TEST(ledger_log, after_each_of_500_kills_nothing_acknowledged_is_lost_and_nothing_half_applied) {
  const test::store_folder folder{"ovir-ledger-kills"};
  const std::string path = (folder.path() / "log").string();
  void* const shared = ::mmap(nullptr, sizeof(shared_counts), PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(shared, MAP_FAILED);
  auto& counts = *new (shared) shared_counts{};
  std::mt19937_64 random{test::test_seed()};
  std::uint64_t torn = 0;
  for (std::uint64_t n = 0; n < kills; ++n) {
    if (n % 20 == 0) { // a fresh one now and then, or opening takes all the time
      std::filesystem::remove(path);
      const auto file = storage::open_durable_file(path, true).value();
      genesis rules = ledger_world::rules();
      rules.rules.actions_per_minute_max = 1'000'000'000;
      ledger book = ledger::create(*file, rules, t0, small_steps()).value();
      const authentic_command mint = authentic_command::unchecked_for_test(
          ovir::ledger::mint{ledger_world::node(ledger_world::minter), mint_target::participant,
                             ledger_world::node(1), 1'000'000'000, 1});
      ASSERT_TRUE(book.commit(std::span{&mint, 1}, t0).value().commands[0].done);
      counts.entries = 2;
    }
    counts.batches = 0;
    const bool by_call = n % 2 == 0;
    const std::uint64_t when = 1 + random() % 30;
    const int child = test::fork_child();
    if (child == 0) {
      test::leave_child(work_until_killed(path, counts, by_call ? when : 0));
    }
    if (!by_call) {
      while (counts.batches < when) {
        int status = 0;
        ASSERT_EQ(::waitpid(child, &status, WNOHANG), 0) << "the child ended: " << status;
        ::sched_yield();
      }
      ::kill(child, SIGKILL);
    }
    ASSERT_EQ(test::wait_for_child(child), -SIGKILL) << "kill " << n;
    const auto file = storage::open_durable_file(path, false).value();
    const auto seen = verify_log(*file, {.signatures = false});
    ASSERT_TRUE(seen && !seen->fault) << seen->fault->what << ", kill " << n;
    log_report report;
    const auto opened = ledger::open(*file, small_steps(), report);
    ASSERT_TRUE(opened) << opened.error().message << ", kill " << n;
    torn += report.torn ? 1 : 0;
    ASSERT_GE(opened->log().size(), counts.entries.load()) << "kill " << n;
    ASSERT_EQ(opened->view().find(ledger_world::node(2)) == nullptr
                  ? 0
                  : opened->view().find(ledger_world::node(2))->free,
              opened->log().size() - 2);
    ASSERT_EQ(seen->head, opened->head());
  }
  EXPECT_GT(torn, 20U) << "some kills must have torn a batch";
  ::munmap(shared, sizeof(shared_counts));
}

// --- bits

/// Which entry each byte of a log's file belongs to; nothing: none.
std::vector<std::optional<std::uint64_t>> owners_of(const std::vector<std::byte>& file,
                                                    std::uint64_t end) {
  std::vector<std::optional<std::uint64_t>> owners(file.size());
  std::uint64_t at = sector_bytes;
  while (at < end) {
    const batch_head head = batch_head_from(std::span{file}.subspan(at)).value();
    const std::uint64_t behind = at + padded(batch_head_bytes + head.bytes);
    std::fill_n(owners.begin() + static_cast<long>(at), batch_head_bytes, head.first);
    at += batch_head_bytes;
    for (std::uint32_t n = 0; n < head.entries; ++n) {
      std::uint32_t length = 0;
      std::memcpy(&length, file.data() + at, sizeof(length));
      std::fill_n(owners.begin() + static_cast<long>(at), length + entry_frame_bytes,
                  head.first + n);
      at += length + entry_frame_bytes;
    }
    std::fill_n(owners.begin() + static_cast<long>(at), behind - at, head.first + head.entries - 1);
    at = behind;
  }
  return owners;
}

TEST(ledger_log, any_flipped_bit_is_found_and_its_entry_named) {
  memory_file disk;
  ledger book = ledger::create(disk, ledger_world::rules(), t0, small_steps()).value();
  ledger_world world{book.id()};
  for (std::uint64_t n = 0; n < 5; ++n) {
    ASSERT_TRUE(book.commit(batch_for(book, world, n, 1 + n % 3), t0 + n));
  }
  const std::vector<std::byte> sound = disk.content;
  ASSERT_FALSE(verify_log(disk, {}).value().fault);
  const auto owners = owners_of(sound, book.log().bytes());
  std::uint64_t in_padding_behind = 0;
  for (std::size_t bit = 0; bit < sound.size() * 8; ++bit) {
    disk.content[bit / 8] ^= std::byte{1} << (bit % 8);
    const verify_report seen = verify_log(disk, {.signatures = false}).value();
    if (bit / 8 >= book.log().bytes()) { // beyond the last entry: as if a batch was never finished
      ASSERT_TRUE(seen.tail.torn || seen.fault) << "bit " << bit;
      ++in_padding_behind;
    } else {
      ASSERT_TRUE(seen.fault) << "bit " << bit << " was not found";
      ASSERT_EQ(seen.fault->entry.value_or(0), owners[bit / 8].value_or(0))
          << "bit " << bit << ": " << seen.fault->what;
      log_report report;
      ASSERT_FALSE(ledger::open(disk, small_steps(), report)) << "bit " << bit;
      ASSERT_FALSE(report.torn) << "damage must not be taken for a torn end";
    }
    disk.content[bit / 8] ^= std::byte{1} << (bit % 8);
  }
  EXPECT_EQ(disk.content, sound) << "looking changed the file";
}

TEST(ledger_log, a_lost_sector_in_the_middle_is_damage_and_not_the_end) {
  memory_file disk;
  ledger book = ledger::create(disk, ledger_world::rules(), t0, small_steps()).value();
  ledger_world world{book.id()};
  std::uint64_t last_batch = 0;
  for (std::uint64_t n = 0; n < 8; ++n) {
    last_batch = book.log().size();
    ASSERT_TRUE(book.commit(batch_for(book, world, n, 1 + n % 7), t0 + n));
  }
  const std::vector<std::byte> sound = disk.content;
  const auto owners = owners_of(sound, book.log().bytes());
  for (std::uint64_t at = sector_bytes; at < book.log().bytes(); at += sector_bytes) {
    disk.content = sound;
    std::fill_n(disk.content.begin() + static_cast<long>(at), sector_bytes, std::byte{0});
    const verify_report seen = verify_log(disk, {.signatures = false}).value();
    const bool in_last_batch = owners[at].value() >= last_batch;
    ASSERT_TRUE(seen.fault || in_last_batch) << at;
    // Whoever has a head knows that even the last batch was there.
    const signed_head head = sign(ledger_world::key(ledger_world::keeper), book.head());
    const verify_report knowing = verify_log(disk, {.signatures = false, .heads = {head}}).value();
    ASSERT_TRUE(knowing.fault) << at;
    log_report report;
    ledger_options knows = small_steps();
    knows.entries_least = book.log().size();
    const std::vector<std::byte> before = disk.content;
    ASSERT_EQ(ledger::open(disk, knows, report).error().code, errc::digest_mismatch) << at;
    ASSERT_EQ(disk.content, before) << "a log that lost entries must be left as it is";
  }
}

} // namespace
} // namespace ovir::ledger
