#include "tests/devices/device_path.hpp"

#include "compute/devices/device_segment.hpp"
#include "compute/forward/kv_digest.hpp"
#include "messages/limits/general.hpp"
#include "tests/devices/device_under_test.hpp"

#include <algorithm>
#include <stdexcept>

namespace ovir::test {

using compute::segment;

namespace {

/// The shared device without ownership: it lives as long as the process.
std::shared_ptr<compute::device> borrowed_device() {
  return {std::shared_ptr<void>{}, &test_device()};
}

template <class T>
T made_or_throw(result<T> made) {
  if (!made) {
    throw std::runtime_error{made.error().message};
  }
  return std::move(*made);
}

const compute::kernel_set& host_kernels() {
  static const compute::kernel_set* const chosen = made_or_throw(compute::select_kernels({}));
  return *chosen;
}

} // namespace

device_path::device_path(const compute::model& m, const std::vector<layer_index>& cuts,
                         const std::string& on_device) {
  compute::model checked = m;
  compute::serial_runner runner;
  const layer_index layers = m.config.layers;
  if (const auto ok = check_weights(checked, {0, layers}, runner); !ok) {
    throw std::runtime_error{ok.error().message};
  }
  for (std::size_t i = 0; i < on_device.size(); ++i) {
    const layer_range range{i == 0 ? 0 : cuts[i - 1], i + 1 == on_device.size() ? layers : cuts[i]};
    stages_.push_back(made_or_throw(
        on_device[i] == 'd'
            ? compute::make_device_segment(borrowed_device(), checked, range, host_kernels())
            : segment::make_checked(checked, range, host_kernels())));
  }
}

device_path::request device_path::open(std::uint32_t positions) const {
  request r;
  for (const auto& stage : stages_) {
    r.states.push_back(made_or_throw(stage->open(positions, std::size_t{1} << 30U)));
  }
  return r;
}

std::vector<device_path::outcome> device_path::step(const std::vector<part>& parts) {
  compute::serial_runner runner;
  std::vector<outcome> all(parts.size());
  std::vector<compute::step_output> outputs(parts.size());
  std::vector<std::vector<float>> boundaries(parts.size());
  for (std::size_t s = 0; s < stages_.size(); ++s) {
    std::vector<compute::session_step> steps;
    std::vector<std::size_t> which;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if (!all[i].failed.empty()) {
        continue;
      }
      compute::step_input in{.first = parts[i].of->length,
                             .count = static_cast<std::uint32_t>(parts[i].tokens.size()),
                             .drafts = parts[i].drafts};
      if (s == 0) {
        in.tokens = parts[i].tokens;
      } else {
        in.boundary = boundaries[i];
      }
      in.logit_rows = stages_[s]->is_last() ? parts[i].logit_rows : 0;
      steps.push_back({&parts[i].of->states[s], in, &outputs[i]});
      which.push_back(i);
    }
    stages_[s]->forward(steps, runner);
    for (std::size_t j = 0; j < steps.size(); ++j) {
      outcome& out = all[which[j]];
      if (!steps[j].done) {
        out.failed = steps[j].done.error().message;
        continue;
      }
      const compute::step_output& got = outputs[which[j]];
      out.leaves.insert(out.leaves.end(), got.leaves.begin(), got.leaves.end());
      out.logits = got.logits;
      boundaries[which[j]] = got.boundary;
    }
  }
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (all[i].failed.empty()) {
      parts[i].of->length += static_cast<std::uint32_t>(parts[i].tokens.size()) - parts[i].drafts;
    }
  }
  return all;
}

std::vector<compute::unit_leaf> device_path::open_leaves(const request& r) {
  std::vector<compute::unit_leaf> all;
  for (const compute::segment_state& state : r.states) {
    const auto open = state.units.open_leaves();
    all.insert(all.end(), open.begin(), open.end());
  }
  return all;
}

std::vector<std::byte> device_path::kv_of(const request& r) const {
  std::vector<std::byte> all;
  for (std::size_t s = 0; s < stages_.size(); ++s) {
    for (layer_index l = stages_[s]->layers().first; l < stages_[s]->layers().last; ++l) {
      for (position p = 0; p < r.length; p += limits::window_positions) {
        const auto bytes = compute::kv_bytes(r.states[s].kv, l, p / limits::window_positions,
                                             std::min(limits::window_positions, r.length - p));
        all.insert(all.end(), bytes.begin(), bytes.end());
      }
    }
  }
  return all;
}

std::vector<token_id> device_tokens(std::size_t n, std::uint32_t vocabulary, std::uint32_t seed) {
  std::vector<token_id> tokens;
  for (std::size_t i = 0; i < n; ++i) {
    tokens.push_back(static_cast<token_id>((i * 7919 + seed) % vocabulary));
  }
  return tokens;
}

} // namespace ovir::test
