#pragma once

#include "apps/ovir/learn/learn_options.hpp"
#include "messages/node_id.hpp"
#include "messages/result.hpp"
#include "messages/signing.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace ovir::apps {

/// What `ovir learn round` is told, in either role.
struct round_options {
  std::string coordinate; ///< HOST:PORT to listen on
  std::string join;       ///< HOST:PORT of a coordinator
  std::string cohort;     ///< file of node keys
  std::string key;        ///< file; empty: the state folder's
  std::string mode{"private"};

  // of a coordinator
  std::string adapter; ///< file that the round begins with; empty: a fresh one
  std::uint32_t round{1};
  std::uint32_t drop_outs{0};
  std::uint32_t colluders{0};
  double update_norm{0.125};
  std::uint32_t unit_bits{20};
  double noise{1};
  std::uint32_t delta_bits{20};
  std::uint32_t gather_seconds{600};
  std::uint32_t wait_seconds{60};
  bool anew{false};

  // of a worker
  std::string coordinator; ///< its key
  double epsilon_max{0};
  std::string copy_sent;   ///< file for every letter sent
  std::string keep_update; ///< file for the update, without and with noise

  learn_options learn; ///< model, data, out, training
};

/// The node keys of a file, one in a line, sorted; lines that begin with # are skipped. `malformed`
/// names the line.
[[nodiscard]] result<std::vector<node_id>> read_cohort(surroundings& around,
                                                       const std::string& path);
[[nodiscard]] result<secret_key> round_key(surroundings& around, const std::string& path);
/// The whole file or nothing.
[[nodiscard]] result<void> write_whole(surroundings& around, const std::string& path,
                                       std::span<const std::byte> bytes);

// The two roles (round_coordinate.cpp, round_join.cpp).
[[nodiscard]] result<exit_code> coordinate_round(const round_options& given, surroundings& around);
[[nodiscard]] result<exit_code> join_round(const round_options& given, surroundings& around);

} // namespace ovir::apps
