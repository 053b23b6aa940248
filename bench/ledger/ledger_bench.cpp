// One run of one side: durable transfers per second in batches, and what a commit takes.
// bench/compare_ledger runs it; --side signatures and --side fdatasync measure what stands beside.
#include "bench/ledger/side.hpp"
#include "ledger/rules/attest.hpp"

#include <CLI/CLI.hpp>
#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>

namespace ovir::bench {

namespace {

using clock = std::chrono::steady_clock;
constexpr std::uint64_t seed = 20'261'120;

struct options {
  std::string side{"ovir"};
  std::string folder{"."};
  std::string connection;
  std::uint64_t batch{100};
  std::uint64_t batches{200};
};

double at(const std::vector<double>& sorted, double share) {
  return sorted[static_cast<std::size_t>(share * static_cast<double>(sorted.size() - 1))];
}

nlohmann::ordered_json summary(const options& given, std::vector<double> seconds,
                               std::uint64_t each) {
  double all = 0;
  for (const double s : seconds) {
    all += s;
  }
  std::sort(seconds.begin(), seconds.end());
  return {{"side", given.side},
          {"batch", each},
          {"per_second", static_cast<double>(each * seconds.size()) / all},
          {"p50_us", at(seconds, 0.5) * 1e6},
          {"p99_us", at(seconds, 0.99) * 1e6}};
}

template <class Work>
std::vector<double> timed(std::uint64_t times, const Work& work) {
  std::vector<double> seconds;
  for (std::uint64_t n = 0; n < times; ++n) {
    const auto begin = clock::now();
    work(n);
    seconds.push_back(std::chrono::duration<double>(clock::now() - begin).count());
  }
  return seconds;
}

/// 4 KiB written over and synced: what one durable batch costs at least.
nlohmann::ordered_json measure_sync(const options& given) {
  const std::string path = given.folder + "/sync";
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT, 0600);
  const std::vector<char> zeros(1U << 20U);
  for (int i = 0; i < 16; ++i) {
    if (::pwrite(fd, zeros.data(), zeros.size(), i * (1L << 20)) < 0) {
      give_up(path + ": cannot be written");
    }
  }
  ::fsync(fd);
  std::array<char, 4096> page{};
  auto seconds = timed(given.batches, [&](std::uint64_t n) {
    page[0] = static_cast<char>(n + 1);
    if (::pwrite(fd, page.data(), page.size(), static_cast<off_t>(n % 4096 * 4096)) < 0 ||
        ::fdatasync(fd) != 0) {
      give_up(path + ": cannot be synced");
    }
  });
  ::close(fd);
  return summary(given, std::move(seconds), 1);
}

nlohmann::ordered_json measure_signatures(const options& given) {
  std::array<std::byte, secret_key::seed_size> key_seed{};
  const secret_key key = secret_key::from_seed(key_seed);
  const ledger::transfer t{key.id(), node_id{{1}}, 5, 7};
  const signature proof = ledger::sign_action(key, digest{}, t);
  auto seconds = timed(given.batches, [&](std::uint64_t) {
    if (!ledger::check_signatures(digest{}, t, proof)) {
      give_up("a good signature was refused");
    }
  });
  return summary(given, std::move(seconds), 1);
}

std::unique_ptr<side> make_side(const options& given) {
  const std::string& name = given.side;
  return name == "ovir"                                    ? make_ovir(given.folder, false)
         : name == "ovir-indexed"                          ? make_ovir(given.folder, true)
         : name == "joint"                                 ? make_joint(given.folder)
         : name == "keeper"                                ? make_keepers(given.folder, 1)
         : name == "keepers"                               ? make_keepers(given.folder, 3)
         : name == "sqlite"                                ? make_sqlite(given.folder, false)
         : name == "sqlite-memory"                         ? make_sqlite(given.folder, true)
         : name == "postgres-set" || name == "standby-set" ? make_postgres(given.connection, true)
         : name == "postgres-pipeline" || name == "standby-pipeline"
             ? make_postgres(given.connection, false)
             : nullptr;
}

nlohmann::ordered_json measure(const options& given) {
  const std::unique_ptr<side> it = make_side(given);
  if (!it) {
    give_up("there is no side " + given.side);
  }
  std::mt19937_64 random{seed};
  std::uint64_t number = 0;
  std::vector<transfer_asked> batch(given.batch);
  const auto fill = [&] {
    for (transfer_asked& t : batch) {
      t.number = number++;
      t.from = static_cast<std::uint32_t>(random() % accounts);
      t.to = static_cast<std::uint32_t>((t.from + 1 + random() % (accounts - 1)) % accounts);
      t.amount = 1 + random() % 1'000;
    }
    it->prepare(batch);
  };
  for (std::uint64_t n = 0; n < given.batches / 10 + 1; ++n) { // warm
    fill();
    it->commit(batch);
  }
  std::vector<double> seconds;
  for (std::uint64_t n = 0; n < given.batches; ++n) {
    fill();
    const auto begin = clock::now();
    it->commit(batch);
    seconds.push_back(std::chrono::duration<double>(clock::now() - begin).count());
  }
  if (it->balances() != accounts * first_balance || it->transfers() != number) {
    give_up(given.side + " does not hold what was moved");
  }
  return summary(given, std::move(seconds), given.batch);
}

} // namespace

std::string id_bytes(std::uint64_t number) {
  const digest d = hash("ovir/bench/v1/transfer", std::as_bytes(std::span{&number, 1}));
  return {reinterpret_cast<const char*>(d.bytes.data()), d.bytes.size()};
}

void give_up(const std::string& what) {
  std::fprintf(stderr, "ovir_ledger_bench: %s\n", what.c_str());
  std::exit(1);
}

} // namespace ovir::bench

int main(int argc, char** argv) {
  using namespace ovir::bench;
  options given;
  CLI::App app{"Durable transfers of one side"};
  app.add_option("--side", given.side,
                 "ovir, ovir-indexed, keeper, keepers, sqlite, sqlite-memory, postgres-set, "
                 "postgres-pipeline, fdatasync or "
                 "signatures");
  app.add_option("--folder", given.folder, "Where its files go; must be empty");
  app.add_option("--connection", given.connection, "PostgreSQL's, as libpq takes it");
  app.add_option("--batch", given.batch, "Transfers per commit")->check(CLI::Range(1, 10'000));
  app.add_option("--batches", given.batches, "Commits")->check(CLI::Range(1, 1'000'000));
  CLI11_PARSE(app, argc, argv);
  const auto found = given.side == "fdatasync"    ? measure_sync(given)
                     : given.side == "signatures" ? measure_signatures(given)
                                                  : measure(given);
  std::printf("%s\n", found.dump().c_str());
  return 0;
}
