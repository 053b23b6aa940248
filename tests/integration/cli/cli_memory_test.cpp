// How much memory `ovir run` takes, as the system tells: a model is in it once.
#include "messages/sanitized.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/shared_files.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cstdint>
#include <filesystem>

namespace ovir::test {
namespace {

/// Beside the model and the KV cache: the program, the tokenizer, buffers.
constexpr std::uint64_t slack = std::uint64_t{200} << 20U;

/// The most that was resident of any child that ended so far. No test of this program has a child
/// that may take as much as those below.
std::uint64_t children_peak() {
  rusage use{};
  EXPECT_EQ(getrusage(RUSAGE_CHILDREN, &use), 0);
  return static_cast<std::uint64_t>(use.ru_maxrss) << 10U;
}

void expect_at_most(std::uint64_t allowed, const std::string& what) {
  if (!address_sanitized) {
    EXPECT_LE(children_peak(), allowed) << what;
  }
}

/// Runs with everything that goes through the model: packing, a prompt, tokens, its digest.
std::uint64_t allowed_after_run(const std::filesystem::path& model, const std::string& stages,
                                const std::filesystem::path& transcript) {
  const nlohmann::json told =
      ovir_json({"run", "-m", model.string(), "-p", "Once upon a time", "-n", "40", "--stages",
                 stages, "--transcript", transcript.string()});
  std::uint64_t bytes = std::filesystem::file_size(model) + slack;
  for (const auto& stage : told["stages"]) {
    bytes += stage["kv_bytes"].get<std::uint64_t>();
  }
  return bytes;
}

TEST(cli_memory, stays_within_its_bound_on_a_real_model) {
  OVIR_SHARED_FILE(model, "models/minimind2-small-q8_0.gguf");
  const temporary_folder folder;
  const auto allowed = allowed_after_run(model, "1", folder.path() / "run.json");
  expect_at_most(allowed, "1 stage");
}

TEST(cli_memory, holds_a_large_model_once) {
  const temporary_folder folder;
  const auto model = folder.path() / "large.gguf";
  const child_result made = run_ovir(
      {"model", "synth", model.string(), "--preset", "1.1b", "--layers", "8", "--type", "q4_0"});
  ASSERT_EQ(made.exit_code, 0) << made.err;
  const std::uint64_t size = std::filesystem::file_size(model);
  ASSERT_GT(size, slack * 5 / 4) << "else two of it would be allowed";
  for (const char* stages : {"1", "3"}) {
    const auto allowed = allowed_after_run(model, stages, folder.path() / "run.json");
    expect_at_most(allowed, std::string{stages} + " stages");
    EXPECT_GT(children_peak(), size) << "what was measured is not the model";
  }
}

} // namespace
} // namespace ovir::test
