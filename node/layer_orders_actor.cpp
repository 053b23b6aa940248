#include "node/layer_orders_actor.hpp"

#include "actors/weights/fetcher_actor.hpp"
#include "messages/cid.hpp"
#include "messages/limits/general.hpp"
#include "node/node_tree_actor.hpp"

#include <caf/all.hpp>

namespace ovir::supervision {

namespace {

using entry = held_layers::entry;

held_layers::loaded without_entry(layer_orders::ended done) {
  return [done = std::move(done)](const result<entry>& held) {
    done(held ? result<void>{} : held.error());
  };
}

} // namespace

held_list recalled_layers(storage::env& env, const std::string& path, actors::log& journal) {
  const auto text = env.read(path, limits::held_list_bytes_max);
  auto known = text ? held_list_from(*text) : text.error();
  if (known) {
    return std::move(*known);
  }
  if (known.error().code != errc::not_found) {
    journal.say(actors::log_level::warn, std::nullopt,
                "holds what it is told, not what it held before: {}", known.error().message);
  }
  return {};
}

/// Empty while it is being started, on a node that is no worker, and at the node's end.
caf::actor layer_orders::fetcher() const {
  const auto all = known_.lock();
  return all ? all->get("fetcher") : caf::actor{};
}

void layer_orders::load(const std::string& path, std::optional<layer_range> layers,
                        loaded done) const {
  if (!path.starts_with(cid_begin)) {
    return held_->load(path, layers, nullptr, std::move(done));
  }
  const auto name = digest_from_cid(path);
  const caf::actor to = fetcher();
  if (!name || !to) {
    return done(name ? fail(errc::unsupported, "this node is no worker and fetches no weights; "
                                               "name a file of its machine")
                     : name.error());
  }
  caf::anon_send(to, actors::fetch_order{*name, layers, false, then_hold(std::move(done)),
                                         serve_first_layers()});
}

void layer_orders::fetch(const digest& model, layer_range layers, ended done) const {
  if (held_->add_of_file(model, layers, without_entry(done))) {
    return;
  }
  const caf::actor to = fetcher();
  if (!to) {
    return done(fail(errc::busy, "its fetcher is being started"));
  }
  caf::anon_send(to, actors::fetch_order{model, layers, false,
                                         then_hold(without_entry(std::move(done))),
                                         serve_first_layers(), true});
}

void layer_orders::keep(const digest& model, layer_range layers, ended done) const {
  const caf::actor to = fetcher();
  if (!to) {
    return done(fail(errc::busy, "its fetcher is being started"));
  }
  caf::anon_send(to, actors::fetch_order{.model = model,
                                         .layers = layers,
                                         .answer = then_keep(without_entry(std::move(done))),
                                         .spare = true});
}

std::shared_ptr<actors::fetch_answer> layer_orders::then_hold(loaded done) const {
  return std::make_shared<actors::fetch_answer>(
      [held = held_, done = std::move(done)](const result<actors::fetched_segment>& fetched) {
        if (!fetched) {
          return done(fetched.error());
        }
        held->add(*fetched, done);
      });
}

std::shared_ptr<actors::fetch_answer> layer_orders::then_keep(loaded done) const {
  return std::make_shared<actors::fetch_answer>(
      [held = held_, done = std::move(done)](const result<actors::fetched_segment>& fetched) {
        if (!fetched) {
          return done(fetched.error());
        }
        held->keep(*fetched, done);
      });
}

/// Layers that are whole are held while the rest of their segment is fetched; the segment takes
/// their place. Loads come one after another, in the order in which they are posted.
std::function<void(const actors::fetched_segment&)> layer_orders::serve_first_layers() const {
  return [held = held_, journal = journal_](const actors::fetched_segment& part) {
    held->load(part.path, part.layers, part.manifest, [journal](const result<entry>& now) {
      if (now) {
        journal->say(actors::log_level::info, std::nullopt,
                     "serves layers {}-{} of model {} while the rest is fetched",
                     (*now)->held.first, (*now)->held.last - 1, to_hex((*now)->id).substr(0, 8));
      } else {
        journal->say(actors::log_level::warn, std::nullopt,
                     "cannot serve the first layers of a model yet: {}", now.error().message);
      }
    });
  };
}

/// What the configuration wants fetched. Its outcome is for the log alone.
actors::fetch_order layer_orders::configured_fetch(const model_option& option,
                                                   std::optional<layer_range> layers) const {
  const auto answer = [journal = journal_, path = option.path](const result<entry>& loaded) {
    if (!loaded) {
      journal->say(actors::log_level::error, std::nullopt, "does not hold model {}: {}", path,
                   loaded.error().message);
    } else if ((*loaded)->held.size() == 0) {
      journal->say(actors::log_level::info, std::nullopt, "knows model {}", path);
    } else {
      journal->say(actors::log_level::info, std::nullopt, "holds layers {}-{} of model {}",
                   (*loaded)->held.first, (*loaded)->held.last - 1, path);
    }
  };
  return {*option.content, layers, true, then_hold(answer), serve_first_layers()};
}

/// Its bytes are compared with their digests, and what is damaged is fetched again.
actors::fetch_order layer_orders::recalled_spare(const digest& model, layer_range layers) const {
  const auto answer = [journal = journal_, model, layers](const result<entry>& kept) {
    if (!kept) {
      journal->say(actors::log_level::warn, std::nullopt,
                   "has no spare copy of layers {}-{} of model {}: {}", layers.first,
                   layers.last - 1, to_hex(model).substr(0, 8), kept.error().message);
    }
  };
  return {.model = model,
          .layers = layers,
          .patient = true,
          .answer = then_keep(answer),
          .spare = true};
}

/// A node whose layers are placed begins with what it held last, or knows the model and waits to be
/// told.
std::vector<actors::fetch_order> layer_orders::configured(const node_options& options,
                                                          const held_list& recalled) const {
  std::vector<actors::fetch_order> orders;
  for (const model_option& option : options.models) {
    if (!option.content) {
      continue;
    }
    if (option.layers || !is_placed(options)) {
      orders.push_back(configured_fetch(option, option.layers));
      continue;
    }
    orders.push_back(configured_fetch(option, layer_range{}));
    if (const auto before = recalled.find(*option.content); before != recalled.end()) {
      for (const layer_range& layers : before->second.held) {
        orders.push_back(configured_fetch(option, layers));
      }
      for (const layer_range& layers : before->second.spares) {
        orders.push_back(recalled_spare(*option.content, layers));
      }
    }
  }
  return orders;
}

} // namespace ovir::supervision
