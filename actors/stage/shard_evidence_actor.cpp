#include "actors/stage/shard_evidence_actor.hpp"

#include "actors/stage/signing_order.hpp"
#include "messages/limits/evidence.hpp"
#include "messages/limits/known.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <utility>

namespace ovir::actors {

namespace {

using route = shard_state::route;

/// Batches from the stage before that wait here or at the desk; more are dropped.
constexpr std::uint32_t batches_waiting_max = 64;

struct destination {
  request_id request;
  epoch driver;
  lead_actor lead;
  frame_sink next;
};

void send(const destination& to, evidence_news news) {
  // Of many windows that came from a cache all are stated at once.
  std::vector<statement>& said = news.to_lead.records.statements;
  while (says_anything(news.to_lead)) {
    evidence_batch batch = news.to_lead;
    const std::size_t count = std::min(said.size(), limits::statements_per_batch_max);
    batch.records.statements.resize(count);
    said.erase(said.begin(), said.begin() + static_cast<std::ptrdiff_t>(count));
    news.to_lead.records.commitments.clear();
    news.to_lead.links.clear();
    caf::anon_send(to.lead, tensor_frame{evidence_frame(to.request, to.driver, batch)});
  }
  if (says_anything(news.to_next)) {
    caf::anon_send(to.next, tensor_frame{evidence_frame(to.request, to.driver, news.to_next)});
  }
}

/// Runs `work(evidence, since the first frame, news)` at the desk, in order, and sends what came of
/// it.
template <class Work>
void at_desk(shard_pointer self, const route& r, const destination& to, Work work) {
  const stage_bench& bench = *self->state.bench;
  const auto since = bench.env != nullptr && r.first_frame ? bench.env->now() - *r.first_frame
                                                           : std::chrono::nanoseconds{0};
  bench.desk->executor->post([evidence = r.evidence, to, since, meter = bench.desk->meter,
                              work = std::move(work)](compute::parallel_runner&) {
    evidence_news news = evidence->begin();
    work(*evidence, since, news);
    if (meter != nullptr) {
      meter->signed_statements(news.to_lead.records.statements.size());
    }
    send(to, news);
  });
}

destination destination_of(request_id request, epoch driver, const route& r) {
  return {request, driver, r.lead, r.next};
}

route* signing_route(shard_pointer self, request_id request) {
  const auto found = self->state.routes.find(request);
  return found == self->state.routes.end() || !found->second.evidence ? nullptr : &found->second;
}

void take_links(stage_evidence& evidence, const std::vector<frame_bytes>& frames,
                evidence_news& news) {
  for (const frame_bytes& frame : frames) {
    const auto view = decode_frame(*frame);
    if (const auto batch = decode_evidence(view->tensor)) {
      evidence.take(*batch, news);
    }
  }
}

/// What came since the last hand-over, link signatures and steps, so that the desk wakes once for
/// all of it; behind them `then(evidence, since the first frame, news)`.
template <class Then>
void hand_over(shard_pointer self, route& r, const destination& to, Then then) {
  r.waiting->fetch_add(static_cast<std::uint32_t>(r.links.size()));
  at_desk(self, r, to,
          [steps = std::exchange(r.steps, {}), links = std::exchange(r.links, {}),
           waiting = r.waiting, then = std::move(then)](
              stage_evidence& evidence, std::chrono::nanoseconds since, evidence_news& news) {
            waiting->fetch_sub(static_cast<std::uint32_t>(links.size()));
            take_links(evidence, links, news);
            for (const evidence_step& step : steps) {
              evidence.add(step, since, news);
            }
            then(evidence, since, news);
          });
}

void hand_over(shard_pointer self, route& r, const destination& to) {
  hand_over(self, r, to, [](stage_evidence&, std::chrono::nanoseconds, evidence_news&) {});
}

signing_facts facts_here(const stage_bench& bench, const shard_core::session& session) {
  signing_facts known{session.request, std::nullopt, bench.segment->config().layers, std::nullopt,
                      std::nullopt};
  if (const digest& model = model_of(bench, session.model); model != digest{}) {
    known.model = model;
  }
  if (bench.env != nullptr) {
    known.unix_now = bench.env->unix_seconds();
  }
  return known;
}

} // namespace

result<void> begin_evidence(shard_pointer self, const to_stage<sign_evidence>& order) {
  shard_state& state = self->state;
  const auto found = state.routes.find(order.request);
  shard_core::session* const session = state.core->find(order.request);
  if (found == state.routes.end() || session == nullptr || session->driver != order.driver ||
      state.bench->desk == nullptr) {
    return {};
  }
  if (const auto may = check_order(order.order, facts_here(*state.bench, *session)); !may) {
    return may;
  }
  route& r = found->second;
  if (r.evidence && r.evidence->order().terms == order.order.terms) {
    // For a lead that does not know it yet.
    const destination to = destination_of(order.request, order.driver, r);
    state.bench->desk->executor->post([evidence = r.evidence, to](compute::parallel_runner&) {
      for (const evidence_batch& batch : evidence->all()) {
        send(to, {batch, {}});
      }
      send(to, {{}, evidence->links()}); // one that came too early was dropped
    });
    return {};
  }
  if (session->length == 0 && !session->busy) {
    r.evidence = std::make_shared<stage_evidence>(order.order, state.bench);
    r.data = session->data;
    r.committed = 0;
    r.ended = false;
    session->signs = true;
  }
  return {};
}

void take_evidence(shard_pointer self, const frame_header& header, const frame_bytes& frame) {
  route* const r = signing_route(self, header.request);
  if (r == nullptr || r->waiting->load() + r->links.size() >= batches_waiting_max) {
    return;
  }
  r->links.push_back(frame);
  if (r->ended || r->links.size() >= limits::batches_held_max) {
    hand_over(self, *r, destination_of(header.request, header.epoch, *r));
  }
}

void commit_evidence(shard_pointer self, const frame_header& header) {
  route* const r = signing_route(self, header.request);
  const shard_core::session* const session = self->state.core->find(header.request);
  if (r == nullptr || session == nullptr || header.epoch != session->driver) {
    return;
  }
  if (!r->first_frame && self->state.bench->env != nullptr) {
    r->first_frame = self->state.bench->env->now();
  }
  const position end = header.first + header.count - header.drafts();
  if (end <= r->committed) {
    return;
  }
  constexpr std::uint32_t window = limits::window_positions;
  r->committed = (end + window - 1) / window * window;
  at_desk(self, *r, destination_of(header.request, header.epoch, *r),
          [end](stage_evidence& evidence, std::chrono::nanoseconds, evidence_news& news) {
            evidence.commit(end, news);
          });
}

void note_step(shard_pointer self, const shard_core::session& session, epoch driver,
               evidence_step step) {
  route* const r = signing_route(self, session.request);
  if (r == nullptr || step.data != r->data || step.data != session.data) {
    return;
  }
  if (r->first_frame && r->came && self->state.rests_since) {
    step.came = *r->came - *r->first_frame;
    step.left = *self->state.rests_since - *r->first_frame;
  }
  r->steps.push_back(std::move(step));
  constexpr std::uint32_t grain = limits::link_signature_positions;
  if (session.length / grain != r->flushed / grain || r->steps.size() >= grain) {
    r->flushed = session.length;
    hand_over(self, *r, destination_of(session.request, driver, *r));
  }
}

void finish_evidence(shard_pointer self, const shard_core::session& session,
                     const std::vector<compute::unit_leaf>& open) {
  route* const r = signing_route(self, session.request);
  if (r == nullptr) {
    return;
  }
  r->ended = true;
  hand_over(self, *r, destination_of(session.request, session.driver, *r),
            [open, length = session.length](stage_evidence& evidence,
                                            std::chrono::nanoseconds since, evidence_news& news) {
              evidence.finish(length, open, since, news);
            });
}

void claim_evidence(shard_pointer self, request_id request) {
  route* const r = signing_route(self, request);
  // What the stages of the ends state has digests of tokens, and the tokens of choices.
  if (r == nullptr || !self->state.bench->claim || r->sealed) {
    return;
  }
  hand_over(self, *r, destination_of(request, {}, *r),
            [claim = self->state.bench->claim](stage_evidence& evidence, std::chrono::nanoseconds,
                                               evidence_news&) {
              claim({evidence.order().terms, evidence.all()});
            });
}

} // namespace ovir::actors
