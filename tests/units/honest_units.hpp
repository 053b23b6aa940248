#pragma once

#include "compute/kernels/kernels.hpp"
#include "compute/model/transcript.hpp"
#include "messages/digest.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <string>
#include <vector>

/// Units of random models over random prompts, computed as the stages of a node compute them: what
/// two builds or two kernel sets are compared by. No clock, no chance but the seed's.
namespace ovir::units {

/// One layer over one window of a prompt, by the digests that statements name: of the boundary it
/// puts out (of the model's last layer, of its K and V) and of its K and V.
struct unit_value {
  std::uint32_t prompt{0};
  compute::unit_name unit;
  std::uint32_t positions{0};
  digest boundary;
  digest kv;
};

struct seed_order {
  std::uint64_t seed{1};
  std::uint32_t prompts{32}; ///< a prompt has up to 8 windows
  bool also_windows{false};  ///< computes every window of every stage again, as a verifier does
  bool plant{false};         ///< one bit in the K of one unit is wrong
};

struct seed_outcome {
  digest value; ///< of all units in order, and of the logits behind each prompt
  std::vector<unit_value> units;
  std::uint64_t again{0}; ///< units computed a second time, from what statements say they are of
  std::vector<std::string> mismatches; ///< of these, and of logits and tokens
};

/// Computes the units of one seed on the calling thread. Errors are of the models made here or of
/// the kernels: none is expected.
[[nodiscard]] result<seed_outcome> compute_units(const seed_order& order,
                                                 const compute::kernel_set& kernels);

} // namespace ovir::units
