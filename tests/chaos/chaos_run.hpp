#pragma once

#include "tests/chaos/drill.hpp"
#include "tests/chaos/node_watch.hpp"

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace ovir::chaos {

struct chaos_options {
  std::string model; ///< a path; empty: a synthetic one of 8 layers
  std::uint64_t seed{1};
  std::uint64_t kills{300};
  std::chrono::seconds length_max{0}; ///< 0: until the kills are done
  std::size_t clients{4};
  std::uint32_t answers{16};     ///< different requests
  std::uint32_t tokens_max{200}; ///< of an answer
  std::chrono::milliseconds pause_max{600};
  bool placed{false};               ///< schedulers say which layers workers hold
  bool soak{false};                 ///< spares two nodes and watches everybody's growth
  std::chrono::seconds warm_up{30}; ///< of a node, before its growth counts
  std::string folder;               ///< kept; empty: a temporary one
  bool talks{false};                ///< about its progress, on standard error
};

/// What came of it.
struct chaos_report {
  chaos_options options;
  double seconds{0};
  drill_count done;
  tally streams;
  std::vector<std::string> fallen; ///< nodes that ended by themselves
  std::vector<std::string> left;   ///< what was not cleaned up
  std::vector<std::string> grown;
  std::string last_words; ///< of the nodes, when something is wrong

  [[nodiscard]] bool good() const;
  [[nodiscard]] apps::json document() const;
  [[nodiscard]] std::string table() const;
};

/// Starts seven nodes, lets clients ask them without end, takes nodes away as the seed says, and
/// checks every answer and what is left at the end. Throws where the machine does not play along.
[[nodiscard]] chaos_report run_chaos(const chaos_options& options);

/// Writes the model of 8 layers that drills use where there is no other; a larger one, of which a
/// node's memory can be too small.
[[nodiscard]] std::string make_drill_model(const std::string& path, bool large = false);
[[nodiscard]] std::uint32_t layers_of(const std::string& model);

} // namespace ovir::chaos
