#pragma once

#include "apps/ovir/base/command.hpp"
#include "learning/training/trainer.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <string>

namespace ovir::apps {

/// How a training is watched and kept; no bit of the adapter depends on it.
struct learn_watch {
  std::string out;              ///< the adapter's file; checkpoints stand beside it
  std::string plot;             ///< empty: none
  std::uint32_t save_every{10}; ///< steps
  std::uint32_t evaluate_every{50};
  std::uint32_t report_every{1};
  bool anew{false}; ///< a checkpoint that is there is not used

  [[nodiscard]] std::string state_path() const { return out + ".state"; }
};

/// What became of it.
struct learn_outcome {
  std::uint32_t resumed_at{0}; ///< steps done by earlier runs
  std::uint64_t tokens{0};     ///< computed by this one
  double seconds{0};
  std::string adapter; ///< the file's bytes
};

/// Goes on from the checkpoint where there is one, trains to the end, writes adapter and plot, and
/// removes the checkpoint. Each file appears whole or not at all. `cancelled` after Ctrl-C, with a
/// checkpoint left.
[[nodiscard]] result<learn_outcome> run_training(learning::trainer& trainer,
                                                 const learning::learn_settings& settings,
                                                 const learn_watch& watch, surroundings& around,
                                                 compute::parallel_runner& runner);

} // namespace ovir::apps
