#include "actors/reuse/kept_inputs.hpp"

#include "compute/forward/kv_digest.hpp"
#include "messages/check.hpp"

#include <memory>
#include <span>
#include <utility>

namespace ovir::actors {

using storage::content_kind;

kept_inputs::bytes_pointer kept_inputs::find(const digest& name) {
  if (bytes_pointer bytes = memory_.find(name)) {
    return bytes;
  }
  const auto waiting = unwritten_.find(name);
  return waiting == unwritten_.end() ? nullptr : waiting->second;
}

bool kept_inputs::holds(const digest& name) const {
  return memory_.contains(name) || unwritten_.contains(name);
}

void kept_inputs::put(content_kind kind, const digest& name, std::vector<std::byte> bytes,
                      bool disk) {
  if (bytes.empty()) {
    return;
  }
  const auto shared = std::make_shared<const std::vector<std::byte>>(std::move(bytes));
  const bool full = queue_bytes_ + shared->size() > limits::audit_inputs_queue_bytes_max;
  if (!disk || full) {
    memory_.add(name, shared);
    ++(disk ? not_kept_ : kept_);
    return;
  }
  queue_bytes_ += shared->size();
  unwritten_.insert_or_assign(name, shared);
  queue_.push_back({kind, {}, name, name, shared});
}

void kept_inputs::keep(const keep_inputs& what, bool disk, const on_disk& here) {
  for (const window_kept& window : what.windows) {
    OVIR_CHECK(window.kv.empty() || (what.kv && window.kv.size() == what.layers.size()),
               window.window);
    if (!window.rows.empty() && !holds(window.input) && !here(window.input)) {
      const auto rows = std::as_bytes(std::span{window.rows});
      put(content_kind::boundaries, window.input, {rows.begin(), rows.end()}, disk);
    }
    for (std::size_t i = 0; i < window.kv.size(); ++i) {
      const digest& name = window.kv[i];
      if (!holds(name) && !here(name)) {
        const auto layer = static_cast<layer_index>(what.layers.first + i);
        put(content_kind::inputs, name,
            compute::kv_bytes(*what.kv, layer, window.window, window.positions), disk);
      }
    }
  }
}

void kept_inputs::hold(const hold_inputs& what) {
  for (const auto& [name, bytes] : what.inputs) {
    if (bytes && !holds(name)) {
      memory_.add(name, bytes);
      ++kept_;
    }
  }
}

void kept_inputs::take_batch(std::vector<cache_write>& writes) {
  std::size_t bytes = 0;
  for (std::size_t i = 0; !queue_.empty() && i < limits::audit_inputs_batch_max &&
                          bytes < limits::audit_inputs_batch_bytes_max;
       ++i) {
    bytes += queue_.front().bytes->size();
    writes.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  queue_bytes_ -= bytes;
}

void kept_inputs::take(const cache_committed& done) {
  for (const digest& place : done.places) {
    unwritten_.erase(place);
  }
  kept_ += done.inputs_kept;
  not_kept_ += done.inputs_not_kept;
}

void kept_inputs::lose_disk() {
  queue_.clear();
  queue_bytes_ = 0;
  unwritten_.clear();
}

} // namespace ovir::actors
