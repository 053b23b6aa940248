#pragma once

#include "actors/weights/fetch_core.hpp"
#include "compute/gguf/manifest.hpp"
#include "messages/digest.hpp"
#include "messages/ids.hpp"
#include "messages/node_id.hpp"
#include "messages/result.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

namespace ovir::actors {

/// How far a fetch is, for people.
struct fetch_progress {
  digest model;
  layer_range layers;
  std::string state;              ///< "waiting", "fetching", "done" or "failed"
  std::uint64_t bytes{0};         ///< of all pieces of the segment
  std::uint64_t present_bytes{0}; ///< found on the disk when it began
  std::uint64_t local_bytes{0};   ///< found in files of other models
  fetch_core::counters count;     ///< from others
  std::map<node_id, fetch_core::source_report> sources;
  std::string reason; ///< why it failed
};
/// For people: what is fetched, how far, from whom, and how long yet by the rate so far. `since`
/// its begin.
[[nodiscard]] std::string words_of(const fetch_progress& fetch, std::chrono::nanoseconds since);
/// `before`, and what `core` (may be none) has counted since.
[[nodiscard]] fetch_progress shown(const fetch_progress& before,
                                   const std::optional<fetch_core>& core);

/// What was fetched: a file ready to be mapped.
struct fetched_segment {
  digest model;
  layer_range layers;
  std::string path;
  std::shared_ptr<const compute::model_manifest> manifest;
};

/// Answers once, also where the one who was to answer is gone.
class fetch_answer {
public:
  using function = std::function<void(result<fetched_segment>)>;

  explicit fetch_answer(function done) : done_(std::move(done)) {}
  ~fetch_answer();
  fetch_answer(const fetch_answer&) = delete;
  fetch_answer& operator=(const fetch_answer&) = delete;

  void operator()(result<fetched_segment> outcome);

private:
  function done_;
};

} // namespace ovir::actors
