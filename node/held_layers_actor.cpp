#include "node/held_layers_actor.hpp"

#include "actors/path/planner.hpp"
#include "actors/path/speed_measurement.hpp"
#include "actors/placement/placement_state.hpp"
#include "compute/gguf/piece_list.hpp"
#include "messages/limits/general.hpp"
#include "node/held_list.hpp"

#include <algorithm>
#include <map>
#include <span>

namespace ovir::supervision {

namespace {

using entry = held_layers::entry;

std::vector<entry> parts_of(const actors::model_catalog& models, const digest& model) {
  std::vector<entry> parts;
  for (const entry& part : models.all()) {
    if (part->id == model && part->held.size() > 0) {
      parts.push_back(part);
    }
  }
  return parts;
}

std::shared_ptr<const compute::model_manifest> fetched_of(const actors::catalog_model& model) {
  return model.whole ? nullptr : model.manifest;
}

/// What a range keeps without another: none, one or two ranges.
std::vector<layer_range> remainder(layer_range range, layer_range without) {
  std::vector<layer_range> left;
  if (range.first < std::min(range.last, without.first)) {
    left.push_back({range.first, std::min(range.last, without.first)});
  }
  if (std::max(range.first, without.last) < range.last) {
    left.push_back({std::max(range.first, without.last), range.last});
  }
  return left;
}

/// Of the pieces of these layers.
std::uint64_t piece_bytes(const actors::catalog_model& model,
                          const std::vector<layer_range>& ranges) {
  const auto pieces = compute::piece_list::of(model.manifest);
  std::uint64_t bytes = 0;
  for (const layer_range& range : ranges) {
    const auto wanted = pieces ? pieces->of_segment(range) : pieces.error();
    bytes += wanted ? pieces->bytes_of(*wanted) : 0;
  }
  return bytes;
}

} // namespace

void say_layers(actors::node_advert& advert, const actors::model_catalog& models,
                std::uint64_t spare_bytes) {
  advert.held.clear();
  advert.spares.clear();
  std::map<digest, actors::layer_marks> spares;
  for (const entry& part : models.all()) {
    auto& marks = spares.try_emplace(part->id, models.on_disk(part->id)).first->second;
    if (part->held.size() > 0) {
      advert.held.push_back({part->id, part->held, part->weights.config.layers});
      std::fill(marks.begin() + part->held.first, marks.begin() + part->held.last, false);
    }
  }
  for (const auto& [model, marks] : spares) {
    for (const layer_range& range : actors::ranges_of(marks)) {
      if (advert.spares.size() < limits::advert_segments_max) {
        advert.spares.push_back({model, range, static_cast<std::uint32_t>(marks.size())});
      }
    }
  }
  advert.spare_free = spare_bytes - std::min(spare_bytes, models.spare_bytes());
}

void measure_into(actors::node_advert& advert, const actors::catalog_model& model,
                  compute::parallel_runner& runner, storage::env& env) {
  const auto segment = compute::segment::make_checked(model.weights, model.held, *model.kernels);
  if (!segment) {
    return;
  }
  const auto seconds = [&env] {
    return std::chrono::duration<double>(env.now().time_since_epoch()).count();
  };
  if (const auto speeds = actors::measure_speeds(**segment, runner, seconds)) {
    advert.decode_bytes_per_second =
        static_cast<std::uint64_t>(speeds->decode_bytes_per_second.value_or(0));
    advert.prefill_bytes_per_second =
        static_cast<std::uint64_t>(speeds->prefill_bytes_per_second.value_or(0));
  }
}

/// Without it the node is told again what to hold, and perhaps other layers than those on its disk.
void held_layers::remember() const {
  if (around_.list.empty()) {
    return;
  }
  held_list held;
  for (const entry& part : around_.models->all()) {
    held_part& here = held[part->id];
    here.spares = around_.models->spares(part->id).ranges;
    if (part->held.size() > 0) {
      here.held.push_back(part->held);
    }
  }
  const std::string text = to_text(held);
  const auto kept = [&]() -> result<void> {
    OVIR_ASSIGN(const auto file, around_.env->stage(around_.list));
    OVIR_TRY(file->append(std::as_bytes(std::span{text})));
    return file->commit();
  }();
  if (!kept) {
    around_.journal->say(actors::log_level::warn, std::nullopt,
                         "cannot keep the list of the layers held here: {}", kept.error().message);
  }
}

void held_layers::tell(const std::function<void(actors::node_advert&)>& also) const {
  actors::node_advert layers;
  say_layers(layers, *around_.models, around_.spare_bytes);
  remember();
  around_.advertise([layers = std::move(layers), also](actors::node_advert& advert) {
    advert.held = layers.held;
    advert.spares = layers.spares;
    advert.spare_free = layers.spare_free;
    if (also) {
      also(advert);
    }
  });
}

result<entry> held_layers::load_now(const std::string& path, std::optional<layer_range> layers,
                                    const std::shared_ptr<const compute::model_manifest>& fetched,
                                    compute::parallel_runner& runner) {
  OVIR_ASSIGN(const entry model, around_.load(path, layers, fetched, runner));
  std::function<void(actors::node_advert&)> speeds;
  if (model->held.size() > 0 && !measured_.exchange(true)) {
    actors::node_advert measured;
    measure_into(measured, *model, runner, *around_.env);
    speeds = [measured](actors::node_advert& advert) {
      if (advert.decode_bytes_per_second == 0) {
        advert.decode_bytes_per_second = measured.decode_bytes_per_second;
        advert.prefill_bytes_per_second = measured.prefill_bytes_per_second;
      }
    };
  }
  around_.models->put(model);
  tell(speeds);
  return model;
}

void held_layers::load(const std::string& path, std::optional<layer_range> layers,
                       const std::shared_ptr<const compute::model_manifest>& fetched, loaded done) {
  around_.pool->post(
      [this, path, layers, fetched, done = std::move(done)](compute::parallel_runner& runner) {
        done(load_now(path, layers, fetched, runner));
      });
}

layer_range held_layers::joined(const digest& model, const std::string& path,
                                layer_range layers) const {
  std::vector<entry> parts = parts_of(*around_.models, model);
  std::sort(parts.begin(), parts.end(),
            [](const entry& a, const entry& b) { return a->held.first < b->held.first; });
  // Upwards, then downwards: each part beside the range makes it longer once.
  for (const entry& part : parts) {
    if (part->path == path && part->held.first <= layers.last && part->held.last > layers.last) {
      layers.last = part->held.last;
    }
  }
  for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
    if ((*part)->path == path && (*part)->held.last >= layers.first &&
        (*part)->held.first < layers.first) {
      layers.first = (*part)->held.first;
    }
  }
  return layers;
}

void held_layers::add(const actors::fetched_segment& fetched, loaded done) {
  around_.pool->post([this, fetched, done = std::move(done)](compute::parallel_runner& runner) {
    // A part without layers would take the place of those that hold some.
    if (const auto known = around_.models->find(fetched.model);
        known && fetched.layers.size() == 0) {
      return done(known);
    }
    done(load_now(fetched.path, joined(fetched.model, fetched.path, fetched.layers),
                  fetched.manifest, runner));
  });
}

/// A whole file has all layers anyway.
void held_layers::add_spares(const entry& model, layer_range layers) const {
  if (model->whole) {
    return;
  }
  actors::layer_marks marks(model->weights.config.layers);
  actors::spare_layers spares = around_.models->spares(model->id);
  spares.ranges.push_back(layers);
  for (const layer_range& range : spares.ranges) {
    std::fill(marks.begin() + std::min<std::size_t>(range.first, marks.size()),
              marks.begin() + std::min<std::size_t>(range.last, marks.size()), true);
  }
  spares.ranges = actors::ranges_of(marks);
  spares.bytes = piece_bytes(*model, spares.ranges);
  around_.models->set_spares(model->id, std::move(spares));
}

void held_layers::keep(const actors::fetched_segment& fetched, loaded done) {
  around_.pool->post([this, fetched, done = std::move(done)](compute::parallel_runner& runner) {
    entry known = around_.models->find(fetched.model);
    if (!known) {
      auto made = load_now(fetched.path, layer_range{}, fetched.manifest, runner);
      if (!made) {
        return done(made.error());
      }
      known = std::move(*made);
    }
    add_spares(known, fetched.layers);
    tell();
    done(known);
  });
}

result<void> held_layers::check_room(const actors::catalog_model& model, layer_range layers) const {
  const actors::model_shape shape = actors::shape_of(model.weights, model.prefill_chunk);
  std::uint64_t bytes =
      actors::decode_bytes(shape, layers) + (layers.first == 0 ? shape.embedding : 0);
  for (const entry& part : around_.models->all()) {
    const bool replaced =
        part->id == model.id && part->held.first < layers.last && layers.first < part->held.last;
    bytes += replaced ? 0 : part->held_bytes;
  }
  if (bytes > around_.memory_bytes) {
    return fail(errc::over_limit,
                "layers {}-{} of {} need {} MiB with what else is held, and the node may use {}",
                layers.first, layers.last - 1, model.name, bytes >> 20U,
                around_.memory_bytes >> 20U);
  }
  return {};
}

bool held_layers::add_of_file(const digest& model, layer_range layers, loaded done) {
  const auto known = around_.models->find(model);
  if (!known || !known->whole) {
    return false;
  }
  around_.pool->post(
      [this, known, layers, done = std::move(done)](compute::parallel_runner& runner) {
        const layer_range all = joined(known->id, known->path, layers);
        if (const auto room = check_room(*known, all); !room) {
          return done(room.error());
        }
        done(load_now(known->path, all, nullptr, runner));
      });
  return true;
}

result<std::vector<entry>> held_layers::without(const digest& model, layer_range layers,
                                                compute::parallel_runner& runner) const {
  std::vector<entry> left;
  const auto known = around_.models->find(model);
  for (const entry& part : parts_of(*around_.models, model)) {
    const std::vector<layer_range> ranges = remainder(part->held, layers);
    if (ranges == std::vector{part->held}) {
      left.push_back(part);
      continue;
    }
    for (const layer_range& range : ranges) {
      OVIR_ASSIGN(entry smaller, around_.load(part->path, range, fetched_of(*part), runner));
      left.push_back(std::move(smaller));
    }
  }
  if (left.empty() && known) {
    OVIR_ASSIGN(entry nothing,
                around_.load(known->path, layer_range{}, fetched_of(*known), runner));
    left.push_back(std::move(nothing));
  }
  return left;
}

void held_layers::drop(const digest& model, layer_range layers,
                       std::function<void(result<void>)> done) {
  around_.pool->post(
      [this, model, layers, done = std::move(done)](compute::parallel_runner& runner) {
        auto left = without(model, layers, runner);
        if (!left) {
          return done(left.error());
        }
        around_.models->replace(model, std::move(*left));
        if (const entry known = around_.models->find(model)) {
          add_spares(known, layers);
        }
        tell();
        done({});
      });
}

} // namespace ovir::supervision
