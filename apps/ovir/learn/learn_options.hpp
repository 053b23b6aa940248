#pragma once

#include "apps/ovir/base/command.hpp"
#include "apps/ovir/learn/learn_run.hpp"
#include "learning/training/trainer.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <optional>
#include <string>

namespace ovir::apps {

/// What `ovir learn` and a worker of `ovir learn round` are told about their training.
struct learn_options {
  std::string model;
  std::string data;
  std::string targets{"all"};
  std::string optimiser{"adamw"};
  std::string schedule{"linear"};
  std::optional<std::uint32_t> steps;
  std::optional<std::uint32_t> held_back;
  std::uint32_t epochs{3};
  bool train_prompts{false};
  std::uint32_t memory_mib{1536};
  std::uint32_t pass_rows{1'024};
  learning::learn_settings settings;
  learn_watch watch;
  compute_options how;
  bool as_json{false};
};

/// Rank, optimiser, steps and what else the adapter depends on.
void add_training_options(CLI::App& command, learn_options& given);

[[nodiscard]] result<learning::learn_settings> settings_of(const learn_options& given,
                                                           const compute::model_config& config);

/// The examples, and the settings that depend on how many there are.
[[nodiscard]] result<learning::training_data> read_data(const learn_options& given,
                                                        const ready_model& model,
                                                        surroundings& around,
                                                        learning::learn_settings& settings);

} // namespace ovir::apps
