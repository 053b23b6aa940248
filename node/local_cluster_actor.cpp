#include "actors/request/request_check.hpp"
#include "actors/runtime/compute_pool.hpp"
#include "messages/caf/errors.hpp"
#include "messages/caf/system_config.hpp"
#include "node/cut.hpp"
#include "node/local_cluster.hpp"
#include "node/node_tree_actor.hpp"

#include <caf/all.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <latch>
#include <optional>
#include <system_error>
#include <thread>

namespace ovir::supervision {

namespace {

using namespace std::chrono_literals;

/// CAF's threads only run short handlers, and one does not hand messages to another core.
constexpr std::size_t handler_threads = 1;
/// How often a waiting `run` looks at its cancel flag.
constexpr std::chrono::milliseconds cancel_poll{10};
constexpr std::chrono::milliseconds ask_wait{5'000};
constexpr std::chrono::milliseconds ask_pause{2};

/// CAF's scheduler, clock and detached helpers. It cannot undo a half-started actor system: where
/// one of its threads fails to start, unwinding waits for ever. So as many are asked for first, all
/// at once, and a machine without them is told by the exception that CAF would have met.
constexpr std::size_t caf_threads = handler_threads + 3;

struct thread_probe {
  ~thread_probe() { release.count_down(); }
  std::latch release{1};
  std::vector<std::jthread> threads; // joined before the latch goes
};

system_config config_with_threads() {
  thread_probe probe;
  try {
    for (std::size_t i = 0; i < caf_threads; ++i) {
      probe.threads.emplace_back([&probe] { probe.release.wait(); });
    }
  } catch (const std::system_error& e) {
    throw std::system_error(e.code(),
                            fmt::format("only {} of the actor system's {} threads could be "
                                        "started; raise the limit on threads or memory",
                                        probe.threads.size(), caf_threads));
  }
  return system_config::threads(handler_threads);
}

std::vector<layer_range> cut_model(const compute::model& m, std::uint32_t stages) {
  std::vector<std::uint64_t> bytes;
  for (const compute::layer_weights& layer : m.layers) {
    bytes.push_back(compute::file_bytes(layer));
  }
  return cut(bytes, std::uint64_t{m.output.rows} * m.output.row_bytes(), stages);
}

result<void> check_range(std::string_view name, std::uint64_t value, std::uint64_t most) {
  if (value < 1 || value > most) {
    return fail(errc::invalid_argument, "{} must be between 1 and {}, not {}", name, most, value);
  }
  return {};
}

result<void> check_options(const compute::model& m, const cluster_options& o) {
  if (o.stages > m.config.layers) {
    return fail(errc::invalid_argument,
                "{} stages, but the model has only {} layers; ask for at most {}", o.stages,
                m.config.layers, m.config.layers);
  }
  OVIR_TRY(check_range("stages", o.stages, limits::stages_max));
  OVIR_TRY(check_range("threads", o.threads, limits::threads_max));
  OVIR_TRY(check_range("prefill chunk", o.prefill_chunk, limits::prefill_chunk_max));
  if (o.restart_period.count() <= 0 || o.restart_backoff.count() < 0) {
    return fail(errc::invalid_argument, "the restart period must be positive and the back-off not "
                                        "negative");
  }
  return {};
}

class cluster final : public local_cluster {
public:
  cluster(const compute::model& m, storage::env& environment, const cluster_options& options)
      : config_(m.config), env_(environment), options_(options),
        pool_(options.threads, actors::compute_pool::between_steps),
        signing_(options.key == nullptr ? nullptr : std::make_unique<actors::compute_pool>(1)),
        desk_{options.key, signing_.get(), options.software}, system_config_(config_with_threads()),
        system_(system_config_) {}

  ~cluster() override {
    if (root_) {
      shut_down();
    }
  }

  result<void> raise(const compute::model& m, const compute::tokenizer& vocabulary,
                     const compute::kernel_set& kernels, std::optional<cluster_cache> cache) {
    auto parts = std::make_shared<node_parts>();
    parts->policies = policies_for(options_);
    if (cache) {
      warn_ = cache->warn;
      tiers_ =
          std::make_shared<actors::cache_tiers>(cache->memory_bytes, std::move(cache->store), env_);
      front_.emplace(1);
      back_.emplace(1);
      cache_ = std::make_shared<actors::cache_handle>();
      parts->reuse = {cache_, {tiers_, &*front_, &*back_, &env_, warn_}};
      parts->local.model = cache->model;
    }
    parts->desk = options_.key == nullptr ? nullptr : &desk_;
    for (const layer_range layers : cut_model(m, options_.stages)) {
      OVIR_ASSIGN(auto segment, make_segment(m, layers, kernels));
      auto bench = std::make_shared<actors::stage_bench>();
      stages_.push_back({layers, segment->weight_bytes(), 0});
      bench->segment = std::move(segment);
      bench->kv_bytes_max = options_.kv_bytes_max;
      bench->env = &env_;
      bench->desk = parts->desk;
      bench->cache = {cache_, parts->local.model};
      parts->local.benches.push_back(std::move(bench));
    }
    parts->local.vocabulary = &vocabulary;
    parts->local.prefill_chunk = options_.prefill_chunk;
    parts->local.draft = options_.draft;
    parts->env = &env_;
    parts->executor = &pool_;
    parts->draws = &pool_;
    root_ = system_.spawn(supervisor_behavior, node_tree(parts, std::make_shared<directory>()));
    return {};
  }

  result<run_report> run(const actors::generation_request& request,
                         const std::function<void(std::string_view)>& on_text,
                         const std::atomic<bool>* cancel) override;

  actors::cache_report cache_report() override {
    actors::cache_report out;
    if (const caf::actor cache = cache_ ? cache_->get() : caf::actor{}) {
      caf::scoped_actor self{system_};
      self->request(cache, ask_wait, actors::describe_cache{})
          .receive([&](const actors::cache_report& report) { out = report; },
                   [](const caf::error&) {});
    }
    return out;
  }

  std::string tree() override {
    caf::scoped_actor self{system_};
    std::string out;
    self->request(root_, ask_wait, describe_tree{})
        .receive([&](const tree_node& root) { out = print_tree(root); },
                 [&](const caf::error& e) { out = from_caf(e).message + "\n"; });
    return out;
  }

private:
  result<std::unique_ptr<compute::segment>>
  make_segment(const compute::model& m, layer_range layers, const compute::kernel_set& kernels) {
    result<std::unique_ptr<compute::segment>> made{error{}};
    pool_.run([&](compute::parallel_runner& runner) {
      if (!options_.make_segment) {
        made = compute::segment::make(m, layers, kernels, runner);
        return;
      }
      compute::model checked = m;
      const auto usable = compute::check_weights(checked, layers, runner);
      made = usable ? options_.make_segment(checked, layers, kernels)
                    : result<std::unique_ptr<compute::segment>>{usable.error()};
    });
    return made;
  }

  /// The scheduler, also while it is being started or restarted: asked for again until then.
  result<caf::actor> scheduler() {
    caf::scoped_actor self{system_};
    result<caf::actor> found{error{}};
    for (auto left = ask_wait / ask_pause; left > 0; --left) {
      self->request(root_, ask_wait, find_child{std::string{scheduler_path}})
          .receive([&](caf::actor& handle) { found = std::move(handle); },
                   [&](const caf::error& e) { found = from_caf(e); });
      if (found || found.error().code != errc::peer_lost) {
        break;
      }
      self->receive(caf::after(ask_pause) >> [] {});
    }
    return found;
  }

  run_report report_of(actors::generation_report&& done) const {
    run_report report;
    report.tokens = std::move(done.tokens);
    report.text = std::move(done.text);
    report.reason = done.end;
    report.transcript = done.transcript;
    report.positions = done.positions;
    report.leaves = std::move(done.leaves);
    report.logits = std::move(done.logits);
    report.units_computed = done.units_computed;
    report.reused = done.reused;
    report.answer_reused = done.answer_reused;
    report.explained = std::move(done.explained);
    report.restarts = done.restarts;
    report.drafted = done.drafted;
    report.accepted = done.accepted;
    report.time_to_first_token = done.time_to_first_token;
    report.prefill_time = done.prefill_time;
    report.decode_time = done.decode_time;
    report.receipt = std::move(done.receipt);
    report.trace = std::move(done.trace);
    report.stages = stages_;
    for (std::size_t i = 0; i < stages_.size() && i < done.kv_bytes.size(); ++i) {
      report.stages[i].kv_bytes = done.kv_bytes[i];
    }
    return report;
  }

  void shut_down() {
    static_cast<void>(cache_report()); // behind all that was handed to the cache before
    caf::scoped_actor self{system_};
    self->monitor(root_);
    self->send_exit(root_, caf::exit_reason::user_shutdown);
    bool down = false;
    const auto wait = [&](std::chrono::seconds time) {
      self->receive([&](const caf::down_msg&) { down = true; }, caf::after(time) >> [] {});
    };
    wait(3 * limits::shutdown_wait);
    if (!down) {
      self->send_exit(root_, caf::exit_reason::kill);
      wait(limits::shutdown_wait);
    }
    if (tiers_) {
      cache_->set({}); // no handle may outlive the actor system
      flush_cache();
    }
  }

  // Nobody uses the cache any more, but a commit may be under way, front, back and front.
  void flush_cache() {
    for (actors::compute_executor* const executor :
         std::initializer_list<actors::compute_executor*>{&*front_, &*back_, &*front_}) {
      executor->run([](compute::parallel_runner&) {});
    }
    for (const std::string& warning : actors::flush(*tiers_)) {
      warn_(warning);
    }
  }

  compute::model_config config_;
  storage::env& env_;
  cluster_options options_;
  // Destroyed in reverse: first the actors, then the threads they post to.
  actors::compute_pool pool_;
  std::unique_ptr<actors::compute_pool> signing_; ///< beside the work: no token waits for it
  actors::signing_desk desk_;
  std::shared_ptr<actors::cache_tiers> tiers_; ///< null: there is no cache
  std::shared_ptr<actors::cache_handle> cache_;
  std::function<void(const std::string&)> warn_;
  std::optional<actors::compute_pool> front_;
  std::optional<actors::compute_pool> back_;
  system_config system_config_;
  caf::actor_system system_;
  caf::actor root_;
  std::vector<stage_report> stages_;
  std::atomic<std::uint64_t> next_request_{1};
};

result<run_report> cluster::run(const actors::generation_request& request,
                                const std::function<void(std::string_view)>& on_text,
                                const std::atomic<bool>* cancel) {
  actors::generation_request wanted = request;
  if (wanted.id.value == 0) {
    wanted.id = request_id{next_request_.fetch_add(1)};
  }
  const request_id id = wanted.id;
  OVIR_TRY(actors::check(config_, wanted));
  OVIR_ASSIGN(const caf::actor served_by, scheduler());
  caf::scoped_actor self{system_};
  self->monitor(served_by);
  self->send(served_by,
             actors::submit_request{std::move(wanted), caf::actor_cast<caf::actor>(self)});
  std::optional<result<actors::generation_report>> outcome;
  bool cancelled = false;
  while (!outcome) {
    self->receive(
        [&](const actors::text_piece& piece) {
          if (on_text && !piece.text.empty()) {
            on_text(piece.text);
          }
        },
        [&](actors::generation_done& done) { outcome.emplace(std::move(done.outcome)); },
        [&](const caf::down_msg&) {
          outcome.emplace(fail(errc::peer_lost, "the scheduler was restarted; try again"));
        },
        caf::after(cancel_poll) >> [] {});
    if (!cancelled && cancel != nullptr && cancel->load()) {
      cancelled = true;
      self->send(served_by, actors::cancel_request{id});
    }
  }
  self->demonitor(served_by.address()); // else the scheduler would keep it for its whole life
  if (!*outcome) {
    return outcome->error();
  }
  return report_of(std::move(**outcome));
}

} // namespace

result<std::unique_ptr<local_cluster>>
local_cluster::start(const compute::model& m, const compute::tokenizer& vocabulary,
                     const compute::kernel_set& kernels, storage::env& environment,
                     const cluster_options& options, std::optional<cluster_cache> cache) {
  OVIR_TRY(check_options(m, options));
  auto made = std::make_unique<cluster>(m, environment, options);
  OVIR_TRY(made->raise(m, vocabulary, kernels, std::move(cache)));
  return std::unique_ptr<local_cluster>{std::move(made)};
}

} // namespace ovir::supervision
