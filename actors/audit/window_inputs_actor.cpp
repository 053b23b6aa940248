#include "actors/audit/window_inputs_actor.hpp"

#include "actors/reuse/block_exchange_actor.hpp"
#include "actors/reuse/cache_protocol_actor.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <tuple>
#include <utility>

namespace ovir::actors {

namespace {

using wanted_windows = std::map<digest, compute::window_input>;

/// What all of these windows were computed from.
wanted_windows wanted_of(const receipt& r, const compute::model_config& config,
                         const windows_of_stage& which) {
  wanted_windows wanted;
  for (const std::uint32_t window : which.windows) {
    for (const compute::window_input& one : compute::inputs_of(r, config, {which.stage, window})) {
      wanted.emplace(one.name, one);
    }
  }
  return wanted;
}

/// A fetch under way.
struct window_fetch {
  wanted_windows wanted; ///< and still missing
  std::vector<node_id> sources;
  std::function<void(known_inputs)> then;
  std::size_t bytes{0}; ///< wanted in all
  known_inputs known{};
};

/// What is what it was asked for as; others may ask for it here.
void take_fetched(verifier_pointer self, window_fetch& f, const inputs_fetched& came, bool hold) {
  hold_inputs held;
  std::size_t i = 0;
  for (auto one = f.wanted.begin(); one != f.wanted.end() && i < came.bytes.size(); ++i) {
    const auto& bytes = came.bytes[i];
    if (bytes == nullptr || !one->second.is(*bytes)) {
      ++one;
      continue;
    }
    f.known.by_name.emplace(one->first, bytes);
    held.inputs.emplace_back(one->first, bytes);
    one = f.wanted.erase(one);
  }
  const auto& around = self->state.environment;
  if (const caf::actor cache = hold && around.cache ? around.cache() : caf::actor{}) {
    caf::anon_send(cache, std::move(held));
  }
}

void fetch_more(verifier_pointer self, const std::shared_ptr<window_fetch>& f) {
  const auto& around = self->state.environment;
  const caf::actor exchange = around.exchange ? around.exchange() : caf::actor{};
  if (f->wanted.empty() || f->sources.empty() || !exchange) {
    f->known.reached = f->known.reached && exchange;
    self->state.under_way.bytes -= f->bytes;
    return f->then(std::move(f->known));
  }
  fetch_inputs order{f->sources.front(), {}};
  f->sources.erase(f->sources.begin());
  for (const auto& [name, one] : f->wanted) {
    order.inputs.push_back({name, one.bytes});
  }
  const bool others = order.source != around.key->id();
  self->request(exchange, limits::audit_fetch_wait, std::move(order))
      .then(
          [self, f, others](const inputs_fetched& came) {
            take_fetched(self, *f, came, others);
            f->known.reached = f->known.reached && came.reached;
            fetch_more(self, f);
          },
          [self, f](const caf::error&) {
            f->known.reached = false;
            fetch_more(self, f);
          });
}

} // namespace

result<audited_model> model_with(verifier_pointer self, const digest& id, layer_range layers) {
  const model_catalog& models = *self->state.environment.models;
  if (const auto part = models.find(id, layers); part && part->kernels != nullptr) {
    return audited_model{part, {part, &part->weights}};
  }
  compute::serial_runner runner;
  if (auto whole = whole_model(self, id, runner)) {
    return whole;
  }
  const std::tuple which{id, layers.first, layers.last};
  auto& checked = self->state.checked.layers;
  if (const auto known = checked.find(which); known != checked.end()) {
    return audited_model{known->second.first, known->second.second};
  }
  const std::vector<bool> here = models.on_disk(id);
  const auto part = models.find(id);
  if (!part || part->kernels == nullptr || layers.last > here.size() ||
      !std::all_of(here.begin() + layers.first, here.begin() + layers.last,
                   [](bool one) { return one; })) {
    return fail(errc::segment_missing, "layers {}-{} of model {} are not here", layers.first,
                layers.last - 1, to_hex(id).substr(0, 8));
  }
  auto weights = std::make_shared<compute::model>(part->weights);
  OVIR_TRY(compute::check_weights(*weights, layers, runner));
  if (checked.size() >= limits::audited_ranges_max) {
    checked.clear();
  }
  checked[which] = {part, weights};
  return audited_model{part, weights};
}

void fetch_windows(verifier_pointer self, const std::shared_ptr<const receipt>& r,
                   const windows_of_stage& which, std::vector<node_id> sources,
                   std::function<void(known_inputs)> then) {
  const auto model = model_with(self, r->asked.model, r->stages[which.stage].signer.layers);
  if (!model) {
    return then({});
  }
  const auto f = std::make_shared<window_fetch>();
  f->wanted = wanted_of(*r, model->weights->config, which);
  f->sources = std::move(sources);
  f->then = std::move(then);
  for (const auto& [name, one] : f->wanted) {
    f->bytes += one.bytes;
  }
  std::size_t& under_way = self->state.under_way.bytes;
  if (f->bytes > limits::audit_fetch_bytes_max ||
      under_way + f->bytes > limits::audits_fetch_bytes_max) {
    f->known.reached = false;
    return f->then(std::move(f->known));
  }
  under_way += f->bytes;
  fetch_more(self, f);
}

namespace {

/// What a window is computed again from, and with.
struct window_again {
  audited_model model;
  std::vector<compute::input_bytes> given;
};

result<window_again> window_with(verifier_pointer self, const receipt& r,
                                 const compute::stage_window& at, const known_inputs& inputs) {
  OVIR_ASSIGN(audited_model model,
              model_with(self, r.asked.model, r.stages[at.stage].signer.layers));
  window_again again{std::move(model), {}};
  for (const compute::window_input& one : compute::inputs_of(r, again.model.weights->config, at)) {
    const auto known = inputs.by_name.find(one.name);
    if (known == inputs.by_name.end()) {
      return fail(errc::not_found, "what window {} was computed from is not to be had", at.window);
    }
    again.given.push_back(known->second);
  }
  return again;
}

} // namespace

result<void> examine_window(verifier_pointer self, const receipt& r,
                            const compute::stage_window& at, const known_inputs& inputs,
                            const std::function<void(compute::parts_examiner&)>& look) {
  OVIR_ASSIGN(const window_again window, window_with(self, r, at, inputs));
  compute::serial_runner runner;
  compute::parts_examiner examiner{
      r, at, *window.model.weights, window.given, *window.model.part->kernels, runner};
  look(examiner);
  return {};
}

result<replayed> replay_window(verifier_pointer self, const receipt& r,
                               const compute::stage_window& at, const known_inputs& inputs,
                               std::span<const audit_kernels> taken) {
  OVIR_ASSIGN(const window_again window, window_with(self, r, at, inputs));
  const audited_model& model = window.model;
  const compute::kernel_set& own = *model.part->kernels;
  const compute::kernel_set& with = kernels_beside(own, taken);
  compute::serial_runner runner;
  const auto compute_again = [&](const compute::model& m) {
    return compute::replay_window(r, at, m, window.given, with, runner,
                                  model.part->vocabulary.get());
  };
  // What is packed is in the order that the model's own kernels read fastest.
  OVIR_ASSIGN(auto again, with.id == own.id ? compute_again(*model.weights)
                                            : compute_again(unpacked(*model.weights)));
  return replayed{std::move(again), {named(with.id), self->state.environment.software}};
}

namespace {

result<compute::examined_parts> examine_shown(compute::parts_examiner& examiner,
                                              const conviction& c) {
  if (compute::is_head(c.receipts.back())) {
    OVIR_ASSIGN(const compute::head_statement s, compute::decode_head(c.receipts.back()));
    return examiner.examine(s, c.place.at);
  }
  OVIR_ASSIGN(const compute::part_statement s, compute::decode_statement(c.receipts.back()));
  return examiner.examine(s);
}

/// Whether the unit is wrong where a conviction says, and by parts that the guilty one is its
/// author.
result<bool> holds_by_inputs(verifier_pointer self, const conviction& c, const receipt& r,
                             const compute::stage_window& at, const known_inputs& inputs) {
  OVIR_ASSIGN(const replayed again, replay_window(self, r, at, inputs));
  const auto fault = compute::window_fault(r, at, again.again);
  if (!fault || fault->place != c.place || fault->computed != c.computed) {
    return false;
  }
  if (c.kind != conviction_kind::parts) {
    return true;
  }
  result<compute::examined_parts> found{compute::examined_parts{}};
  OVIR_TRY(examine_window(self, r, at, inputs, [&](compute::parts_examiner& examiner) {
    found = examine_shown(examiner, c);
  }));
  OVIR_TRY(found);
  return found->author && found->author->node == c.guilty;
}

} // namespace

void examine_by_inputs(verifier_pointer self, const conviction& c,
                       std::function<void(result<bool>)> then) {
  auto decoded = decode_receipt(c.receipts.front());
  const auto at = decoded ? compute::window_of(*decoded, c.place) : std::nullopt;
  if (!at) {
    return then(fail(errc::invalid_argument, "the place in question is not in the receipt"));
  }
  const auto r = std::make_shared<const receipt>(std::move(*decoded));
  std::vector<node_id> sources;
  for (const audit_verdict& v : c.verdicts) {
    sources.push_back(v.verifier);
  }
  sources.push_back(r->stages[at->stage].signer.node);
  sources.resize(std::min(sources.size(), limits::audit_sources_max));
  fetch_windows(self, r, {at->stage, {at->window}}, std::move(sources),
                [self, r, at = *at, c, then = std::move(then)](const known_inputs& inputs) {
                  then(holds_by_inputs(self, c, *r, at, inputs));
                });
}

} // namespace ovir::actors
