#pragma once

#include "compute/parts/segment_cut.hpp"
#include "messages/digest.hpp"
#include "messages/node_id.hpp"
#include "messages/result.hpp"

#include <cstddef>
#include <span>
#include <vector>

namespace ovir::compute {

/// Which nodes hold which parts of a segment together (docs/formats/parts.md). Node 0 leads.
struct part_group {
  digest model; ///< of the manifest
  std::vector<node_id> nodes;
  segment_cut cut;
  friend bool operator==(const part_group&, const part_group&) = default;
};

[[nodiscard]] std::vector<std::byte> encode_order(const part_group& order);
/// `malformed`, also where nodes are not as many as members or one is there twice, `unsupported`
/// or `over_limit`. Whether the model can be cut so is not looked at here.
[[nodiscard]] result<part_group> decode_order(std::span<const std::byte> bytes);

} // namespace ovir::compute
