#pragma once

#include "apps/console.hpp"
#include "apps/exit_code.hpp"
#include "apps/open_model.hpp"
#include "messages/result.hpp"
#include "storage/env/env.hpp"

#include <CLI/CLI.hpp>

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

/// What every command of `ovir` has in common.
namespace ovir::apps {

/// The outside, as main built it.
struct surroundings {
  storage::env& environment;
  const std::atomic<bool>& interrupted; ///< Ctrl-C: stop at the next step with what there is
};

/// The command the user chose, ready to run once parsing is over.
struct chosen_command {
  std::function<result<exit_code>(surroundings&)> run;
  bool as_json{false};
};

// Each adds its command to `app`; parsing it fills `chosen`. Both must outlive the parse.
void add_run(CLI::App& app, chosen_command& chosen);
void add_tokenize(CLI::App& app, chosen_command& chosen);
void add_perplexity(CLI::App& app, chosen_command& chosen);
void add_plan(CLI::App& app, chosen_command& chosen);
void add_bench(CLI::App& app, chosen_command& chosen);
void add_model(CLI::App& app, chosen_command& chosen);
void add_node(CLI::App& app, chosen_command& chosen);
void add_keygen(CLI::App& app, chosen_command& chosen);
void add_token(CLI::App& app, chosen_command& chosen);
void add_doctor(CLI::App& app, chosen_command& chosen);
void add_cache(CLI::App& app, chosen_command& chosen);
void add_ledger(CLI::App& app, chosen_command& chosen);
void add_receipt(CLI::App& app, chosen_command& chosen);
void add_prove(CLI::App& app, chosen_command& chosen);
void add_shell(CLI::App& app, chosen_command& chosen);

/// `model inspect`, `model synth`.
void add_model_inspect(CLI::App& model, chosen_command& chosen);
void add_model_synth(CLI::App& model, chosen_command& chosen);
void add_model_quantize(CLI::App& model, chosen_command& chosen);
/// `token show`.
void add_token_show(CLI::App& token, chosen_command& chosen);

/// Options that several commands share.
struct compute_options {
  std::uint32_t threads{1}; ///< every processor unless asked otherwise
  std::uint32_t prefill_chunk{64};
  std::string isa; ///< empty: the best this machine has
};
void add_threads(CLI::App& command, compute_options& options);
void add_prefill_chunk(CLI::App& command, compute_options& options);
void add_isa(CLI::App& command, compute_options& options);
void add_json(CLI::App& command, bool& as_json);
/// A seed: decimal digits alone. CLI11 by itself would take -1 as 2^64 - 1 and 010 as 8.
CLI::Option* add_seed(CLI::App& command, const std::string& name, std::uint64_t& seed,
                      const std::string& help);

/// The file at `path`, or the embedded model when `path` is empty.
[[nodiscard]] result<ready_model> load_model(surroundings& around, const std::string& path);

} // namespace ovir::apps
