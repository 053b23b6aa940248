#include "actors/audit/log_draws_actor.hpp"

#include "actors/audit/addendum_shelf.hpp"
#include "actors/audit/audit_intake_actor.hpp"
#include "actors/audit/verifier_parts_actor.hpp"
#include "actors/audit/window_inputs_actor.hpp"
#include "actors/payment/payments_actor.hpp"
#include "ledger/rules/equivocation.hpp"
#include "messages/caf/errors.hpp"
#include "messages/limits/audit.hpp"
#include "messages/limits/credit.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <functional>
#include <utility>

namespace ovir::actors {

namespace {

/// That may still owe links, and the one that comes next.
constexpr std::size_t chains_kept = 3;

/// To the ledger. What is lost on the way is said again.
void order(
    verifier_pointer self, ledger::command what, std::string_view name,
    std::function<void()> refused = [] {}) {
  const auto& around = self->state.environment;
  const caf::actor payments = around.payments ? around.payments() : caf::actor{};
  if (!payments) {
    return refused();
  }
  self->request(payments, limits::payment_action_wait, credit_order{std::move(what), {}})
      .then([](const ledger::promise&) {},
            [self, name, refused = std::move(refused)](const caf::error& e) {
              self->state.environment.journal->say(log_level::debug, std::nullopt,
                                                   "{} is not in the ledger: {}", name,
                                                   from_caf(e).message);
              refused();
            });
}

/// The own chain that the log knows as `c`.
const ledger::hash_chain* own_chain(const chain_files& files, const ledger::audit_chain& c) {
  for (const ledger::hash_chain& chain : files.chains()) {
    const auto link = c.known == 0 ? result<digest>{chain.anchor()} : chain.link(c.known);
    if (link && *link == c.last) {
      return &chain;
    }
  }
  return nullptr;
}

bool due_again(storage::env::time_point& last, storage::env::time_point now) {
  if (last != storage::env::time_point{} && now - last < limits::audit_say_again) {
    return false;
  }
  last = now;
  return true;
}

/// The link of the epoch that was closed last. The chain that counts for it is the last one that
/// began by then.
void publish_link(verifier_pointer self) {
  auto& draws = self->state.draws;
  if (!draws.owed || !due_again(draws.linked, self->state.environment.env->now())) {
    return;
  }
  const std::uint64_t epoch = *draws.owed;
  const auto c = std::find_if(draws.chains.rbegin(), draws.chains.rend(),
                              [&](const ledger::audit_chain& one) { return one.first <= epoch; });
  const ledger::hash_chain* const own =
      c == draws.chains.rend() ? nullptr : own_chain(*draws.files, *c);
  const auto link = own == nullptr ? result<digest>{error{}}
                                   : own->link(static_cast<std::uint32_t>(epoch - c->first + 1));
  if (!link) {
    return; // that chain is lost: its owner is overdue until the next one counts
  }
  order(self, ledger::chain_link{self->state.environment.key->id(), epoch, *link}, "a link");
}

/// Commits to a chain where the log has none of this node's, or the last one is nearly used up.
void commit_chain(verifier_pointer self) {
  auto& draws = self->state.draws;
  const auto& around = self->state.environment;
  const bool good =
      !draws.chains.empty() && own_chain(*draws.files, draws.chains.back()) &&
      draws.chains.back().links - draws.chains.back().known >= limits::audit_chain_links_least;
  if (good || !due_again(draws.committed, around.env->now())) {
    return;
  }
  const bool fresh = draws.files->chains().empty() ||
                     (!draws.chains.empty() && own_chain(*draws.files, draws.chains.back()) ==
                                                   &draws.files->chains().back());
  if (fresh) {
    if (const auto made = draws.files->add(); !made) {
      return around.journal->say(log_level::error, std::nullopt, "no hash chain for audits: {}",
                                 made.error().message);
    }
    draws.files->keep(chains_kept);
  }
  const ledger::hash_chain& next = draws.files->chains().back();
  if (fresh) {
    around.journal->say(log_level::info, std::nullopt,
                        "audits: commits to a hash chain of {} links behind {}", next.links(),
                        to_hex(next.anchor()).substr(0, 8));
  }
  order(self, ledger::chain_commit{around.key->id(), next.anchor(), next.links(), 0},
        "a hash chain",
        [self] { // epochs go by without it: soon again, as where the keeper just began
          self->state.draws.committed = self->state.environment.env->now() -
                                        limits::audit_say_again + limits::audit_chain_again;
        });
}

void tend_chain(verifier_pointer self) {
  auto& draws = self->state.draws;
  if (!self->state.environment.audits || !draws.follows ||
      self->state.environment.payments == nullptr) {
    return;
  }
  if (!draws.files) {
    auto files = chain_files::open(*self->state.environment.env, self->state.environment.state);
    if (!files) {
      return;
    }
    draws.files.emplace(std::move(*files));
  }
  publish_link(self);
  commit_chain(self);
}

/// To who has to look. Who has not the layers fetches them, if it can.
void send_drawn(verifier_pointer self, const drawn_audits::offer& o) {
  for (const auto& bytes : self->state.draws.held->get(o.about)) {
    const auto r = decode_receipt(*bytes);
    if (!r) {
      continue; // the disk spoiled it
    }
    bool meant = false;
    for (const stage_records& stage : r->stages) {
      if (!o.signers.contains(stage.signer.node)) {
        continue;
      }
      meant = true;
      if (!may_have(self, o.verifier, r->asked.model, stage.signer.layers)) {
        self->state.draws.audits->note_lacking(o.about, o.verifier, stage.signer.node);
      }
    }
    if (meant) {
      send_offer(self, o.verifier, *r, audit_offer{false, *bytes, true});
    }
  }
}

} // namespace

bool waits_for_draw(verifier_pointer self, const receipt& r,
                    const verifier_state::receipt_bytes& bytes) {
  auto& draws = self->state.draws;
  if (!draws.follows || !draws.audits) {
    return false;
  }
  const digest about = ledger::about_of(terms_of(r.asked));
  if (const auto kept = draws.held->put(about, bytes); !kept) {
    self->state.environment.journal->say(log_level::warn, std::nullopt,
                                         "a receipt cannot wait for its audits: {}",
                                         kept.error().message);
    return false;
  }
  draws.audits->hold(about, bytes->size(), self->state.environment.env->now());
  return true;
}

namespace {

/// From the first news on. What earlier lives held goes on.
void begin_draws(verifier_pointer self) {
  auto& draws = self->state.draws;
  const auto& around = self->state.environment;
  auto held = held_receipts::open(*around.env, around.state);
  if (!held) {
    return around.journal->say(log_level::error, std::nullopt,
                               "receipts cannot wait for their audits: {}", held.error().message);
  }
  draws.held.emplace(std::move(*held));
  draws.audits.emplace(around.key->id());
  for (const auto& [about, bytes] : draws.held->left()) {
    draws.audits->hold(about, bytes, around.env->now());
  }
}

/// What this node looked at, until the log has it.
void say_seen(verifier_pointer self) {
  for (ledger::compensate& c :
       self->state.draws.audits->unsaid(self->state.environment.env->now())) {
    order(self, std::move(c), "an audit");
  }
}

void note_unentered(verifier_pointer self, const drawn_audits::due_receipts& due) {
  const auto& state = self->state;
  for (const digest& about : due.unentered) {
    if (state.environment.addenda == nullptr) {
      return;
    }
    for (const auto& bytes : state.draws.held->get(about)) {
      state.environment.addenda->note_unentered(receipt_digest(*bytes));
    }
  }
}

/// Why an answer stays unaudited is told where its node's log is read.
void give_up(verifier_pointer self, const drawn_audits::due_receipts& due) {
  auto& state = self->state;
  for (const digest& about : due.over) {
    state.draws.held->drop(about);
  }
  state.count.unaudited += due.unaudited.size();
  for (const digest& about : due.unaudited) {
    state.environment.journal->say(log_level::warn, std::nullopt,
                                   "no verifier looked at what the ledger drew of {}; its receipt "
                                   "is held no longer",
                                   to_hex(about).substr(0, 16));
  }
}

} // namespace

void take_log_news(verifier_pointer self, const ledger::audit_news& news) {
  auto& draws = self->state.draws;
  std::uint64_t& rate = self->state.environment.how.least_rate_ppm;
  rate = std::max(rate, news.least_rate_ppm);
  if (!draws.audits) {
    begin_draws(self);
  }
  if (!draws.audits) {
    return;
  }
  draws.follows = true;
  draws.audits->take(news);
  if (draws.owed != news.owed) {
    draws.linked = {};
  }
  draws.chains = news.chains;
  draws.owed = news.owed;
  tend_draws(self);
}

void enter_audit(verifier_pointer self, const receipt& r,
                 const verifier_state::receipt_bytes& bytes, const drawn_audits::duty& which,
                 layer_index layer) {
  self->state.draws.audits->note_seen(ledger::about_of(terms_of(r.asked)), which, layer,
                                      receipt_digest(*bytes));
  say_seen(self);
}

void fetch_drawn_layers(verifier_pointer self, const receipt& r) {
  auto& draws = self->state.draws;
  const auto& around = self->state.environment;
  if (!draws.audits || !around.keep) {
    return;
  }
  for (const drawn_audits::duty& d : draws.audits->duties_of(ledger::about_of(terms_of(r.asked)))) {
    for (const stage_records& stage : r.stages) {
      const layer_range layers = stage.signer.layers;
      if (stage.signer.node != d.unit.signer || model_with(self, r.asked.model, layers) ||
          draws.fetching.size() >= limits::audit_layer_fetches_max ||
          !draws.fetching.insert({r.asked.model, layers.first}).second) {
        continue;
      }
      around.journal->say(log_level::info, r.asked.request,
                          "fetches layers {}-{} of model {}, which it was drawn to audit",
                          layers.first, layers.last - 1, to_hex(r.asked.model).substr(0, 8));
      around.keep(
          r.asked.model, layers,
          [verifier = caf::actor{self}, model = r.asked.model, layers](result<void> outcome) {
            caf::anon_send(verifier, drawn_layers_ended{model, layers, std::move(outcome)});
          });
    }
  }
}

void layers_ended(verifier_pointer self, const drawn_layers_ended& e) {
  self->state.draws.fetching.erase({e.model, e.layers.first});
  if (!e.outcome) {
    self->state.environment.journal->say(
        log_level::warn, std::nullopt,
        "cannot audit layers {}-{} of model {}, which it was drawn for: {}", e.layers.first,
        e.layers.last - 1, to_hex(e.model).substr(0, 8), e.outcome.error().message);
  }
}

void tend_draws(verifier_pointer self) {
  verifier_state& state = self->state;
  if (!state.draws.audits) {
    return;
  }
  const auto due = state.draws.audits->due(state.environment.env->now());
  for (const drawn_audits::offer& o : due.offers) {
    send_drawn(self, o);
  }
  for (const digest& about : due.undrawn) {
    for (const auto& bytes : state.draws.held->get(about)) {
      offer_by_layers(self, bytes, false);
    }
  }
  note_unentered(self, due);
  give_up(self, due);
  say_seen(self);
  tend_chain(self);
}

} // namespace ovir::actors
