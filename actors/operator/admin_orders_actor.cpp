#include "actors/operator/admin_call_actor.hpp"
#include "messages/caf/errors.hpp"

#include <algorithm>

namespace ovir::actors {

namespace {

result<void> with_node(const admin_call& c, const std::string& name,
                       std::function<void(const node_id&)> act) {
  return with_members(c, [c, name, act = std::move(act)](const members_view& members) {
    const auto node = find_node(*members, name);
    if (!node) {
      return c.refuse(node.error());
    }
    act(*node);
  });
}

// Runs `act` when the node named is this one. For others the client is told where they are: no node
// obeys another in its operator's name.
result<void> at_this_node(const admin_call& c, const std::string& name,
                          std::function<void(const node_id&)> act) {
  return with_members(c, [c, name, act = std::move(act)](const members_view& members) {
    const auto node = find_node(*members, name);
    if (!node) {
      return c.refuse(node.error());
    }
    if (*node == c.self->state.environment.self) {
      return act(*node);
    }
    const auto known = std::find_if(members->begin(), members->end(),
                                    [&](const member& m) { return m.node == *node; });
    const std::string address =
        known == members->end() ? std::string{} : known->advert.admin_address;
    c.refuse_with(json{{"code", "elsewhere"},
                       {"message", fmt::format("order node {} itself{}{}", short_name(*node),
                                               address.empty() ? "" : ", at ", address)},
                       {"node", to_hex(*node)},
                       {"address", address}});
  });
}

} // namespace

caf::actor find_actor(const admin_call& c, const std::string& name) {
  return c.self->state.environment.find(name);
}

result<void> with_members(const admin_call& c, std::function<void(const members_view&)> use) {
  const caf::actor membership = find_actor(c, "membership");
  if (!membership) {
    return fail(errc::busy, "the node is starting; ask again");
  }
  c.self->request(membership, admin_ask_wait, list_members{})
      .then([use = std::move(use)](const members_changed& m) { use(m.members); },
            [c](const caf::error& e) { c.refuse(from_caf(e)); });
  return {};
}

result<void> drain_node(const admin_call& c, admin_arguments& args) {
  OVIR_ASSIGN(const std::string name, args.text("node"));
  OVIR_TRY(args.done());
  return at_this_node(c, name, [c](const node_id& node) {
    c.self->state.environment.drain_self();
    c.done({{"node", to_hex(node)}, {"sessions", nullptr}});
  });
}

result<void> kick_node(const admin_call& c, admin_arguments& args) {
  OVIR_ASSIGN(const std::string name, args.text("node"));
  OVIR_TRY(args.done());
  const auto kick = [c](const node_id& node) {
    if (node == c.self->state.environment.self) {
      return c.refuse({errc::invalid_argument, "a node does not kick itself; use 'drain'"});
    }
    const admin_environment& around = c.self->state.environment;
    if (const auto kicked = around.access->kick(node); !kicked) {
      return c.refuse(kicked.error());
    }
    around.links->disconnect(node, {errc::invalid_argument, "kicked by an operator"});
    around.journal->say(log_level::warn, std::nullopt, "kicked {}", short_name(node));
    c.done({{"node", to_hex(node)}});
  };
  if (const auto key = node_id_from_hex(name)) { // also of one that is not here now
    kick(*key);
    return {};
  }
  return with_node(c, name, kick);
}

result<void> show_invitations(const admin_call& c, admin_arguments& args) {
  OVIR_TRY(args.done());
  json all = json::array();
  for (const access_list::known_invitation& one : c.self->state.environment.access->invitations()) {
    json told{{"invitation", to_hex(one.key)}, {"used", one.used}, {"revoked", one.revoked}};
    if (one.what) {
      told.update({{"uses", one.what->uses},
                   {"roles", to_string(one.what->roles)},
                   {"expires_unix", one.what->expires_unix},
                   {"admin", to_hex(one.what->admin)}});
    }
    all.push_back(std::move(told));
  }
  c.done({{"invitations", std::move(all)}});
  return {};
}

result<void> revoke_invitation(const admin_call& c, admin_arguments& args) {
  OVIR_ASSIGN(const std::string text, args.text("token"));
  OVIR_TRY(args.done());
  OVIR_ASSIGN(const shown_token shown, shown_token_from_text(text));
  if (!is_revocation(shown)) {
    return fail(errc::invalid_argument,
                "this is a join token and no revocation; make one by ovir invite revoke");
  }
  const admin_environment& around = c.self->state.environment;
  OVIR_TRY(around.access->show(to_bytes(shown), 0)); // a revocation has no end
  around.journal->say(log_level::warn, std::nullopt, "the invitation {} is revoked",
                      short_name(shown.token.node));
  c.done({{"invitation", to_hex(shown.token.node)}});
  return {};
}

result<void> set_log_level(const admin_call& c, admin_arguments& args) {
  OVIR_ASSIGN(const std::string level, args.text("level"));
  OVIR_TRY(args.done());
  OVIR_ASSIGN(const log_level wanted, log_level_from_text(level));
  log& journal = *c.self->state.environment.journal;
  const std::string was{to_string(journal.level())};
  journal.set_level(wanted);
  c.done({{"level", to_string(wanted)}, {"was", was}});
  return {};
}

result<void> make_chaos(const admin_call& c, admin_arguments& args) {
  OVIR_ASSIGN(const std::string action, args.text("action"));
  OVIR_ASSIGN(const std::string name, args.text("node"));
  OVIR_ASSIGN(const std::uint64_t ms, args.whole("ms", 0, 600'000, 0));
  OVIR_ASSIGN(const std::string actor, args.text("actor", ""));
  OVIR_TRY(args.done());
  if (action != "kill" && action != "stop" && action != "delay" && action != "crash") {
    return fail(errc::invalid_argument,
                "chaos can 'kill', 'stop' and 'delay' a node, and 'crash' an actor of it, not '{}'",
                action.substr(0, 32));
  }
  if (action == "stop" && ms == 0) {
    return fail(errc::invalid_argument, "chaos stop needs 'ms', 1 to 600000");
  }
  const std::uint64_t delay_max = static_cast<std::uint64_t>(limits::chaos_delay_max.count());
  if (action == "delay" && ms > delay_max) {
    return fail(errc::invalid_argument, "chaos delay takes 'ms' from 0 to {}, not {}", delay_max,
                ms);
  }
  return at_this_node(c, name, [c, action, ms, actor](const node_id& node) {
    const admin_environment& around = c.self->state.environment;
    if (!around.chaos) {
      return c.refuse("forbidden",
                      "this node's configuration does not allow chaos; set chaos.enabled");
    }
    const caf::actor victim = action == "crash" ? find_actor(c, actor) : nullptr;
    if (action == "crash" && !victim) {
      return c.refuse({errc::not_found, "this node has no actor of this name; 'tree' lists them"});
    }
    c.done({{"node", to_hex(node)}});
    if (victim) {
      return caf::anon_send_exit(victim, caf::exit_reason::kill);
    }
    if (action == "delay") {
      return around.delay_self(std::chrono::milliseconds{ms});
    }
    if (action == "kill") {
      around.kill_self();
    } else {
      around.stop_self(static_cast<std::uint32_t>(ms));
    }
  });
}

result<void> load_model(const admin_call& c, admin_arguments& args) {
  OVIR_ASSIGN(const std::string path, args.text("path"));
  std::optional<layer_range> layers;
  if (args.has("first_layer") || args.has("last_layer")) {
    OVIR_ASSIGN(const auto first, args.whole("first_layer", 0, limits::layers_max - 1, {}));
    OVIR_ASSIGN(const auto last, args.whole("last_layer", first, limits::layers_max - 1, {}));
    layers = layer_range{static_cast<layer_index>(first), static_cast<layer_index>(last + 1)};
  }
  OVIR_TRY(args.done());
  const admin_environment& around = c.self->state.environment;
  const auto me = caf::actor_cast<caf::actor>(c.self);
  around.load(path, layers,
              [me, connection = c.connection, id = c.id](result<model_catalog::entry> loaded) {
                caf::anon_send(me, model_loaded{connection, id, std::move(loaded)});
              });
  return {};
}

void take_loaded(admin_pointer self, const model_loaded& news) {
  const admin_call c{self, news.connection, news.command};
  if (!news.loaded) {
    return c.refuse(news.loaded.error());
  }
  const catalog_model& model = **news.loaded;
  c.done({{"model", to_hex(model.id)},
          {"first_layer", model.held.first},
          {"last_layer", model.held.size() == 0 ? json(nullptr) : json(model.held.last - 1)},
          {"model_layers", model.weights.config.layers},
          {"weight_bytes", model.held_bytes}});
}

result<void> unload_model(const admin_call& c, admin_arguments& args) {
  OVIR_ASSIGN(const std::string name, args.text("model"));
  OVIR_TRY(args.done());
  const admin_environment& around = c.self->state.environment;
  OVIR_ASSIGN(const auto model, find_model(*around.models, name));
  around.models->remove(model->id); // sessions under way keep it until they end
  if (const caf::actor membership = find_actor(c, "membership")) {
    c.self->send(membership, advert_changed{[id = model->id](node_advert& advert) {
                   std::erase_if(advert.held, [&](const held_segment& h) { return h.model == id; });
                 }});
  }
  c.done({{"model", to_hex(model->id)}});
  return {};
}

} // namespace ovir::actors
