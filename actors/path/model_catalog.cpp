#include "actors/path/model_catalog.hpp"

#include <algorithm>

namespace ovir::actors {

std::uint64_t session_bytes(const compute::model_config& config, layer_range layers,
                            std::uint32_t positions) noexcept {
  const std::uint64_t kv =
      std::uint64_t{2} * sizeof(std::uint16_t) * config.kv_dim() * layers.size() * positions;
  const bool last = layers.last == config.layers;
  return kv + (last ? 0 : std::uint64_t{config.dim} * sizeof(float) * positions);
}

std::uint64_t model_bytes(const catalog_model& model) noexcept {
  std::uint64_t bytes = 0;
  for (const compute::tensor_manifest& tensor : model.manifest->tensors) {
    bytes += tensor.bytes;
  }
  return bytes;
}

void model_catalog::put(entry model) {
  const std::lock_guard lock{guard_};
  std::vector<entry>& parts = models_[model->id];
  std::erase_if(parts, [&](const entry& known) {
    return known->held.size() == 0 || model->held.size() == 0 ||
           (known->held.first < model->held.last && model->held.first < known->held.last);
  });
  parts.push_back(std::move(model));
}

void model_catalog::replace(const digest& id, std::vector<entry> parts) {
  const std::lock_guard lock{guard_};
  if (parts.empty()) {
    models_.erase(id);
  } else {
    models_[id] = std::move(parts);
  }
}

void model_catalog::remove(const digest& id) {
  const std::lock_guard lock{guard_};
  models_.erase(id);
  spares_.erase(id);
}

void model_catalog::set_spares(const digest& id, spare_layers spares) {
  const std::lock_guard lock{guard_};
  spares_[id] = std::move(spares);
}

spare_layers model_catalog::spares(const digest& id) const {
  const std::lock_guard lock{guard_};
  const auto found = spares_.find(id);
  return found == spares_.end() ? spare_layers{} : found->second;
}

std::uint64_t model_catalog::spare_bytes() const {
  const std::lock_guard lock{guard_};
  std::uint64_t bytes = 0;
  for (const auto& [id, spares] : spares_) {
    bytes += spares.bytes;
  }
  return bytes;
}

std::vector<bool> model_catalog::on_disk(const digest& id) const {
  const std::lock_guard lock{guard_};
  const auto found = models_.find(id);
  if (found == models_.end()) {
    return {};
  }
  std::vector<bool> marks(found->second.front()->weights.config.layers);
  const auto mark = [&marks](layer_range range) {
    for (std::size_t i = range.first; i < range.last && i < marks.size(); ++i) {
      marks[i] = true;
    }
  };
  for (const entry& part : found->second) {
    mark(part->held);
    if (part->whole) {
      mark({0, static_cast<layer_index>(marks.size())});
    }
  }
  if (const auto spares = spares_.find(id); spares != spares_.end()) {
    std::for_each(spares->second.ranges.begin(), spares->second.ranges.end(), mark);
  }
  return marks;
}

model_catalog::entry model_catalog::find(const digest& id) const {
  const std::lock_guard lock{guard_};
  const auto found = models_.find(id);
  return found == models_.end() ? nullptr : found->second.front();
}

model_catalog::entry model_catalog::find(const digest& id, layer_range layers) const {
  const std::lock_guard lock{guard_};
  if (const auto found = models_.find(id); found != models_.end()) {
    for (const entry& part : found->second) {
      if (part->held.first <= layers.first && layers.last <= part->held.last) {
        return part;
      }
    }
  }
  return nullptr;
}

std::vector<model_catalog::entry> model_catalog::all() const {
  const std::lock_guard lock{guard_};
  std::vector<entry> list;
  for (const auto& [id, parts] : models_) {
    list.insert(list.end(), parts.begin(), parts.end());
  }
  return list;
}

} // namespace ovir::actors
