#include "compute/parts/part_record.hpp"

#include "messages/check.hpp"
#include "messages/limits/draft.hpp"

#include <algorithm>
#include <limits>
#include <utility>

// Grammar, also on docs/formats/parts.md:
//
//   K and V = H("ovir/part/v1/kv"; K and V of the positions before, (row of K and V)[layers])
namespace ovir::compute {

namespace {

constexpr std::uint32_t nowhere = std::numeric_limits<std::uint32_t>::max();
/// Rows of a pass that may have guesses.
constexpr std::uint32_t small_pass = limits::draft_tokens_max + 1;
/// Positions back from the last that a pass may begin at: all that were guesses, and one.
constexpr std::size_t kept_max = limits::draft_tokens_max + 2;

bool begins_window(position at) { return at % limits::window_positions == 0; }

} // namespace

part_record::part_record(std::uint32_t layers, std::uint32_t members)
    : layers_(layers), members_(members), kv_(members) {}

std::size_t part_record::bytes_of(std::uint32_t layers, std::uint32_t members) noexcept {
  return (kept_max + 1) * layers * part_lanes * members * digest::size;
}

part_run part_record::fresh(position first) const {
  part_run run;
  run.first = first;
  run.before.resize(members_);
  run.leaves.resize(std::size_t{layers_} * part_lanes * members_);
  return run;
}

digest part_record::kv_before(std::uint32_t member, position at) const {
  return at == 0 || kv_[member].size() < at ? digest{} : kv_[member][at - 1];
}

// One position's K and V, behind those that are known.
void part_record::extend_kv(std::uint32_t member, std::uint32_t t,
                            std::span<const std::uint16_t> row, bool of_pass) {
  const std::size_t width = row.size() / layers_;
  hasher chain{"ovir/part/v1/kv"};
  chain.update(kv_[member].empty() ? digest{} : kv_[member].back());
  for (std::uint32_t l = 0; l < layers_; ++l) {
    const digest one = row_digest(std::as_bytes(row.subspan(l * width, width)));
    chain.update(one);
    if (of_pass) {
      add(t, l, part_lane::kv, member, one);
    }
  }
  kv_[member].push_back(chain.finish());
}

void part_record::add_history(std::uint32_t member, position first, std::uint32_t count,
                              std::span<const std::uint16_t> rows) {
  OVIR_CHECK(kv_[member].size() >= first, kv_[member].size(), first);
  kv_[member].resize(first);
  const std::size_t width = rows.size() / count;
  for (std::uint32_t t = 0; t < count; ++t) {
    extend_kv(member, t, rows.subspan(t * width, width), false);
  }
}

void part_record::begin(position first, std::uint32_t count, std::uint32_t together,
                        std::span<const float> input) {
  first_ = first;
  count_ = count;
  while (!kept_.empty() && kept_.back().end() > first) {
    kept_.pop_back();
  }
  for (auto& known : kv_) {
    known.resize(std::min<std::size_t>(known.size(), first));
  }
  const bool goes_on = !kept_.empty() && kept_.back().end() == first && !begins_window(first);
  part_run run = goes_on ? kept_.back() : fresh(first);
  running_ = run.leaves;
  pending_.clear();
  place_.assign(count, nowhere);
  const std::size_t dim = input.size() / count;
  for (std::uint32_t t = 0; t < count; ++t) {
    if (t > 0 && begins_window(first + t)) {
      run = fresh(first + t);
    }
    run.together.push_back(static_cast<std::uint16_t>(together));
    run.input = chained(run.input, row_digest(std::as_bytes(input.subspan(t * dim, dim))));
    if (count <= small_pass || begins_window(first + t + 1) || t + 1 == count) {
      place_[t] = static_cast<std::uint32_t>(pending_.size());
      pending_.push_back(run);
    }
  }
}

void part_record::add(std::uint32_t t, std::uint32_t layer, part_lane lane, std::uint32_t member,
                      const digest& row) {
  const std::size_t at = leaf_at(layer, lane, member, members_);
  digest& leaf = running_[at];
  if (t > 0 && begins_window(first_ + t)) {
    leaf = {};
  }
  leaf = chained(leaf, row);
  if (place_[t] != nowhere) {
    pending_[place_[t]].leaves[at] = leaf;
  }
}

void part_record::add_kv(std::uint32_t member, std::span<const std::uint16_t> rows) {
  const std::size_t width = rows.size() / count_;
  for (std::uint32_t t = 0; t < count_; ++t) {
    extend_kv(member, t, rows.subspan(t * width, width), true);
  }
}

std::vector<std::vector<part_run>> part_record::end() {
  std::vector<std::vector<part_run>> runs;
  for (part_run& run : pending_) {
    for (std::uint32_t i = 0; i < members_; ++i) {
      run.before[i] = kv_before(i, run.first);
    }
    if (runs.empty() || runs.back().back().first != run.first) {
      runs.emplace_back();
    }
    runs.back().push_back(run);
    kept_.push_back(std::move(run));
    if (kept_.size() > kept_max) {
      kept_.pop_front();
    }
  }
  pending_.clear();
  return runs;
}

} // namespace ovir::compute
