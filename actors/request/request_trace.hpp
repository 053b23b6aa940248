#pragma once

#include "messages/ids.hpp"
#include "messages/node_id.hpp"
#include "messages/request/path.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace ovir::actors {

/// What one request did when, as its lead saw it. No clock but the lead's is read: a stage says how
/// long it computed, and the lead when it fed a step and when the answer came. A value; bounded by
/// messages/limits/trace.hpp.
struct request_trace {
  using time = std::chrono::nanoseconds; ///< since the lead began

  /// Tokens that went to the first stage: a pass of the prompt, or a step.
  struct feed {
    epoch driver;
    position first{0};
    std::uint32_t count{0};  ///< known tokens
    std::uint32_t drafts{0}; ///< guesses behind them
    time at{0};
    std::optional<time> answered{}; ///< by the last stage, where logits were wanted
    std::optional<time> drawn{};    ///< from its logits
  };
  /// What a stage says of what it computed.
  struct pass {
    epoch driver;
    std::uint32_t stage{0};
    position length{0}; ///< it holds so many positions then
    time computed{0};
    time told{0}; ///< when the lead heard
  };
  /// From `at` on, until the next one.
  struct path {
    time at{0};
    epoch driver; ///< the first one on it
    layer_places stages;
  };
  struct trouble {
    time at{0};
    std::uint32_t stage{0};
    std::string reason;
  };

  std::uint64_t began_unix_us{0};
  time waited{0}; ///< from the node's taking of the request to its lead's beginning
  std::optional<time> asked_for_path{};
  std::vector<path> paths;
  std::vector<feed> feeds;
  std::vector<pass> passes;
  std::vector<trouble> troubles;
  std::optional<time> generated{}; ///< nothing more will be drawn
  time ended{0};                   ///< the receipt included
  std::uint64_t left_out{0};       ///< what was too much to be kept

  // As it happens
  void take_path(time now, epoch driver, layer_places stages);
  void take_feed(time now, epoch driver, position first, std::uint32_t count, std::uint32_t drafts);
  void take_pass(time now, epoch driver, std::uint32_t stage, position length, time computed);
  void take_answer(time now, epoch driver, position first);
  void take_draw(time now, position at);
  void take_trouble(time now, std::uint32_t stage, std::string reason);
};

/// Names of nodes, for people.
using trace_names = std::map<node_id, std::string>;

/// As Chrome's trace event format has it, which Perfetto and chrome://tracing open:
/// docs/formats/trace.md says which spans there are, and where a stage's computing lies in a step.
[[nodiscard]] std::string chrome_trace(const request_trace& trace, request_id request,
                                       const std::string& lead, const trace_names& names);

} // namespace ovir::actors
