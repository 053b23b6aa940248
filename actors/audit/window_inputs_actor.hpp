#pragma once

#include "actors/audit/verifier_parts_actor.hpp"
#include "verify/part_audit.hpp"
#include "verify/window_replay.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <vector>

/// Windows of one stage computed again from what its statements name: fetched by digest from the
/// node that has it, checked, and held for others who ask here.
namespace ovir::actors {

/// What came, by name; what is not in it did not come, or was something else.
struct known_inputs {
  std::map<digest, compute::input_bytes> by_name;
  bool reached{true}; ///< every node that was asked; else one may have what is missing
};
/// Windows of a stage of a receipt, ascending.
struct windows_of_stage {
  std::size_t stage{0};
  std::vector<std::uint32_t> windows;
};

/// Of layers that are held ready here or lie on the disk; `segment_missing` where not all of them
/// do.
[[nodiscard]] result<audited_model> model_with(verifier_pointer self, const digest& id,
                                               layer_range layers);

/// Asks these nodes, in turn, for all that the windows were computed from, each for what is still
/// missing, and calls `then` once all came or none has more: at once where nothing is to be fetched
/// or there is no way to.
void fetch_windows(verifier_pointer self, const std::shared_ptr<const receipt>& r,
                   const windows_of_stage& which, std::vector<node_id> sources,
                   std::function<void(known_inputs)> then);

/// With none of the kernels in `taken` but the reference. `not_found` where an input is missing.
[[nodiscard]] result<replayed> replay_window(verifier_pointer self, const receipt& r,
                                             const compute::stage_window& at,
                                             const known_inputs& inputs,
                                             std::span<const audit_kernels> taken = {});

/// Looks at statements about parts of the window, as `replay_window` computes it. What `look` is
/// given does not outlive the call. `not_found` where an input is missing.
[[nodiscard]] result<void>
examine_window(verifier_pointer self, const receipt& r, const compute::stage_window& at,
               const known_inputs& inputs,
               const std::function<void(compute::parts_examiner&)>& look);

/// Whether a conviction by replay or by parts is right by the inputs that the guilty one itself
/// named, as its verifiers have them; `not_found` and other errors: it cannot be told here.
void examine_by_inputs(verifier_pointer self, const conviction& c,
                       std::function<void(result<bool>)> then);

} // namespace ovir::actors
