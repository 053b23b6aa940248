#include "actors/group/pass_records.hpp"

#include "compute/parts/part_rows.hpp"

namespace ovir::actors {

part_signing signing_by(const secret_key& key, const compute::part_group& group) {
  return {&key, std::make_shared<const compute::part_terms>(group),
          std::make_shared<const compute::head_terms>(group)};
}

void pass_records::follow(compute::part_record& record, const compute::session_rows& s,
                          std::span<const float> stream) {
  const std::size_t dim = part_.config().dim;
  record.begin(s.first, s.count, static_cast<std::uint32_t>(rows_.size()),
               stream.subspan(s.row * dim, s.count * dim));
  for (std::uint32_t t = 0; t < s.count; ++t) {
    rows_[s.row + t] = {&record, t};
  }
}

void pass_records::crossed(const compute::crossing_place& place, compute::activation_form form,
                           std::span<const std::span<const std::byte>> all) {
  const std::uint32_t layer = place.layer - part_.cut().layers.first;
  const compute::part_lane lane = compute::lane_of(place);
  compute::digest_rows(part_.config(), part_.cut(), place, form,
                       static_cast<std::uint32_t>(rows_.size()), all,
                       [&](std::uint32_t row, std::uint32_t member, const digest& made) {
                         if (const row_of_record& here = rows_[row]; here.record != nullptr) {
                           here.record->add(here.at, layer, lane, member, made);
                         }
                       });
}

std::vector<digest> ends_of(const compute::part_terms& terms,
                            std::span<const compute::part_run> runs, std::uint32_t member) {
  std::vector<digest> ends;
  ends.reserve(runs.size());
  for (const compute::part_run& run : runs) {
    ends.push_back(terms.said(run, member));
  }
  return ends;
}

} // namespace ovir::actors
