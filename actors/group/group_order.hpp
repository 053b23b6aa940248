#pragma once

#include "compute/parts/segment_cut.hpp"
#include "messages/digest.hpp"
#include "messages/node_id.hpp"
#include "messages/result.hpp"

#include <cstddef>
#include <span>
#include <vector>

namespace ovir::actors {

/// Which nodes hold which parts of a segment together (docs/formats/parts.md). Node 0 leads.
struct group_order {
  digest model; ///< of the manifest
  std::vector<node_id> nodes;
  compute::segment_cut cut;
  friend bool operator==(const group_order&, const group_order&) = default;
};

[[nodiscard]] std::vector<std::byte> encode_order(const group_order& order);
/// `malformed`, also where nodes are not as many as members or one is there twice, `unsupported`
/// or `over_limit`. Whether the model can be cut so is not looked at here.
[[nodiscard]] result<group_order> decode_order(std::span<const std::byte> bytes);

} // namespace ovir::actors
