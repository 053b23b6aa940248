#include "actors/audit/verifier_parts_actor.hpp"

#include "actors/audit/audit_intake_actor.hpp"
#include "actors/payment/payments_actor.hpp"
#include "compute/model/model.hpp"
#include "messages/limits/general.hpp"
#include "verify/capsule_replay.hpp"
#include "verify/window_replay.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <utility>
#include <vector>

namespace ovir::actors {

result<audited_model> whole_model(verifier_pointer self, const digest& id,
                                  compute::parallel_runner& runner) {
  auto& known = self->state.checked.whole;
  if (const auto found = known.find(id); found != known.end()) {
    return audited_model{found->second.first, found->second.second};
  }
  for (const model_catalog::entry& part : self->state.environment.models->all()) {
    if (part->id != id || !part->whole || part->kernels == nullptr) {
      continue;
    }
    auto weights = std::make_shared<compute::model>(part->weights);
    const std::uint32_t layers = weights->config.layers;
    const layer_range held = part->held.size() == 0 ? layer_range{layers, layers} : part->held;
    for (const layer_range rest : {layer_range{0, held.first}, layer_range{held.last, layers}}) {
      if (rest.size() > 0) {
        OVIR_TRY(compute::check_weights(*weights, rest, runner));
      }
    }
    known[id] = {part, weights};
    return audited_model{part, weights};
  }
  return fail(errc::segment_missing, "model {} is not here as a whole", to_hex(id).substr(0, 8));
}

audit_kernels named(compute::isa id) {
  switch (id) {
  case compute::isa::avx2: return audit_kernels::avx2;
  case compute::isa::avx512: return audit_kernels::avx512;
  case compute::isa::neon:
  case compute::isa::dotprod:
  case compute::isa::i8mm: return audit_kernels::neon;
  case compute::isa::reference: break;
  }
  return audit_kernels::reference;
}

const compute::kernel_set& kernels_beside(const compute::kernel_set& own,
                                          std::span<const audit_kernels> taken) {
  std::vector<const compute::kernel_set*> sets = compute::fast_kernels_here();
  sets.insert(sets.begin(), &own);
  for (const compute::kernel_set* set : sets) {
    if (std::find(taken.begin(), taken.end(), named(set->id)) == taken.end()) {
      return *set;
    }
  }
  return compute::kernels_reference();
}

compute::model unpacked(compute::model m) {
  for (compute::layer_weights& layer : m.layers) {
    compute::for_each_product(
        layer, [](std::string_view, compute::weight& w, std::uint32_t) { w.packed = nullptr; });
  }
  m.output.packed = nullptr;
  return m;
}

result<replayed> replay(verifier_pointer self, const receipt& r,
                        const compute::replay_bounds& bounds,
                        std::span<const audit_kernels> taken) {
  compute::serial_runner runner;
  OVIR_ASSIGN(const auto model, whole_model(self, r.asked.model, runner));
  const compute::kernel_set& own = *model.part->kernels;
  const compute::kernel_set& with = kernels_beside(own, taken);
  const auto compute_again = [&](const compute::model& m) {
    return compute::replay(r, m, bounds, with, runner, {}, model.part->vocabulary.get());
  };
  // What is packed is in the order that the model's own kernels read fastest.
  OVIR_ASSIGN(auto again, with.id == own.id ? compute_again(*model.weights)
                                            : compute_again(unpacked(*model.weights)));
  return replayed{std::move(again), {named(with.id), self->state.environment.software}};
}

std::vector<std::byte> inputs_of(verifier_pointer self, const receipt& r,
                                 const audit_place& place) {
  compute::serial_runner runner;
  const auto stage = std::find_if(r.stages.begin(), r.stages.end(), [&](const stage_records& s) {
    return s.signer.layers.first <= place.layer && place.layer < s.signer.layers.last;
  });
  const auto model = whole_model(self, r.asked.model, runner);
  if (!model || stage == r.stages.end()) {
    return {};
  }
  const position end = std::min(r.positions, (place.window + 1) * limits::window_positions);
  const std::size_t rows = stage->signer.layers.first == 0
                               ? 0
                               : std::size_t{end} * model->weights->config.dim * sizeof(float);
  if (rows > limits::audit_capsule_bytes_max) {
    return {};
  }
  const compute::piece_choice piece{stage->signer.layers, end};
  const auto made = compute::make_capsule(r, std::span{&piece, 1}, *model->weights,
                                          *model->part->kernels, runner);
  std::vector<std::byte> bytes;
  if (made) {
    bytes = encode_capsule(*made);
  }
  return bytes.size() <= limits::audit_capsule_bytes_max ? bytes : std::vector<std::byte>{};
}

std::vector<ledger::stated_unit> units_of_others(verifier_pointer self, const receipt& r) {
  std::vector<ledger::stated_unit> units;
  for (const compute::keyed_unit& u : compute::units_of(r)) {
    if (u.signer != self->state.environment.key->id()) {
      units.push_back({u.signer, u.unit.window, u.unit.layer, u.key, u.stated});
    }
  }
  return units;
}

operator_of operators_of(verifier_pointer self) {
  return [names = self->state.environment.operators](const node_id& node) {
    return names == nullptr ? to_hex(node) : names->of(node);
  };
}

std::vector<node_id> others_of(verifier_pointer self, std::vector<node_id> there,
                               std::span<const node_id> not_of) {
  const operator_of operators = operators_of(self);
  std::set<std::string> out{operators(self->state.environment.key->id())};
  for (const node_id& node : not_of) {
    out.insert(operators(node));
  }
  std::erase_if(there, [&](const node_id& host) { return out.contains(operators(host)); });
  return there;
}

void note_for_ledger(verifier_pointer self, const conviction& c) {
  verifier_state& state = self->state;
  const auto& around = state.environment;
  if (c.admission || c.kind == conviction_kind::parts) {
    return; // who admits a fault loses no stake; a member had no share of the request's pay
  }
  const bool own = std::any_of(c.verdicts.begin(), c.verdicts.end(), [&](const audit_verdict& v) {
    return v.verifier == around.key->id();
  });
  if (around.payments && around.audits && (own || c.kind == conviction_kind::equivocation)) {
    state.for_ledger.push_back(std::make_shared<const conviction>(c));
  }
}

void tell_ledger(verifier_pointer self) {
  verifier_state& state = self->state;
  if (state.for_ledger.empty()) {
    return;
  }
  if (const caf::actor payments = state.environment.payments()) {
    for (auto& c : std::exchange(state.for_ledger, {})) {
      self->send(payments, conviction_found{std::move(c)});
    }
  }
}

void note_counts(const verifier_state& state) {
  if (state.environment.meter != nullptr) {
    state.environment.meter->audits({state.count.receipts, state.count.drawn,
                                     state.count.mismatches,
                                     state.waiting.size() + state.under_way.count,
                                     state.convicted.size(), state.count.unaudited});
  }
}

} // namespace ovir::actors
