#pragma once

#include "actors/group/group_pass.hpp"
#include "compute/parts/head_statement.hpp"
#include "compute/parts/part_record.hpp"
#include "compute/parts/part_statement.hpp"
#include "compute/parts/segment_part.hpp"
#include "messages/signing.hpp"

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace ovir::actors {

/// By what a member signs what its group computed; without a key nothing is signed. `key` outlives
/// the member.
struct part_signing {
  const secret_key* key{nullptr};
  std::shared_ptr<const compute::part_terms> terms;
  std::shared_ptr<const compute::head_terms> head;
};

[[nodiscard]] part_signing signing_by(const secret_key& key, const compute::part_group& group);

/// Brings what crosses in a pass to the records of its requests.
class pass_records {
public:
  /// `part` outlives it.
  explicit pass_records(const compute::segment_part& part) : part_(part) {}

  void begin(std::uint32_t rows) { rows_.assign(rows, {}); }
  /// Rows of the pass are this request's; `stream` [rows][dim] is what comes in. `record` outlives
  /// the pass.
  void follow(compute::part_record& record, const compute::session_rows& s,
              std::span<const float> stream);
  void crossed(const compute::crossing_place& place, compute::activation_form form,
               std::span<const std::span<const std::byte>> all);

private:
  struct row_of_record {
    compute::part_record* record{nullptr};
    std::uint32_t at{0};
  };
  const compute::segment_part& part_;
  std::vector<row_of_record> rows_; ///< of the pass
};

/// What `member` signs of runs that begin at one position.
[[nodiscard]] std::vector<digest> ends_of(const compute::part_terms& terms,
                                          std::span<const compute::part_run> runs,
                                          std::uint32_t member);

} // namespace ovir::actors
