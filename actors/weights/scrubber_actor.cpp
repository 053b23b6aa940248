#include "actors/weights/scrubber_actor.hpp"

#include "messages/caf/system_config.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <utility>

namespace ovir::actors {

namespace {

/// Nothing computes with the mapped bytes: weights were packed to other memory.
bool is_packed(const catalog_model& m) {
  return m.held.first < m.held.last && m.weights.layers[m.held.first].attn_q.packed != nullptr;
}

using scrubber_pointer = scrubber_actor::stateful_pointer<scrubber_state>;

/// The parts that are here, each opened once.
void look_at_parts(scrubber_state& state) {
  std::vector<scrub_core::part> now;
  for (const model_catalog::entry& part : state.environment.models->all()) {
    if (!part->manifest || !part->file) {
      continue;
    }
    std::vector<layer_range> spares = state.environment.models->spares(part->id).ranges;
    const auto known = std::find_if(state.parts.begin(), state.parts.end(), [&](const auto& held) {
      return held->part() == part && held->spares() == spares;
    });
    if (known != state.parts.end()) {
      now.push_back(*known);
    } else if (auto held = held_pieces::of(part, std::move(spares))) {
      now.push_back(std::make_shared<const held_pieces>(std::move(*held)));
    }
  }
  state.parts = std::move(now);
}

void submit(scrubber_pointer self, const unit_dispatcher_actor& pool) {
  scrubber_state& state = self->state;
  look_at_parts(state);
  state.under_way = state.core.next(state.parts, limits::scrub_pieces, limits::scrub_bytes);
  if (state.under_way.empty()) {
    return;
  }
  auto batch = std::make_shared<unit_batch>();
  auto inputs = std::make_shared<std::vector<scrub_core::part>>();
  for (std::size_t i = 0; i < state.under_way.size(); ++i) {
    const auto& [part, index] = state.under_way[i];
    batch->units.push_back({i, part->find(index), part->list().at(index).content});
    inputs->push_back(part);
  }
  batch->inputs = std::move(inputs);
  ++state.batch.value;
  self->send(pool,
             submit_batch{state.batch, std::move(batch), caf::actor_cast<unit_client_actor>(self)});
}

void take(scrubber_pointer self, const batch_done& done) {
  scrubber_state& state = self->state;
  if (done.batch != state.batch) {
    return;
  }
  for (const unit_failure& failure : done.failures) {
    const auto& [part, index] = state.under_way.at(failure.index);
    if (!state.core.note_damaged(part->part()->id, index)) {
      continue;
    }
    const compute::model_piece piece = part->list().at(index);
    state.environment.journal->say(
        log_level::error, std::nullopt,
        "model {}: {} is damaged on disk at its byte {}; replace the file, and check this "
        "machine's disk",
        part->part()->name,
        piece.tensor == compute::model_piece::tokenizer
            ? std::string{"the tokenizer"}
            : part->list().manifest().tensors[piece.tensor].name,
        piece.offset);
  }
  for (const scrub_core::piece& piece : state.under_way) {
    if (is_packed(*piece.of->part())) {
      piece.of->part()->file->release_pages();
    }
  }
  state.under_way.clear();
}

void begin(scrubber_pointer self) {
  scrubber_state& state = self->state;
  self->delayed_send(self, state.environment.interval, scrub_tick{});
  state.under_way.clear(); // a batch that is not back by now went with its pool
  if (const unit_dispatcher_actor pool = state.environment.pool()) {
    submit(self, pool);
  }
}

} // namespace

scrubber_actor::behavior_type scrubber_behavior(scrubber_pointer self,
                                                scrubber_environment environment) {
  make_quiet(self);
  self->state.environment = std::move(environment);
  self->send(self, scrub_tick{});
  return {
      [self](const batch_done& done) { take(self, done); },
      [self](const batch_refused&) { self->state.under_way.clear(); },
      [self](const scrub_tick&) { begin(self); },
  };
}

} // namespace ovir::actors
