#pragma once

#include "actors/protocol/protocol.hpp"
#include "actors/reuse/answer_record.hpp"
#include "compute/forward/kv_block.hpp"
#include "messages/digest.hpp"
#include "messages/evidence/unit_claim.hpp"
#include "messages/ids.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

/// What stages and leads say to the cache of their process (docs/adr/0012-reuse.md).
namespace ovir::actors {

/// Names of windows (`compute::window_name`), in order.
using prefix_list = std::shared_ptr<const std::vector<digest>>;

/// The units a stage wants or has. Whose they are follows from the names of their windows.
struct unit_scope {
  digest model; ///< of the manifest
  layer_range layers;
  std::uint32_t model_layers{0};
  compute::kv_shape shape;
};

/// Asks for the units of windows [first, last), as many from the first as there are; answered by
/// `units_found`.
struct find_units {
  unit_scope scope;
  prefix_list prefixes;
  std::uint32_t first{0};
  std::uint32_t last{0};
};
/// Units of windows [first, last) that do not fit what they were to be used with: not found again.
struct refuse_units {
  find_units which;
};
struct units_found {
  std::uint32_t first{0};
  std::vector<compute::kv_block> blocks; ///< [window][layer of the scope], whole windows
  units_reused from;
  bool more{false}; ///< behind these there may be more: ask again
  reuse_end end{reuse_end::all};
  fetch_told others{};
};

/// Complete windows of a stage, to be kept under their names. Their positions in `kv` are not
/// written again, so the cache reads them while the stage goes on.
struct keep_units {
  unit_scope scope;
  prefix_list prefixes; ///< of windows [first, first + prefixes->size())
  std::uint32_t first{0};
  std::shared_ptr<const compute::kv_cache> kv;
  std::vector<compute::unit_leaf> leaves; ///< of these windows; of all layers but the model's last
  std::vector<window_origin> origins;     ///< of these windows, in order
  std::uint64_t cost_us{0};               ///< of one unit
  std::uint64_t era{0};                   ///< of the cache when the session began
};

/// What a stage was given in a window and what it made of it, for those who compute it again.
struct window_kept {
  std::uint32_t window{0};
  std::uint32_t positions{0};
  digest input;            ///< as its statement names it
  std::vector<float> rows; ///< [positions][dim]; empty: tokens came in, or they are not here
  std::vector<digest> kv;  ///< of each layer, likewise
};
/// To be kept under these digests. The positions in `kv` are not written again.
struct keep_inputs {
  layer_range layers;
  std::shared_ptr<const compute::kv_cache> kv;
  std::vector<window_kept> windows;
};
/// Inputs that came from another node and were checked: others may ask for them here.
struct hold_inputs {
  std::vector<std::pair<digest, std::shared_ptr<const std::vector<std::byte>>>> inputs;
};

/// A lead begins: asks for an answer kept, and for leave to compute what others may be computing
/// just now. Answered by `request_entered`, when it may go on.
struct enter_request {
  request_id request;
  digest salt;
  std::vector<digest> windows; ///< prefixes of the prompt, not named for their owner
  std::size_t wanted{0};       ///< so many of them it would take from others
  std::optional<digest> finished_key;
  std::optional<digest> request_name; ///< `request_digest`, for what was drawn so far
  digest model{};                     ///< of the manifest
};
struct request_entered {
  std::optional<answer_record> finished;
  std::vector<drawn_token> drawn; ///< of an answer that did not end, whole windows
  bool from_disk{false};
};
/// All stages hold this request's first `windows` windows.
struct windows_computed {
  request_id request;
  std::uint32_t windows{0};
};
struct leave_request {
  request_id request;
};
/// An answer, or a window of one.
struct keep_answer {
  digest salt;
  answer_record record;
  std::uint64_t cost_us{0};
  std::uint64_t era{0}; ///< of the cache when the request began
};

/// A quarantine is to be written to the disk.
struct write_quarantine {};

/// What happened since the process began; asked with `describe_cache`.
struct describe_cache {};
struct cache_report {
  std::uint64_t memory_bytes{0};
  std::uint64_t memory_entries{0};
  std::uint64_t memory_evicted{0};
  std::uint64_t disk_bytes{0};
  std::uint64_t unwritten{0}; ///< entries that are not on the disk yet
  std::uint64_t from_memory{0};
  std::uint64_t from_disk{0};
  std::uint64_t from_peer{0};
  std::uint64_t answers{0};  ///< found whole
  std::uint64_t saved_us{0}; ///< what it would have taken to compute what was found
  std::uint64_t missed{0};
  std::uint64_t served{0};      ///< blocks, to other nodes
  std::uint64_t rechecked{0};   ///< of others, computed again to see whether they are right
  std::uint64_t refuted{0};     ///< they were not
  std::uint64_t damaged{0};     ///< found and not believed
  std::uint64_t kept{0};        ///< new entries
  std::uint64_t not_kept{0};    ///< for want of room, or because the disk was too slow
  std::uint64_t quarantined{0}; ///< entries that a conviction took away
  std::uint64_t tainted{0};     ///< not kept: computed by who began before a conviction
  std::uint64_t waited{0};      ///< requests that waited for another's prefix
  std::uint64_t gave_up{0};     ///< waits that were given up
  // Inputs of windows, which count nowhere above but in `unwritten`.
  std::uint64_t inputs_kept{0};
  std::uint64_t inputs_not_kept{0}; ///< in memory alone: the disk was full or too slow
  std::uint64_t inputs_served{0};   ///< to other nodes
  std::uint64_t inputs_bytes{0};    ///< in memory
};

class cache_handle;

/// What a stage or a lead needs to use the cache of its process.
struct cache_access {
  std::shared_ptr<cache_handle> handle; ///< null: there is no cache
  digest model;                         ///< of the manifest
  bool reuses{true}; ///< else it keeps inputs of windows, and nothing to use again
};

} // namespace ovir::actors
