// The content store: hashing as it verifies content, and lookups among a million entries, with the
// writer idle and with it committing all the time.
//
//   build/release/store_bench [--benchmark_filter=lookup]     (bench/store_load judges what it
//   prints)
//
// The index of a million entries is written directly. Their content is one and the same, 4,000
// zeros, in a million places of a file with holes, so that it takes no disk. Lookups are by key,
// the way requests come, each a key's record and an entry's, alone or with the content, read and
// hashed. p50 and p99 are of single lookups in microseconds, with the clock's own cost in them.
// Commits are measured likewise, alone and with a thread that looks up all the time: what readers
// cost the writer.
#include "messages/digest.hpp"
#include "storage/env/lmdb_file.hpp"
#include "storage/store/content_store.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>
#include <vector>

namespace ovir::storage {
namespace {

constexpr std::uint64_t entries = 1'000'000;
constexpr std::uint64_t per_commit = 50'000;
constexpr std::uint64_t content_bytes = 4'000;
constexpr std::uint64_t t0 = 1'700'000'000;

digest numbered(std::uint64_t number, std::uint64_t what) {
  return hasher{"ovir/bench/v1/store"}.update_u64(number).update_u64(what).finish();
}

/// A folder with the index of `entries` KV blocks, made once and removed at the end.
class large_store {
public:
  large_store() : folder_(std::filesystem::temp_directory_path() / "ovir-store-bench") {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    write_index();
    write_blocks();
    const auto begin = std::chrono::steady_clock::now();
    auto opened = content_store::open(*machine_, folder_.string(), {});
    open_seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    if (!opened || (*opened)->report().rebuilt) {
      std::abort();
    }
    store_ = std::move(*opened);
  }
  ~large_store() {
    store_.reset();
    std::filesystem::remove_all(folder_);
  }
  large_store(const large_store&) = delete;
  large_store& operator=(const large_store&) = delete;

  content_store& store() { return *store_; }
  [[nodiscard]] double open_seconds() const { return open_seconds_; }

private:
  void write_blocks() const {
    std::ofstream{folder_ / "blocks"}.close();
    std::filesystem::resize_file(folder_ / "blocks", entries * extent_map::unit);
  }

  void write_index() const {
    const digest content = hash_plain(std::vector<std::byte>(content_bytes));
    auto file = lmdb_file::open((folder_ / "index.mdb").string()).value();
    index_summary summary;
    for (std::uint64_t n = 0; n < entries;) {
      index_changes changes;
      for (std::uint64_t i = 0; i < per_commit; ++i, ++n) {
        entry e;
        e.kind = content_kind::kv;
        e.name = numbered(n, 0);
        e.is_private = true; // else the content would be its name
        e.content = content;
        e.size = content_bytes;
        e.offset = n * extent_map::unit;
        e.stored = e.last_use = t0;
        const digest key = numbered(n, 1);
        e.keys = {key};
        changes.emplace(entry_index_key(e.kind, e.name), to_record(e));
        changes.emplace(key_index_key(key), to_record(key, key_target{e.kind, e.name}));
      }
      for (const auto& [key, record] : changes) {
        ++summary.records;
        summary.sum += checked(key, *record).value();
      }
      summary.transaction = file.transaction() + 1;
      changes.emplace(summary_index_key(), to_record(summary));
      if (!file.commit(changes)) {
        std::abort();
      }
    }
  }

  std::filesystem::path folder_;
  std::unique_ptr<env> machine_{make_env_posix()};
  std::unique_ptr<content_store> store_;
  double open_seconds_{0};
};

large_store& world() {
  static large_store only;
  return only;
}

/// Commits a batch of 32 KV blocks, and one that takes them out again.
void write_twice(content_store& store, std::uint64_t n) {
  std::vector<std::byte> block(32U << 10U);
  std::vector<std::vector<std::byte>> blocks;
  std::vector<store_change> changes;
  changes.reserve(32);
  for (std::uint64_t i = 0; i < 32; ++i) {
    std::memcpy(block.data(), &n, sizeof(n));
    std::memcpy(block.data() + sizeof(n), &i, sizeof(i));
    blocks.push_back(block);
  }
  for (const auto& bytes : blocks) {
    changes.emplace_back(put_content{.kind = content_kind::boundaries, .bytes = bytes});
  }
  if (!store.commit(changes, t0)) {
    std::abort();
  }
  changes.clear();
  for (const auto& bytes : blocks) {
    changes.emplace_back(remove_content{{content_kind::boundaries, hash_plain(bytes)}});
  }
  if (!store.commit(changes, t0)) {
    std::abort();
  }
}

void write_until(content_store& store, const std::atomic<bool>& over,
                 std::atomic<std::uint64_t>& commits) {
  for (std::uint64_t n = 0; !over; ++n) {
    write_twice(store, n);
    commits += 2;
  }
}

digest any_key(std::uint64_t& n) {
  n = n * 6'364'136'223'846'793'005U + 1'442'695'040'888'963'407U;
  return numbered((n >> 20U) % entries, 1);
}

void count_times(benchmark::State& state, std::vector<double>& times) {
  std::sort(times.begin(), times.end());
  const auto at = [&](double share) {
    return times[std::min(times.size() - 1,
                          static_cast<std::size_t>(share * static_cast<double>(times.size())))];
  };
  state.counters["p50_us"] = at(0.5);
  state.counters["p99_us"] = at(0.99);
}

double since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin)
      .count();
}

template <class LookUp>
void measure_lookups(benchmark::State& state, const LookUp& look_up) {
  content_store& store = world().store();
  const store_reader reader = store.reader();
  std::atomic<bool> over{false};
  std::atomic<std::uint64_t> commits{0};
  std::thread writer;
  if (state.range(0) != 0) {
    writer = std::thread{[&] { write_until(store, over, commits); }};
  }
  std::vector<double> times;
  std::uint64_t n = 0;
  for (auto _ : state) {
    const digest key = any_key(n);
    const auto begin = std::chrono::steady_clock::now();
    const bool found = look_up(reader, key);
    times.push_back(since(begin));
    if (!found) {
      state.SkipWithError("an entry is missing");
      break;
    }
  }
  over = true;
  if (writer.joinable()) {
    writer.join();
  }
  count_times(state, times);
  state.counters["commits"] = static_cast<double>(commits);
  state.counters["open_s"] = world().open_seconds();
}

void lookup(benchmark::State& state) {
  measure_lookups(state, [](const store_reader& reader, const digest& key) {
    return reader.describe_by_key({}, key).has_value();
  });
}
BENCHMARK(lookup)->ArgName("writing")->Arg(0)->Arg(1)->MinTime(2)->UseRealTime();

void lookup_with_content(benchmark::State& state) {
  measure_lookups(state, [](const store_reader& reader, const digest& key) {
    return reader.find_by_key({}, key).outcome == lookup_outcome::hit;
  });
}
BENCHMARK(lookup_with_content)->ArgName("writing")->Arg(0)->Arg(1)->MinTime(2)->UseRealTime();

void commit(benchmark::State& state) {
  content_store& store = world().store();
  std::atomic<bool> over{false};
  std::atomic<std::uint64_t> lookups{0};
  std::thread reader;
  if (state.range(0) != 0) {
    reader = std::thread{[&, from = store.reader()] {
      for (std::uint64_t n = 1; !over; ++lookups) {
        benchmark::DoNotOptimize(from.describe_by_key({}, any_key(n)));
      }
    }};
  }
  std::vector<double> times;
  std::uint64_t n = std::uint64_t{1} << 40U;
  for (auto _ : state) {
    const auto begin = std::chrono::steady_clock::now();
    write_twice(store, ++n);
    times.push_back(since(begin) / 2);
  }
  over = true;
  if (reader.joinable()) {
    reader.join();
  }
  count_times(state, times);
  state.counters["lookups"] = static_cast<double>(lookups);
}
BENCHMARK(commit)->ArgName("reading")->Arg(0)->Arg(1)->MinTime(2)->UseRealTime();

void blake3(benchmark::State& state) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(state.range(0)));
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<std::byte>(i * 31);
  }
  for (auto _ : state) {
    benchmark::DoNotOptimize(hash_plain(bytes));
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * state.range(0));
}
BENCHMARK(blake3)->Arg(8 << 10)->Arg(32 << 10)->Arg(256 << 10)->Arg(1 << 20);

} // namespace
} // namespace ovir::storage

BENCHMARK_MAIN();
