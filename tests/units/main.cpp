#include "compute/kernels/kernels.hpp"
#include "tests/units/honest_units.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <optional>
#include <string>

// Computes units of random models and prompts, seed after seed, and prints for each seed its
// number, how many units it has, and one digest over all of them. Two builds or two kernel sets
// whose lines are the same computed the same units with the same bits (`scripts/check units`).

namespace {

using namespace ovir;

struct settings {
  std::string kernels;
  std::uint64_t units{1};
  units::seed_order first;
  bool each{false};
};

void show(const units::seed_outcome& done, std::uint64_t seed, bool each) {
  for (const units::unit_value& one : done.units) {
    if (each) {
      fmt::print("{} prompt {} window {} layer {} positions {} {} {}\n", seed, one.prompt,
                 one.unit.window, one.unit.layer, one.positions, to_hex(one.boundary),
                 to_hex(one.kv));
    }
  }
  fmt::print("{} {} {}\n", seed, done.units.size(), to_hex(done.value));
  for (const std::string& wrong : done.mismatches) {
    fmt::print(stderr, "computed again and different: {}\n", wrong);
  }
  std::fflush(stdout);
}

int run(const settings& s) {
  std::optional<compute::isa> wanted;
  if (!s.kernels.empty()) {
    const auto named = compute::isa_from(s.kernels);
    if (!named) {
      fmt::print(stderr, "ovir_units: {}\n", named.error().message);
      return 2;
    }
    wanted = *named;
  }
  const auto kernels = compute::select_kernels(wanted);
  if (!kernels) {
    fmt::print(stderr, "ovir_units: {}\n", kernels.error().message);
    return 3;
  }
  std::uint64_t units = 0;
  std::uint64_t again = 0;
  std::uint64_t mismatches = 0;
  for (units::seed_order order = s.first; units < s.units; ++order.seed, order.plant = false) {
    const auto done = units::compute_units(order, **kernels);
    if (!done) {
      fmt::print(stderr, "ovir_units: seed {}: {}\n", order.seed, done.error().message);
      return 4;
    }
    show(*done, order.seed, s.each);
    units += done->units.size();
    again += done->again;
    mismatches += done->mismatches.size();
  }
  fmt::print("total: {} units with {}", units, (*kernels)->name);
  if (s.first.also_windows) {
    fmt::print(", {} computed again, {} mismatches", again, mismatches);
  }
  fmt::print("\n");
  return mismatches == 0 ? 0 : 1;
}

} // namespace

int main(int argc, char** argv) try {
  ::unsetenv("OVIR_SEED"); // it is the tests', and would make the models alike
  settings s;
  CLI::App app{"Computes units of random models, for comparing builds and kernels bit by bit."};
  app.add_option("--kernels", s.kernels, "reference, avx2 or avx512; the fastest when absent");
  app.add_option("--units", s.units, "stops behind the seed with which there are as many");
  app.add_option("--seed", s.first.seed, "the first seed")->capture_default_str();
  app.add_flag("--also-windows", s.first.also_windows,
               "computes each window of each stage again from what is stated of its inputs");
  app.add_flag("--plant", s.first.plant, "one bit of a unit of the first seed is wrong");
  app.add_flag("--each", s.each, "also prints every unit");
  CLI11_PARSE(app, argc, argv);
  return run(s);
} catch (const std::exception& e) {
  fmt::print(stderr, "ovir_units: {}\n", e.what());
  return 4;
}
