#include "tests/sim/simulated_node.hpp"

#include "actors/protocol/protocol_actor.hpp"
#include "actors/reuse/cache_protocol_actor.hpp"
#include "messages/caf/errors.hpp"

#include <algorithm>
#include <stdexcept>

namespace ovir::test {

using namespace std::chrono_literals;

result<std::unique_ptr<storage::mapped_file>> counting_env::map(const std::string& path) {
  return fail(errc::not_found, "{}: there are no files here", path);
}
result<std::string> counting_env::read(const std::string& path, std::uint64_t) {
  return fail(errc::not_found, "{}: there are no files here", path);
}
result<std::unique_ptr<storage::staged_file>> counting_env::stage(const std::string& path) {
  return fail(errc::io_failed, "{}: there are no files here", path);
}
result<void> counting_env::make_folder(const std::string& path) {
  return fail(errc::io_failed, "{}: there are no files here", path);
}
result<bool> counting_env::make_secret_file(const std::string& path, std::span<const std::byte>) {
  return fail(errc::io_failed, "{}: there are no files here", path);
}
result<std::size_t> counting_env::read_secret_file(const std::string& path, std::span<std::byte>) {
  return fail(errc::not_found, "{}: there are no files here", path);
}
void counting_env::random(std::span<std::byte> out) {
  std::fill(out.begin(), out.end(), std::byte{});
}

void held_executor::run_all() {
  compute::serial_runner runner;
  while (!jobs_.empty()) {
    const job next = std::move(jobs_.front());
    jobs_.pop_front();
    next(runner);
  }
}

namespace {

std::shared_ptr<supervision::node_parts>
parts_of(const compute::model& m, const compute::tokenizer& vocabulary,
         const supervision::cluster_options& options, storage::env& env,
         actors::compute_executor& executor, const actors::cache_access& cache,
         const actors::signing_desk* desk) {
  const auto kernels = compute::select_kernels(std::nullopt);
  compute::serial_runner runner;
  auto parts = std::make_shared<supervision::node_parts>();
  parts->policies = supervision::policies_for(options);
  const std::vector<std::uint64_t> bytes(m.layers.size(), 1);
  for (const layer_range layers : supervision::cut(bytes, 1, options.stages)) {
    auto bench = std::make_shared<actors::stage_bench>();
    bench->segment = compute::segment::make(m, layers, **kernels, runner).value();
    bench->kv_bytes_max = options.kv_bytes_max;
    bench->env = &env;
    bench->cache = cache;
    bench->desk = desk;
    parts->local.benches.push_back(std::move(bench));
  }
  parts->local.vocabulary = &vocabulary;
  parts->local.prefill_chunk = options.prefill_chunk;
  parts->local.model = cache.model;
  parts->env = &env;
  parts->executor = &executor;
  parts->draws = &executor;
  parts->desk = desk;
  return parts;
}

} // namespace

simulated_node::simulated_node(const compute::model& m, const compute::tokenizer& vocabulary,
                               const supervision::cluster_options& options, std::uint64_t seed,
                               std::shared_ptr<actors::cache_tiers> tiers,
                               const actors::signing_desk* desk)
    : config_(system_config::simulated()), system_(config_),
      scheduler_(dynamic_cast<caf::scheduler::test_coordinator&>(system_.scheduler())),
      executor_(std::make_unique<actors::simulated_executor>(system_)), signs_(desk != nullptr),
      random_(seed) {
  if (tiers) {
    front_ = std::make_unique<actors::simulated_executor>(system_);
    back_ = std::make_unique<actors::simulated_executor>(system_);
    cache_ = {std::make_shared<actors::cache_handle>(), hash_plain({})};
  }
  const auto parts = parts_of(m, vocabulary, options, env_, *executor_, cache_, desk);
  parts->reuse = {cache_.handle, {std::move(tiers), front_.get(), back_.get(), &env_, {}}};
  root_ = system_.spawn(supervision::supervisor_behavior,
                        supervision::node_tree(parts, std::make_shared<supervision::directory>()));
  settle(0s);
}

simulated_node::~simulated_node() {
  for (const caf::actor& requester : requesters_) {
    caf::anon_send_exit(requester, caf::exit_reason::kill);
  }
  caf::anon_send_exit(root_, caf::exit_reason::kill);
  settle(0s);
  executor_.reset();
  front_.reset();
  back_.reset();
  if (cache_.handle) {
    cache_.handle->set({});
  }
  settle(0s);
}

std::uint64_t simulated_node::draw() {
  random_ += 0x9e3779b97f4a7c15U;
  std::uint64_t z = random_;
  z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 27U)) * 0x94d049bb133111ebU;
  return z ^ (z >> 31U);
}

// One message of one actor, drawn among all that have one.
bool simulated_node::step() {
  auto& jobs = scheduler_.jobs;
  if (jobs.empty()) {
    return false;
  }
  const std::size_t chosen = draw() % jobs.size();
  trace_.update_u32(static_cast<std::uint32_t>(jobs.size()));
  trace_.update_u32(static_cast<std::uint32_t>(chosen));
  std::swap(jobs[0], jobs[chosen]);
  return scheduler_.try_run_once();
}

void simulated_node::submit(const actors::generation_request& request) {
  answer* const a = answers_.emplace_back(std::make_unique<answer>()).get();
  const request_id id{next_request_++};
  requesters_.push_back(system_.spawn([a](caf::event_based_actor*) {
    return caf::behavior{
        [a](const actors::text_piece& piece) { a->text += piece.text; },
        [a](const actors::generation_done& done) { a->outcome = done.outcome; },
    };
  }));
  actors::generation_request wanted;
  wanted.id = id;
  wanted.prompt = request.prompt;
  wanted.sampling = request.sampling;
  wanted.max_tokens = request.max_tokens;
  wanted.stop = request.stop;
  wanted.kill_shards = request.kill_shards;
  wanted.kill_seed = request.kill_seed;
  wanted.drafts = request.drafts;
  wanted.cache = request.cache;
  wanted.receipt = signs_;
  const actors::submit_request command{std::move(wanted), requesters_.back()};
  system_.spawn([this, command, a](caf::event_based_actor* self) {
    self->request(root_, 5s, supervision::find_child{std::string{supervision::scheduler_path}})
        .then([self, command](caf::actor& scheduler) { self->send(scheduler, command); },
              [a](const caf::error& e) { a->outcome = from_caf(e); });
  });
}

void simulated_node::cancel(std::size_t index) {
  system_.spawn([this, index](caf::event_based_actor* self) {
    self->request(root_, 5s, supervision::find_child{std::string{supervision::scheduler_path}})
        .then([self, index](caf::actor& scheduler) {
          self->send(scheduler, actors::cancel_request{request_id{index + 1}});
        });
  });
}

bool simulated_node::run_until(const std::function<bool()>& condition, std::size_t steps_max) {
  for (std::size_t i = 0; i < steps_max; ++i) {
    if (condition()) {
      return true;
    }
    if (!step() && !scheduler_.trigger_timeout()) {
      return condition();
    }
  }
  return false;
}

bool simulated_node::run(std::size_t steps_max) {
  const auto done = [this] {
    return std::all_of(answers_.begin(), answers_.end(),
                       [](const auto& a) { return a->outcome.has_value(); });
  };
  return run_until(done, steps_max);
}

void simulated_node::settle(caf::timespan time) {
  scheduler_.advance_time(time);
  while (step()) {
  }
}

supervision::tree_node simulated_node::tree() {
  std::optional<supervision::tree_node> out;
  system_.spawn([this, &out](caf::event_based_actor* self) {
    self->request(root_, 5s, supervision::describe_tree{}).then([&out](supervision::tree_node& n) {
      out = std::move(n);
    });
  });
  settle(0s);
  if (!out) {
    throw std::runtime_error("the tree does not answer");
  }
  return *out;
}

actors::cache_report simulated_node::cache_report() {
  std::optional<actors::cache_report> out;
  system_.spawn([this, &out](caf::event_based_actor* self) {
    self->request(cache_.handle->get(), 5s, actors::describe_cache{})
        .then([&out](const actors::cache_report& report) { out = report; });
  });
  settle(0s);
  if (!out) {
    throw std::runtime_error("the cache does not answer");
  }
  return *out;
}

caf::actor simulated_node::find(const std::string& path) {
  caf::actor found;
  bool answered = false;
  system_.spawn([this, &path, &found, &answered](caf::event_based_actor* self) {
    self->request(root_, 5s, supervision::find_child{path})
        .then(
            [&](caf::actor& handle) {
              found = std::move(handle);
              answered = true;
            },
            [&](const caf::error&) { answered = true; });
  });
  if (!run_until([&] { return answered; }, 100'000)) {
    throw std::runtime_error("the tree does not answer");
  }
  return found;
}

bool is_whole(const supervision::tree_node& node, bool root) {
  return (root || node.state.starts_with("running")) &&
         std::all_of(node.children.begin(), node.children.end(),
                     [](const auto& child) { return is_whole(child, false); });
}

} // namespace ovir::test
