#include "apps/ovir/bench/bench_sequence.hpp"

#include <algorithm>

namespace ovir::apps::bench {

namespace {

// Tokens without meaning that every run and machine shares, other ones for each sequence.
token_id prompt_token(std::uint64_t at, std::uint32_t number, std::uint32_t vocabulary) {
  return static_cast<token_id>((at * 7'919 + 3 + std::uint64_t{number} * 131) % vocabulary);
}

} // namespace

bench_sequence::bench_sequence(compute::segment_state state, std::uint32_t vocabulary,
                               std::uint32_t layers, std::uint32_t number)
    : state_(std::move(state)), vocabulary_(vocabulary), hashed_layers_(layers - 1),
      number_(number) {}

result<bench_sequence> bench_sequence::make(const compute::segment& whole, std::uint32_t number,
                                            std::uint32_t positions, std::size_t kv_bytes_max) {
  OVIR_ASSIGN(compute::segment_state state, whole.open(positions, kv_bytes_max));
  return bench_sequence{std::move(state), whole.config().vocabulary, whole.config().layers, number};
}

void bench_sequence::extend(std::uint32_t count) {
  for (std::uint32_t i = 0; i < count; ++i) {
    ids_.push_back(prompt_token(ids_.size(), number_, vocabulary_));
  }
}

void bench_sequence::draw() { ids_.push_back(greedy_.draw(out_.logits, ids_, state_.kv.length())); }

void bench_sequence::take_logits_digest() {
  const position p = state_.kv.length() - 1;
  digests_.emplace_back(p, compute::logits_digest(p, out_.logits));
}

compute::session_step bench_sequence::next_step(std::uint32_t chunk) {
  compute::step_input in;
  in.first = state_.kv.length();
  in.count = std::min(chunk, static_cast<std::uint32_t>(ids_.size()) - in.first);
  in.tokens = std::span<const token_id>{ids_}.subspan(in.first, in.count);
  in.logit_rows = in.first + in.count == ids_.size() ? 1 : 0;
  return {&state_, in, &out_};
}

void bench_sequence::take_leaves() {
  leaves_.insert(leaves_.end(), out_.leaves.begin(), out_.leaves.end());
}

bench_sequence::mark bench_sequence::here() const {
  return {state_.kv.length(), state_.units, leaves_.size(), digests_.size(), out_.logits};
}

void bench_sequence::back_to(const mark& m) {
  state_.kv.set_length(m.at);
  state_.units = m.units;
  ids_.resize(m.at);
  leaves_.resize(m.leaves);
  digests_.resize(m.digests);
  out_.logits = m.logits;
}

result<digest> bench_sequence::transcript() const {
  compute::transcript all;
  for (const compute::unit_leaf& leaf : leaves_) {
    OVIR_TRY(all.add_unit(leaf));
  }
  for (const compute::unit_leaf& leaf : state_.units.open_leaves()) {
    OVIR_TRY(all.add_unit(leaf));
  }
  for (const auto& [p, d] : digests_) {
    OVIR_TRY(all.add_logits(p, d));
  }
  return all.root(hashed_layers_, state_.kv.length(), ids_);
}

digest bench_sequence::logits() const {
  hasher all{"ovir/bench/v1/logits"};
  for (const auto& [p, d] : digests_) {
    all.update(d);
  }
  return all.finish();
}

} // namespace ovir::apps::bench
