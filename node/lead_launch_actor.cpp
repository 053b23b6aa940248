#include "node/lead_launch_actor.hpp"

#include "actors/payment/payments_actor.hpp"
#include "actors/request/lead_actor.hpp"
#include "messages/caf/errors.hpp"
#include "messages/limits/credit.hpp"
#include "node/cut.hpp"
#include "supervision/start_once.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <utility>

namespace ovir::supervision {

namespace {

using parts_pointer = std::shared_ptr<const node_parts>;
using known_pointer = std::shared_ptr<directory>;

constexpr std::chrono::milliseconds worker_shutdown{500};
constexpr std::chrono::milliseconds start_wait{5'000};
/// Beyond what the payments wait for themselves.
constexpr std::chrono::milliseconds reserve_answer_wait = 2 * limits::reserve_wait;

/// What all leads have.
actors::lead_environment lead_parts(const node_parts& parts, const known_pointer& known) {
  actors::lead_environment around;
  around.env = parts.env;
  around.executor = parts.draws;
  around.paths = caf::actor_cast<actors::path_provider>(known->get("paths"));
  around.journal = parts.requests;
  around.desk = parts.desk;
  around.meter = parts.meter;
  return around;
}

actors::lead_environment lead_parts(const node_parts& parts, const known_pointer& known,
                                    const actors::model_catalog::entry& model) {
  actors::lead_environment around = lead_parts(parts, known);
  const compute::model_config& config = model->weights.config;
  around.shape.stages = 1;
  around.shape.prefill_chunk = prefill_chunk_for(config, model->prefill_chunk);
  around.shape.hashed_layers = config.layers - 1;
  around.shape.context = std::min(config.context, model->context);
  around.shape.dim = config.dim;
  around.vocabulary = model->vocabulary.get();
  around.keeps = model;
  around.tells_path = true;
  around.forecasts = parts.forecasts;
  around.cache = {parts.reuse.enabled ? parts.reuse.handle : nullptr, model->id};
  if (const auto draft = parts.drafts.find(model->id); draft != parts.drafts.end()) {
    around.drafts = {draft->second, parts.executor};
  }
  return around;
}

using lead_started = std::function<void(result<caf::actor>)>;

/// Below the supervisor of leads.
void spawn_lead(const known_pointer& known, caf::event_based_actor* self,
                actors::submit_request command, actors::lead_environment around,
                const lead_started& done) {
  child_spec spec;
  spec.rules = {fmt::format("lead-{:016x}", command.request.id.value), restart_kind::temporary,
                worker_shutdown};
  spec.start = [command = std::move(command),
                around = std::move(around)](caf::actor_system& system) -> result<caf::actor> {
    return caf::actor_cast<caf::actor>(
        system.spawn(actors::lead_behavior, command.request, command.requester, around));
  };
  start_once(self, known->get("leads"), std::move(spec), start_wait, done);
}

/// `payments` is empty for a request without a payer, and `reserved` the path of one that has one.
void start_lead(const parts_pointer& parts, const known_pointer& known,
                caf::event_based_actor* self, actors::submit_request command,
                const actors::model_catalog::entry& model, const caf::actor& payments,
                layer_places reserved, const lead_started& done) {
  actors::lead_environment around = lead_parts(*parts, known, model);
  around.payments = payments;
  around.reserved = std::move(reserved);
  const request_id id = command.request.id;
  // What is signed is what is paid for.
  command.request.receipt = command.request.receipt || payments;
  spawn_lead(known, self, std::move(command), std::move(around),
             [done, payments, id](result<caf::actor> lead) {
               if (payments && lead) {
                 caf::anon_send(payments, actors::paid_lead{id, *lead});
               } else if (payments) {
                 caf::anon_send(payments, actors::work_over{id});
               }
               done(std::move(lead));
             });
}

/// Over the stages of this process.
actors::lead_environment local_lead_parts(const node_parts& parts, const known_pointer& known) {
  const auto& benches = parts.local.benches;
  const compute::model_config& config = benches.front()->segment->config();
  actors::lead_environment around = lead_parts(parts, known);
  around.shape.stages = static_cast<std::uint32_t>(benches.size());
  around.shape.prefill_chunk = prefill_chunk_for(config, parts.local.prefill_chunk);
  around.shape.hashed_layers = config.layers - 1;
  around.shape.context = config.context;
  around.shape.dim = config.dim;
  around.vocabulary = parts.local.vocabulary;
  around.cache = {parts.reuse.handle, parts.local.model};
  around.drafts = {parts.local.draft, parts.executor};
  return around;
}

} // namespace

actors::lead_launcher lead_launcher_for(const std::shared_ptr<const node_parts>& parts,
                                        const std::shared_ptr<directory>& known) {
  return [parts, known](caf::event_based_actor* self, const actors::submit_request& command,
                        const std::function<void(result<caf::actor>)>& done) {
    if (!parts->local.benches.empty()) {
      spawn_lead(known, self, command, local_lead_parts(*parts, known), done);
      return;
    }
    const auto model = parts->models->find(command.request.model);
    if (!model) {
      done(fail(errc::not_found, "the model of this request was unloaded"));
      return;
    }
    const caf::actor payments = known->get("payments");
    if (!payments) {
      return start_lead(parts, known, self, command, model, nullptr, {}, done);
    }
    actors::reserve_credit quote{command.request, model->weights.config.layers,
                                 actors::model_bytes(*model)};
    self->request(payments, reserve_answer_wait, std::move(quote))
        .then(
            [parts, known, self, command, model, payments, done](actors::credit_reserved& given) {
              start_lead(parts, known, self, command, model, given.paid ? payments : nullptr,
                         std::move(given.path), done);
            },
            [done](const caf::error& reason) { done(from_caf(reason)); });
  };
}

std::function<void(actors::claimable_work)>
claims_to(const std::shared_ptr<const node_parts>& parts, const std::shared_ptr<directory>& known) {
  if (parts->keepers.empty()) {
    return {};
  }
  // Weakly: the desk signs behind the actors' end.
  return [all = std::weak_ptr{known}](actors::claimable_work done) {
    const auto names = all.lock();
    if (const caf::actor payments = names ? names->get("payments") : caf::actor{}) {
      caf::anon_send(payments, std::move(done));
    }
  };
}

} // namespace ovir::supervision
