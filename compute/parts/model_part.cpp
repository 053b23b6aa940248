#include "compute/parts/model_part.hpp"

#include "compute/kernels/formats/packed_weights.hpp"
#include "messages/check.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace ovir::compute {

namespace {

std::size_t bytes_of(const weight& w, std::uint32_t elements) {
  const tensor_layout layout = layout_of(w.type);
  return std::size_t{elements} / layout.block_elements * layout.block_bytes;
}

/// Rows and columns of a weight as one of their own. Of one that is packed, rows that begin with a
/// panel are packed, too.
weight narrowed(const weight& whole, const part_range& rows, const part_range& columns,
                std::vector<std::unique_ptr<std::byte[]>>& copies) {
  if (rows == part_range{0, whole.rows} && columns == part_range{0, whole.cols}) {
    return whole;
  }
  weight part = whole;
  const bool panels = whole.packed != nullptr && columns == part_range{0, whole.cols} &&
                      rows.first % packed_rows == 0;
  part.packed =
      panels ? whole.packed + rows.first / packed_rows * packed_panel_bytes(whole.type, whole.cols)
             : nullptr;
  part.rows = rows.size();
  part.cols = columns.size();
  part.data = whole.row(rows.first) + bytes_of(whole, columns.first);
  if (part.cols == whole.cols || part.rows <= 1 || part.cols == 0) {
    return part; // stands in the file as it is
  }
  const std::size_t bytes = part.row_bytes();
  copies.push_back(std::make_unique<std::byte[]>(bytes * part.rows));
  std::byte* const to = copies.back().get();
  for (std::uint32_t r = 0; r < part.rows; ++r) {
    std::memcpy(to + r * bytes, part.data + r * whole.row_bytes(), bytes);
  }
  part.data = to;
  return part;
}

} // namespace

std::uint64_t model_part::layer_bytes(layer_range layers) const noexcept {
  std::uint64_t total = 0;
  for (layer_index l = layers.first; l < layers.last; ++l) {
    total += held_bytes(weights.layers[l]);
  }
  return total;
}

result<model_part> take_part(const model& whole, const segment_cut& cut, std::uint32_t member) {
  OVIR_TRY(check_cut(whole, cut));
  OVIR_CHECK(member < cut.members.size(), member);
  model_part part;
  part.weights.config = whole.config;
  part.weights.rope_factors = whole.rope_factors;
  part.weights.layers.resize(whole.layers.size());
  for (layer_index l = cut.layers.first; l < cut.layers.last; ++l) {
    for (const weight_part& one : weight_parts(whole, cut, l, member)) {
      part.weights.layers[l].*one.member =
          narrowed(whole.layers[l].*one.member, one.rows, one.columns, part.copies);
    }
    for (const expert_weights& one : whole.layers[l].experts) {
      expert_weights& mine = part.weights.layers[l].experts.emplace_back();
      for (const expert_part& which : expert_parts) {
        const weight& w = one.*which.member;
        mine.*which.member =
            narrowed(w, expert_rows_of(cut.members[member], which), {0, w.cols}, part.copies);
      }
    }
  }
  if (cut.layers.last == whole.config.layers) {
    part.weights.output_norm = whole.output_norm;
    part.weights.output =
        narrowed(whole.output, cut.members[member].words, {0, whole.output.cols}, part.copies);
  }
  return part;
}

result<void> pack_part(model_part& part, layer_range layers, isa kernels, parallel_runner& runner) {
  constexpr std::size_t line = 64;
  const packing_plan plan = plan_packing(part.weights, layers, kernels);
  part.panels = reserve(plan.bytes + line);
  if (!part.panels) {
    return fail(errc::over_limit, "no memory for {} MiB of packed weights; take a smaller share",
                plan.bytes >> 20U);
  }
  for (const packing_plan::part& one : plan.parts) {
    if (one.target->packed != nullptr) {
      continue;
    }
    pack_weight(one, static_cast<std::byte*>(part.panels.get()), runner);
  }
  if (kernels != isa::reference) { // which reads rows, and has no use for panels
    for (const packing_plan::part& one : plan.parts) {
      const bool copied = std::any_of(part.copies.begin(), part.copies.end(),
                                      [&](const auto& c) { return c.get() == one.target->data; });
      one.target->data = copied ? one.target->packed : one.target->data;
    }
    part.copies.clear();
  }
  return {};
}

} // namespace ovir::compute
