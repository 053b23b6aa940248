#include "learning/rounds/task.hpp"

#include "messages/wire/fields.hpp"

#include <algorithm>
#include <functional>

namespace ovir::learning {

namespace {

result<void> check_cohort(const round_task& t) {
  const std::size_t members = t.members.size();
  if (members < 2 || members > limits::round_members_max) {
    return fail(errc::invalid_argument, "a round has 2 to {} members, and {} are named",
                limits::round_members_max, members);
  }
  if (std::adjacent_find(t.members.begin(), t.members.end(), std::greater_equal<>{}) !=
      t.members.end()) {
    return fail(errc::invalid_argument, "the members of the round are not sorted, each once");
  }
  // In 64 bits: both numbers come from a peer.
  if (std::uint64_t{t.drop_outs} + t.colluders + 2 > members) {
    return fail(errc::invalid_argument,
                "of {} members {} may vanish and {} collude; two honest ones must remain", members,
                t.drop_outs, t.colluders);
  }
  return {};
}

result<void> check_numbers(const round_task& t) {
  if (t.numbers == 0 || t.numbers > limits::round_numbers_max) {
    return fail(errc::invalid_argument, "an update has 1 to {} numbers, and the task says {}",
                limits::round_numbers_max, t.numbers);
  }
  if (t.quantum_bits > limits::round_quantum_bits_max) {
    return fail(errc::invalid_argument, "a unit of 2^-{} is below 2^-{}", t.quantum_bits,
                limits::round_quantum_bits_max);
  }
  if (t.clip_units == 0 || t.clip_units > limits::round_clip_units_max) {
    return fail(errc::invalid_argument,
                "the norm at which updates are clipped is 1 to {} units; "
                "the task says {}",
                limits::round_clip_units_max, t.clip_units);
  }
  if (t.delta_bits == 0 || t.delta_bits > limits::round_delta_bits_max) {
    return fail(errc::invalid_argument, "delta is 2^-1 to 2^-{}; the task says 2^-{}",
                limits::round_delta_bits_max, t.delta_bits);
  }
  return {};
}

result<void> check_masked(const round_task& t) {
  const std::uint32_t least =
      least_threshold(static_cast<std::uint32_t>(t.members.size()), t.colluders);
  if (t.threshold < least || t.threshold > t.survivors_min()) {
    return fail(errc::invalid_argument,
                "a threshold of {} shares; with {} members, {} that may vanish and {} colluders it "
                "is {} at least and {} at most: allow fewer to vanish or collude",
                t.threshold, t.members.size(), t.drop_outs, t.colluders, least, t.survivors_min());
  }
  if (t.noise_variance == 0 || t.noise_variance > limits::round_variance_max) {
    return fail(errc::invalid_argument,
                "the noise of a worker has a variance of 1 to {} squared "
                "units; the task says {}",
                limits::round_variance_max, t.noise_variance);
  }
  return {};
}

} // namespace

result<round_mode> mode_from(std::string_view text) {
  if (text == "private") {
    return round_mode::masked;
  }
  if (text == "open") {
    return round_mode::open;
  }
  return fail(errc::invalid_argument, "a round is private or open, not \"{}\"", text);
}

std::string_view to_string(round_mode mode) noexcept {
  return mode == round_mode::masked ? "private" : "open";
}

std::optional<std::uint32_t> round_task::place_of(const node_id& worker) const {
  const auto at = std::lower_bound(members.begin(), members.end(), worker);
  if (at == members.end() || *at != worker) {
    return std::nullopt;
  }
  return static_cast<std::uint32_t>(at - members.begin());
}

std::uint32_t least_threshold(std::uint32_t members, std::uint32_t colluders) {
  return (members + colluders) / 2 + 1;
}

result<void> check_task(const round_task& task) {
  OVIR_TRY(check_cohort(task));
  OVIR_TRY(check_numbers(task));
  if (task.mode == round_mode::masked) {
    return check_masked(task);
  }
  if (task.mode != round_mode::open) {
    return fail(errc::unsupported, "the round has a mode that this program does not know");
  }
  if (task.threshold != 0 || task.noise_variance != 0) {
    return fail(errc::invalid_argument, "an open round has neither threshold nor noise");
  }
  return {};
}

digest name_of(const round_task& task) {
  std::vector<std::byte> out;
  byte_writer w{out};
  field_writer{w}(task);
  return hash("ovir/rounds-1/task", out);
}

} // namespace ovir::learning
