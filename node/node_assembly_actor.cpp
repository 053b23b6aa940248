#include "node/node_assembly_actor.hpp"

#include "actors/link/delay_line.hpp"
#include "actors/link/link_format.hpp"
#include "actors/link/nat_board.hpp"
#include "ledger/rules/policy_numbers.hpp"
#include "messages/caf/errors.hpp"
#include "messages/caf/system_config.hpp"
#include "node/held_layers_actor.hpp"
#include "node/held_list.hpp"
#include "node/http_gateway.hpp"
#include "node/layer_orders_actor.hpp"
#include "node/metrics_endpoint.hpp"
#include "node/node_cache.hpp"
#include "node/node_groups.hpp"
#include "node/node_reload.hpp"
#include "node/node_start.hpp"
#include "node/node_tree_actor.hpp"
#include "node/part_logs.hpp"
#include "node/policy_duties.hpp"
#include "supervision/tree_json.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <functional>
#include <mutex>

namespace ovir::supervision {

namespace {

using namespace std::chrono_literals;

/// One hands no message to another core.
constexpr std::size_t handler_threads = 1;
constexpr std::chrono::milliseconds ask_wait{5'000};

system_config config_for(const machine& on) {
  return on.has_threads() ? system_config::threads(handler_threads) : system_config::simulated();
}

class whole_node final : public node_assembly {
public:
  whole_node(const node_options& options, const node_surroundings& around, machine& on)
      : options_(options), around_(around), machine_(on), logs_(*around.journal),
        operators_(operators_of(options)),
        pool_(on.make_executor(job_kind::stages, threads_of(options))),
        signing_(on.make_executor(job_kind::signatures, 1)),
        draws_(on.make_executor(job_kind::draws, 1)), config_(config_for(on)), system_(config_) {}

  result<void> raise() override;
  caf::actor_system& system() override { return system_; }
  const caf::actor& root() const override { return root_; }
  caf::actor find(const std::string& name) const override {
    return known_ ? known_->get(name) : caf::actor{};
  }
  const actors::listening_network& network() const override { return *network_; }
  http_gateway* gateway() override { return gateway_.get(); }
  bool drained() const override { return drained_.load(); }
  std::optional<error> refusal() const override {
    const std::lock_guard lock{refusal_guard_};
    return refusal_;
  }
  std::vector<std::string> reload(const node_options& options) override;
  void begin_drain() override;
  void close_doors() override;
  void forget_root() override { root_ = nullptr; }
  void let_go() override;

private:
  result<void> open_state();
  result<void> open_ledger();
  [[nodiscard]] result<void> check_kept_rules(const std::string& folder) const;
  result<void> obeys(const ledger::policy& rules);
  result<void> load_models();
  result<actors::model_catalog::entry> load_model(const model_option& option,
                                                  actors::node_advert* advert);
  result<void> load_drafts();
  result<void> open_network();
  [[nodiscard]] std::string held_list_path() const { return options_.state + "/layers"; }
  result<void> hold_at_start(const model_option& option);
  void start_tree();
  void show_attestations(const node_options& fresh);
  held_layers::surroundings layers_parts();
  actors::admin_environment admin_parts();
  actors::membership_environment membership_parts();
  actors::metrics_environment measured_parts(actors::tree_writer tree);

  node_options options_;
  node_surroundings around_;
  machine& machine_;
  part_logs logs_;
  std::unique_ptr<storage::held_lock> lock_;
  std::unique_ptr<actors::access_list> access_;
  actors::operator_names operators_;
  std::unique_ptr<actors::request_journal> requests_;
  std::unique_ptr<actors::addendum_shelf> addenda_; ///< null: not a scheduler
  std::unique_ptr<actors::kept_ledger> ledger_;     ///< null: not its keeper
  std::unique_ptr<durable_file> ledger_copy_;
  actors::model_catalog models_;
  std::map<digest, std::shared_ptr<actors::draft_model>> drafts_; ///< by whom they guess for
  std::unique_ptr<actors::peers> links_;
  std::unique_ptr<node_groups> groups_; ///< null before `open_network`
  actors::node_advert advert_;
  std::uint64_t memory_{0};
  std::atomic<bool> drained_{false};
  std::atomic<bool> drains_{false};
  mutable std::mutex refusal_guard_;
  std::optional<error> refusal_;
  // Destroyed in reverse: first the actors, then the threads they post to.
  std::unique_ptr<actors::compute_executor> pool_;
  std::unique_ptr<actors::compute_executor> signing_;
  actors::signing_desk desk_;
  actors::node_meter meter_;
  actors::metrics_desk metrics_;
  std::unique_ptr<node_cache> cache_;
  std::unique_ptr<actors::compute_executor> draws_;
  system_config config_;
  caf::actor_system system_;
  std::shared_ptr<const node_parts> parts_;
  std::shared_ptr<directory> known_;
  std::unique_ptr<held_layers> held_;
  std::unique_ptr<layer_orders> orders_;
  held_list recalled_;
  caf::actor root_;
  std::shared_ptr<actors::network_traffic> traffic_ = std::make_shared<actors::network_traffic>();
  std::shared_ptr<actors::nat_board> reach_board_ = std::make_shared<actors::nat_board>();
  std::unique_ptr<actors::listening_network> network_;
  std::unique_ptr<actors::delay_line> delays_; ///< in front of `network_`
  std::unique_ptr<actors::gateway_desk> desk_of_gateway_;
  std::unique_ptr<actors::console_desk> console_;
  std::unique_ptr<actors::answer_checker> answers_;
  std::unique_ptr<http_gateway> gateway_;
  std::unique_ptr<metrics_endpoint> endpoint_;
};

result<void> whole_node::open_state() {
  OVIR_TRY(around_.env->make_folder(options_.state));
  OVIR_ASSIGN(lock_, around_.env->lock(options_.state));
  OVIR_ASSIGN(auto access, access_of(options_, around_.key->id()));
  OVIR_ASSIGN(access_, actors::access_list::load(*around_.env, std::move(access)));
  if (options_.roles.has(role::scheduler)) {
    OVIR_ASSIGN(requests_,
                actors::request_journal::open(*around_.env, options_.state + "/requests"));
  }
  if (options_.roles.has(role::scheduler) || options_.gateway) {
    addenda_ = actors::addendum_shelf::open(*around_.env, options_.state);
  }
  OVIR_ASSIGN(cache_,
              node_cache::open(options_, *around_.key, *around_.env, *around_.journal, machine_));
  links_ = std::make_unique<actors::peers>(around_.key->id(), *access_, *logs_.of("links"),
                                           [env = around_.env] { return env->unix_seconds(); });
  return {};
}

result<void> whole_node::open_ledger() {
  if (!options_.ledger.keepers.empty() || options_.roles.has(role::ledger)) {
    OVIR_TRY(around_.env->make_folder(options_.state + "/payments"));
  }
  if (!options_.roles.has(role::ledger)) {
    if (options_.ledger.follow && !options_.ledger.keepers.empty()) {
      const std::string folder = options_.state + "/ledger-copy";
      OVIR_TRY(around_.env->make_folder(folder));
      OVIR_ASSIGN(ledger_copy_,
                  around_.env->open_durable(folder + "/log", storage::durable_use::make));
    }
    return {};
  }
  if (const auto& named = options_.ledger.keepers;
      !named.empty() && std::ranges::find(named, around_.key->id()) == named.end()) {
    return fail(errc::invalid_argument,
                "ledger.keeper names {} and this node, {}, has the role ledger: it keeps its own; "
                "leave one of the two out",
                short_name(named.front()), short_name(around_.key->id()));
  }
  actors::kept_ledger_options how;
  how.folder = options_.ledger.folder.empty() ? options_.state + "/ledger" : options_.ledger.folder;
  how.rules = options_.ledger.rules;
  how.mint_keys = options_.ledger.mint_keys;
  how.key = around_.key;
  how.roles_of = [this](const node_id& who) {
    return who == around_.key->id() ? options_.roles : access_->roles_of(who);
  };
  judge_by(how, *around_.env, options_.state, operators_);
  const std::string folder = how.folder;
  OVIR_ASSIGN(ledger_, actors::kept_ledger::open(std::move(how)));
  OVIR_TRY(check_kept_rules(folder));
  const auto& keepers = ledger_->keeper().book().view().origin().keepers;
  for (const node_id& named : options_.ledger.keepers) {
    if (!std::ranges::binary_search(keepers, named)) {
      return fail(
          errc::invalid_argument,
          "ledger.keeper names {}, and the ledger in {} is kept by {}; name these, or leave "
          "it out",
          short_name(named), folder, ledger::names_of(keepers));
    }
  }
  around_.journal->say(actors::log_level::info, std::nullopt, "keeps the ledger {}, {} entries",
                       to_hex(ledger_->keeper().book().id()).substr(0, 8),
                       ledger_->keeper().book().log().size());
  return {};
}

result<void> whole_node::check_kept_rules(const std::string& folder) const {
  const ledger::policy& rules = ledger_->keeper().book().view().origin().rules;
  const auto& told = options_.ledger.rules;
  const bool both_free = told && ledger::is_free(*told) && ledger::is_free(rules);
  const std::string differs = told && !both_free ? ledger::first_difference(*told, rules) : "";
  if (!differs.empty()) {
    return fail(errc::invalid_argument,
                "ledger.policy: {}, which the ledger in {} has had from its first entry on; rules "
                "hold for its whole life: give it these, or begin another one in another folder",
                differs, folder);
  }
  return check_duties(options_, rules);
}

result<void> whole_node::obeys(const ledger::policy& rules) {
  auto done = check_duties(options_, rules);
  if (!done) {
    const std::lock_guard lock{refusal_guard_};
    refusal_ = done.error();
  } else if (const auto stake = stake_wanted(options_.roles, rules);
             stake > 0 && !options_.ledger.stake) {
    around_.journal->say(actors::log_level::warn, std::nullopt,
                         "ledger.stake is not set: without {} micro-credits at stake this node "
                         "gets no paid work here",
                         stake);
  }
  return done;
}

// Runs on the compute threads, which load and measure; adds what was learnt to the advert.
result<actors::model_catalog::entry> whole_node::load_model(const model_option& option,
                                                            actors::node_advert* advert) {
  result<actors::model_catalog::entry> made{error{}};
  pool_->run([&](compute::parallel_runner& runner) {
    made = [&]() -> result<actors::model_catalog::entry> {
      OVIR_ASSIGN(const auto model, around_.load(option.path, option.layers, nullptr, runner));
      if (model->held.size() > 0 && advert != nullptr) {
        measure_into(*advert, *model, runner, *around_.env);
      }
      return actors::model_catalog::entry{model};
    }();
  });
  return made;
}

result<void> whole_node::hold_at_start(const model_option& option) {
  OVIR_ASSIGN(const auto model, load_model(option, &advert_));
  around_.journal->say(
      actors::log_level::info, std::nullopt, "model {} ({}), layers {}-{} of {} held",
      to_hex(model->id).substr(0, 8), model->name, model->held.first,
      model->held.size() == 0 ? 0 : model->held.last - 1, model->weights.config.layers);
  models_.put(model);
  return {};
}

result<void> whole_node::load_models() {
  if (is_placed(options_)) {
    recalled_ = recalled_layers(*around_.env, held_list_path(), *around_.journal);
  }
  for (const model_option& option : options_.models) {
    if (option.content) {
      continue; // as soon as it is here: the fetcher sees to it
    }
    if (option.layers || recalled_.empty()) {
      OVIR_TRY(hold_at_start(option));
      continue;
    }
    OVIR_ASSIGN(const auto known, load_model({option.path, layer_range{}}, nullptr));
    const auto held = recalled_.find(known->id);
    if (held == recalled_.end()) {
      OVIR_TRY(hold_at_start(option));
      continue;
    }
    models_.put(known);
    for (const layer_range& layers : held->second.held) {
      OVIR_TRY(hold_at_start({option.path, layers}));
    }
  }
  return {};
}

result<void> whole_node::load_drafts() {
  for (const model_option& option : options_.models) {
    const auto all = models_.all();
    const auto target = std::find_if(all.begin(), all.end(), [&option](const auto& model) {
      return model->path == option.path && model->vocabulary != nullptr;
    });
    if (option.draft.empty() || target == all.end() || !around_.load_draft) {
      continue;
    }
    result<std::shared_ptr<actors::draft_model>> made{error{}};
    pool_->run([&](compute::parallel_runner& runner) {
      made = around_.load_draft(option.draft, *(*target)->vocabulary, runner);
    });
    if (!made) {
      return in_context("a [[model]]'s 'draft'", made.error());
    }
    memory_ -= std::min(memory_, (*made)->bytes());
    around_.journal->say(actors::log_level::info, std::nullopt, "{} guesses for model {}",
                         option.draft, (*target)->name);
    drafts_[(*target)->id] = std::move(*made);
  }
  return {};
}

result<void> whole_node::open_network() {
  actors::tls_options how;
  how.identity.cluster = options_.cluster;
  how.identity.address = options_.advertise;
  how.identity.roles = options_.roles;
  around_.env->random(std::as_writable_bytes(std::span{&how.identity.life, 1}));
  if (!options_.join_token.empty()) {
    OVIR_ASSIGN(const shown_token token, shown_token_from_text(options_.join_token));
    how.identity.token = to_bytes(token);
  }
  how.traffic = traffic_;
  how.shared_memory = options_.link.shared_memory;
  how.busy_read = options_.link.busy_read;
  how.nat.enabled = options_.reach.enabled;
  how.nat.maps_ports = options_.reach.maps_ports;
  how.nat.board = reach_board_;
  how.nat.say = [journal = logs_.of("links")](const std::string& found) {
    journal->write(actors::log_level::info, std::nullopt, found);
  };
  how.listen = options_.listen;
  how.admin_listen = options_.admin_listen;
  how.transport = options_.transport;
  groups_ = std::make_unique<node_groups>(options_, around_, *links_, models_, operators_, *pool_,
                                          memory_, *logs_.of("groups"));
  OVIR_ASSIGN(network_, machine_.open_network(*around_.key, how, groups_->door()));
  delays_ = std::make_unique<actors::delay_line>(*network_);
  links_->use(delays_.get());
  advert_.address = options_.advertise.empty() ? network_->listen_address() : options_.advertise;
  OVIR_ASSIGN(advert_.admin_address,
              admin_address_of(options_, advert_.address, network_->admin_address()));
  return {};
}

actors::admin_environment whole_node::admin_parts() {
  actors::admin_environment admin;
  admin.self = around_.key->id();
  admin.name = options_.name;
  admin.cluster = options_.cluster;
  admin.version = around_.version;
  admin.links = links_.get();
  admin.access = access_.get();
  admin.models = &models_;
  admin.journal = logs_.of("admin");
  admin.chaos = options_.chaos;
  admin.cache = cache_->policy();
  admin.reach = reach_board_;
  admin.kill_self = around_.kill_self;
  admin.stop_self = around_.stop_self;
  admin.delay_self = [this](std::chrono::milliseconds delay) { delays_->set_delay(delay); };
  admin.drain_self = [this] { drained_.store(true); };
  admin.load = [this](const std::string& path, std::optional<layer_range> layers,
                      std::function<void(result<actors::model_catalog::entry>)> done) {
    orders_->load(path, layers, std::move(done));
  };
  admin.tree = [this](caf::event_based_actor* self,
                      const std::function<void(result<std::string>)>& done) {
    self->request(root_, ask_wait, describe_tree{})
        .then([done](const tree_node& root) { done(tree_json(root)); },
              [done](const caf::error& reason) { done(from_caf(reason)); });
  };
  return admin;
}

actors::membership_environment whole_node::membership_parts() {
  actors::membership_environment members;
  members.key = around_.key;
  members.links = links_.get();
  members.access = access_.get();
  members.journal = around_.journal;
  members.env = around_.env;
  members.options.probe_interval = options_.probe_interval;
  members.options.probe_timeout = options_.probe_timeout;
  members.options.suspect_timeout = options_.suspect_timeout;
  members.advert = advert_;
  members.incarnation = around_.env->unix_seconds() * 1'000;
  members.seeds = options_.seeds;
  members.is_relayed = std::bind_front(&actors::nat_board::is_relayed, reach_board_);
  return members;
}

void whole_node::start_tree() {
  known_ = std::make_shared<directory>();
  held_ = std::make_unique<held_layers>(layers_parts());
  orders_ = std::make_unique<layer_orders>(*held_, known_, *around_.journal);
  auto parts = std::make_shared<node_parts>();
  parts->options = &options_;
  parts->key = around_.key;
  parts->env = around_.env;
  parts->journal = around_.journal;
  parts->journal_of = [this](const char* part) { return logs_.of(part); };
  parts->executor = pool_.get();
  parts->draws = draws_.get();
  desk_ = {around_.key, signing_.get(), around_.software, &meter_};
  parts->desk = &desk_;
  parts->links = links_.get();
  parts->access = access_.get();
  parts->operators = &operators_;
  parts->operator_of = std::bind_front(&actors::operator_names::of, &operators_);
  parts->models = &models_;
  parts->drafts = drafts_;
  parts->requests = requests_.get();
  parts->addenda = addenda_.get();
  parts->ledger = ledger_.get();
  parts->ledger_copy = ledger_copy_.get();
  parts->obeys = [this](const ledger::policy& rules) { return obeys(rules); };
  parts->keepers =
      ledger_ ? ledger_->keeper().book().view().origin().keepers : options_.ledger.keepers;
  parts->memory_bytes = memory_;
  parts->groups = &groups_->keeper();
  parts->reuse = {cache_->handle(), cache_->around(),
                  options_.cache.enabled && options_.cache.peers,
                  std::bind_front(&node_cache::quarantine, cache_.get()), options_.cache.enabled};
  parts->fetches = orders_->configured(options_, recalled_);
  if (options_.fetch_orders) {
    parts->fetch_ordered = std::bind_front(&layer_orders::fetch, orders_.get());
  }
  if (is_placed(options_)) {
    parts->keep_ordered = std::bind_front(&layer_orders::keep, orders_.get());
    parts->drop_ordered = std::bind_front(&held_layers::drop, held_.get());
  }
  parts->membership = membership_parts();
  if (options_.roles.has(role::relay)) {
    parts->carried = [board = reach_board_] { return board->take_bills(); };
  }
  parts->drains = &drains_;
  parts->admin = admin_parts();
  parts->meter = &meter_;
  parts->metrics = &metrics_;
  parts->measured = measured_parts(parts->admin.tree);
  if (options_.gateway) {
    desk_of_gateway_ = std::make_unique<actors::gateway_desk>(models_, cache_->policy());
    parts->gateway = desk_of_gateway_.get();
    console_ = std::make_unique<actors::console_desk>();
    parts->console = console_.get();
    answers_ = std::make_unique<actors::answer_checker>(
        *addenda_, *access_, std::bind_front(&actors::gateway_desk::names, desk_of_gateway_.get()));
  }
  parts_ = std::move(parts);
  root_ = system_.spawn(supervisor_behavior, node_tree(parts_, known_));
}

actors::metrics_environment whole_node::measured_parts(actors::tree_writer tree) {
  actors::metrics_environment measured;
  measured.tree = std::move(tree);
  measured.links = links_.get();
  measured.traffic = traffic_;
  measured.meter = &meter_;
  measured.drives = options_.roles.has(role::scheduler);
  measured.computes = options_.roles.has(role::worker);
  measured.pools = [this] {
    return std::vector<std::pair<const char*, actors::compute_executor::load>>{
        {"stages", pool_->count()}, {"draws", draws_->count()}, {"signing", signing_->count()}};
  };
  return measured;
}

held_layers::surroundings whole_node::layers_parts() {
  held_layers::surroundings layers;
  layers.load = around_.load;
  layers.env = around_.env;
  layers.pool = pool_.get();
  layers.models = &models_;
  layers.memory_bytes = memory_;
  layers.spare_bytes = options_.spare_bytes;
  if (is_placed(options_)) {
    layers.list = held_list_path();
  }
  layers.journal = around_.journal;
  // Weakly: a load may outlive the actors.
  layers.advertise = [all =
                          std::weak_ptr{known_}](std::function<void(actors::node_advert&)> change) {
    const auto names = all.lock();
    if (const caf::actor membership = names ? names->get("membership") : caf::actor{}) {
      caf::anon_send(membership, actors::advert_changed{std::move(change)});
    }
  };
  return layers;
}

result<void> whole_node::raise() {
  const std::uint64_t machine = around_.env->memory_bytes();
  memory_ = options_.memory_bytes > 0 ? options_.memory_bytes : machine / 5 * 4;
  advert_.name = options_.name;
  advert_.roles = options_.roles;
  advert_.ask_ppm = options_.ledger.ask_ppm;
  advert_.memory_bytes = memory_;
  advert_.placed = is_placed(options_);
  OVIR_ASSIGN(advert_.attested, own_attestations(options_, around_.key->id()));
  OVIR_TRY(open_state());
  OVIR_TRY(open_ledger());
  OVIR_TRY(load_models());
  OVIR_TRY(load_drafts());
  std::uint64_t weights = 0;
  for (const auto& model : models_.all()) {
    weights += model->held_bytes;
  }
  if (weights > memory_) {
    return fail(errc::over_limit,
                "the layers to hold need {} MiB and the node may use {}; hold fewer or raise "
                "limits.memory_mib",
                weights >> 20U, memory_ >> 20U);
  }
  advert_.memory_free = memory_ - weights;
  OVIR_TRY(open_network());
  start_tree();
  if (options_.gateway) {
    OVIR_ASSIGN(gateway_,
                http_gateway::start(*options_.gateway, *desk_of_gateway_, *console_, *answers_,
                                    metrics_, *around_.env, *logs_.of("gateway"), options_.state,
                                    around_.software, machine_));
  }
  if (options_.metrics) {
    OVIR_ASSIGN(endpoint_, metrics_endpoint::start(*options_.metrics, metrics_, *around_.env,
                                                   *logs_.of("metrics"), machine_));
    around_.journal->say(actors::log_level::info, std::nullopt, "metrics at {}",
                         endpoint_->address());
  }
  return {};
}

void whole_node::begin_drain() {
  drains_.store(true);
  if (gateway_) {
    gateway_->drain();
  }
  if (const caf::actor jobs = known_->get("jobs")) {
    caf::anon_send(jobs, actors::drain_jobs{});
  }
  caf::anon_send(known_->get("membership"), actors::advert_changed{[](actors::node_advert& advert) {
                   advert.draining = true;
                 }});
}

// No more messages from outside, then the actors, then what they use.
void whole_node::close_doors() {
  gateway_.reset();
  endpoint_.reset();
  if (links_) {
    links_->use(static_cast<actors::network*>(nullptr));
  }
  delays_.reset();
  network_.reset();
  if (groups_) {
    groups_->close();
  }
}

void whole_node::let_go() {
  if (links_) {
    links_->forget_actors();
  }
  metrics_.use(caf::actor{}); // the supervisor that would start another has ended
  if (desk_of_gateway_) {
    desk_of_gateway_->use(caf::actor{});
    console_->use(caf::actor{});
  }
  known_.reset();
  parts_.reset();
  if (cache_) { // else it did not come so far
    cache_->finish();
  }
}

void whole_node::show_attestations(const node_options& fresh) {
  auto shown = own_attestations(fresh, around_.key->id());
  if (!shown) {
    return around_.journal->write(actors::log_level::warn, std::nullopt,
                                  "shows the former ones: " + shown.error().message);
  }
  const auto show = [all = *shown](actors::node_advert& to) { to.attested = all; };
  caf::anon_send(known_->get("membership"), actors::advert_changed{show});
}

std::vector<std::string> whole_node::reload(const node_options& fresh) {
  if (const auto level = actors::log_level_from_text(fresh.log_level)) {
    around_.journal->set_level(*level);
  }
  access_->replace_keys(keys_of(fresh, around_.key->id()));
  operators_.replace(operators_of(fresh));
  show_attestations(fresh);
  return restarts_for(options_, fresh);
}

} // namespace

std::unique_ptr<node_assembly> node_assembly::make(const node_options& options,
                                                   const node_surroundings& around, machine& on) {
  return std::make_unique<whole_node>(options, around, on);
}

} // namespace ovir::supervision
