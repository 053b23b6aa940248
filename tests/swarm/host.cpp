#include "tests/swarm/host.hpp"

#include "tests/swarm/door.hpp"
#include "tests/swarm/fiber.hpp"
#include "tests/swarm/stand_in.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <array>
#include <utility>

namespace ovir::swarm {

namespace {

enum note : std::uint64_t {
  started = 1,
  start_failed,
  crashed,
  frozen,
  thawed,
  turned,
  computed,
  timed
};

std::optional<std::size_t> runs_now;

storage::env::time_point point(nanoseconds local) {
  return storage::env::time_point{
      std::chrono::duration_cast<storage::env::time_point::duration>(local)};
}

} // namespace

class host::host_log final : public actors::log {
public:
  explicit host_log(host& of) : host_(of) {}
  void write(actors::log_level, std::optional<request_id>, std::string_view text) override {
    if (host_.says) {
      host_.says(host_.how_.number, text);
    }
  }
  void write_of(std::string_view part, actors::log_level level, std::optional<request_id> request,
                std::string_view text) override {
    if (host_.says) {
      write(level, request,
            fmt::format("{} {}: {}", part, request ? fmt::format("{:x}", request->value) : "-",
                        text));
    }
  }
  actors::log_level level() const noexcept override {
    return host_.says ? actors::log_level::info : actors::log_level::error;
  }
  void set_level(actors::log_level) noexcept override {}

private:
  host& host_;
};

/// What the node of one life runs on.
class host::host_machine final : public supervision::machine {
public:
  explicit host_machine(host& of) : host_(of) {}

  bool has_threads() const noexcept override { return false; }
  std::unique_ptr<actors::compute_executor> make_executor(supervision::job_kind kind,
                                                          std::size_t threads) override;
  result<std::unique_ptr<actors::listening_network>>
  open_network(const secret_key& key, const actors::tls_options& options,
               actors::network_handler& handler) override {
    auto made =
        std::make_unique<endpoint>(host_.wires_, host_.how_.number, key.id(), options, handler,
                                   [this, life = host_.life_](std::function<void()> act) {
                                     host_.run_here(life, std::move(act));
                                   });
    host_.endpoint_ = made.get();
    return std::unique_ptr<actors::listening_network>{std::move(made)};
  }
  result<std::unique_ptr<gateway::http_server>>
  serve_http(const gateway::http_options& options, gateway::http_handler& handler) override {
    return std::unique_ptr<gateway::http_server>{std::make_unique<door>(host_, options, handler)};
  }

  /// Jobs hold actors, which must not outlive their system.
  void drop_jobs();

  nanoseconds computed{0}; ///< steps, where units count
  /// Whoever computes now pays for it before it sees a clock; may be empty.
  std::function<void()> before_time;

private:
  class executor;

  host& host_;
  std::vector<executor*> executors_;
};

/// Jobs as events: each ends after the time it would take.
class host::host_machine::executor final : public actors::compute_executor {
public:
  executor(host_machine& on, supervision::job_kind kind) : on_(on), kind_(kind) {
    on_.executors_.push_back(this);
  }
  ~executor() override { std::erase(on_.executors_, this); }
  executor(const executor&) = delete;
  executor& operator=(const executor&) = delete;

  void post(job work) override {
    jobs_.push_back(std::move(work));
    plan();
  }
  void run(job work) override {
    jobs_.push_back(std::move(work));
    while (!jobs_.empty()) {
      counted_before_ = units_counted();
      pays_with([this] { on_.host_.clock_.skip(cost()); }, [this] { do_one(); });
    }
  }
  load count() const noexcept override { return {jobs_.size(), finished_}; }
  void drop() {
    jobs_.clear();
    ends_ = true;
    while (fiber_ && fiber_->under_way()) {
      fiber_->resume();
    }
  }

private:
  /// Whether a job takes as long as what it computes.
  [[nodiscard]] bool counts() const {
    return kind_ == supervision::job_kind::stages && on_.host_.speed_.step == nanoseconds{0};
  }
  void plan() {
    if (jobs_.empty() || std::exchange(planned_, true)) {
      return;
    }
    if (counts()) {
      return begin_counted();
    }
    const host_speed& speed = on_.host_.speed_;
    const nanoseconds most = kind_ == supervision::job_kind::stages ? speed.step : speed.other;
    world& in = on_.host_.world_;
    const nanoseconds wait = std::exchange(waits_, nanoseconds{0});
    in.in(wait + in.draws().between(most / 2, most),
          [this, life = on_.host_.life_, h = &on_.host_] {
            h->run_here(life, [this] {
              planned_ = false;
              if (!jobs_.empty()) {
                do_one();
                plan();
              }
            });
          });
  }
  job take_job() {
    job next = std::move(jobs_.front());
    jobs_.pop_front();
    ++finished_;
    on_.host_.world_.note(note::computed, on_.host_.how_.number, static_cast<std::uint64_t>(kind_));
    return next;
  }
  void do_one() {
    const job next = take_job();
    compute::serial_runner runner;
    host& h = on_.host_;
    const nanoseconds before = std::exchange(h.busy_until_, h.world_.now());
    next(runner);
    waits_ = std::exchange(h.busy_until_, before) - h.world_.now();
  }

  /// A job that pauses while its time passes: when it looks at a clock after it computed
  /// something, and at its end.
  void begin_counted() {
    world& in = on_.host_.world_;
    const nanoseconds most = on_.host_.speed_.other;
    in.in(in.draws().between(most / 2, most), [this, life = on_.host_.life_, h = &on_.host_] {
      h->run_here(life, [this] {
        if (!fiber_) {
          fiber_ = std::make_unique<fiber>();
        }
        slice([this] {
          fiber_->start([this] {
            compute::serial_runner runner;
            take_job()(runner);
            pay();
          });
        });
      });
    });
  }
  void slice(const std::function<void()>& part) {
    counted_before_ = units_counted();
    pays_with([this] { pay(); }, part);
    if (fiber_->under_way()) {
      on_.host_.world_.in(owes_, [this, life = on_.host_.life_, h = &on_.host_] {
        h->run_here(life, [this] { slice([this] { fiber_->resume(); }); });
      });
    } else {
      planned_ = false;
      plan();
    }
  }
  void pays_with(std::function<void()> pay, const std::function<void()>& part) {
    if (!counts()) {
      return part();
    }
    const auto before = std::exchange(on_.before_time, std::move(pay));
    part();
    on_.before_time = before;
  }
  void pay() {
    owes_ = cost();
    if (owes_ > nanoseconds{0} && !ends_) {
      on_.computed += owes_;
      fiber_->pause();
    }
  }
  /// Of what was computed since it was asked for.
  nanoseconds cost() {
    const std::uint64_t units = units_counted() - std::exchange(counted_before_, units_counted());
    const nanoseconds usual = static_cast<std::int64_t>(units) * on_.host_.speed_.unit;
    return units == 0 ? usual : on_.host_.world_.draws().between(usual * 2 / 3, usual * 4 / 3);
  }

  host_machine& on_;
  supervision::job_kind kind_;
  std::deque<job> jobs_;
  std::unique_ptr<fiber> fiber_;
  std::uint64_t counted_before_{0};
  nanoseconds owes_{0};
  bool ends_{false};
  std::uint64_t finished_{0};
  bool planned_{false};
  nanoseconds waits_{0}; ///< for the disk: this thread alone
};

std::unique_ptr<actors::compute_executor>
host::host_machine::make_executor(supervision::job_kind kind, std::size_t /*threads*/) {
  return std::make_unique<executor>(*this, kind);
}

void host::host_machine::drop_jobs() {
  for (executor* const one : executors_) {
    one->drop();
  }
}

host::host(world& in, wires& at, http_doors& doors, setting how)
    : world_(in), wires_(at), doors_(doors), how_(std::move(how)),
      key_(secret_key::from_seed(how_.key_seed)), id_(key_.id()) {}

host::~host() {
  if (node_) {
    end_life();
  }
}

nanoseconds host::time_computed() const noexcept {
  return machine_ ? machine_->computed : nanoseconds{0};
}

caf::scheduler::test_coordinator& host::scheduler() const { return *scheduler_; }

result<void> host::start() {
  ++life_;
  frozen_ = false;
  busy_until_ = {};
  wakes_ = false;
  timer_at_.reset();
  disk_env::clocks time{[this] {
                          if (machine_ && machine_->before_time) {
                            machine_->before_time();
                          }
                          return point(clock_.local(world_.now()));
                        },
                        [this] { return clock_.unix_seconds(world_.now()); }};
  env_ = std::make_unique<disk_env>(disk_, std::move(time),
                                    world_.draws().split(0x1000 * life_ + how_.number));
  env_->spent = [this](std::size_t /*bytes*/, bool sync) {
    if (sync) {
      busy_until_ = std::max(busy_until_, world_.now()) + speed_.sync;
    }
  };
  log_ = std::make_unique<host_log>(*this);
  machine_ = std::make_unique<host_machine>(*this);
  around_ = {};
  around_.env = env_.get();
  around_.key = &key_;
  around_.journal = log_.get();
  around_.load = how_.load;
  around_.version = "0.1.0";
  around_.software = "ovir simulated";
  node_ = supervision::node_assembly::make(how_.options, around_, *machine_);
  scheduler_ = &dynamic_cast<caf::scheduler::test_coordinator&>(node_->system().scheduler());
  scheduler_->clock().current_time = point(clock_.local(world_.now()));
  const auto raised = node_->raise();
  world_.note(raised ? started : start_failed, how_.number, life_);
  if (!raised) {
    end_life();
    return raised.error();
  }
  if (touched) {
    touched(*this);
  }
  return {};
}

void host::run_all_turns() {
  while (!scheduler_->jobs.empty()) {
    scheduler_->try_run_once();
  }
}

void host::end_life() {
  ++life_; // nothing that was planned happens any more
  frozen_ = false;
  catches_up_ = false;
  deferred_.clear();
  env_->end();
  machine_->drop_jobs();
  node_->close_doors();
  endpoint_ = nullptr;
  if (const caf::actor root = node_->root()) {
    caf::anon_send_exit(root, caf::exit_reason::kill);
  }
  run_all_turns();
  node_->forget_root();
  node_->let_go();
  machine_->drop_jobs();
  run_all_turns();
  actors_left_ += node_->system().registry().running();
  scheduler_->clock().cancel_all();
  node_.reset();
  scheduler_ = nullptr;
  machine_.reset();
  log_.reset();
  env_.reset();
}

void host::crash(crash_kind kind) {
  world_.note(crashed, how_.number, static_cast<std::uint64_t>(kind));
  if (!node_) {
    return;
  }
  env_->end();
  if (kind == crash_kind::power && endpoint_ != nullptr) {
    endpoint_->vanish();
  }
  end_life();
  disk_.crash(kind, world_.draws());
}

void host::thaw() {
  if (!frozen_) {
    return;
  }
  frozen_ = false;
  world_.note(thawed, how_.number);
  catch_up();
}

/// What waits, in the order in which it came.
void host::catch_up() {
  while (!deferred_.empty() && !frozen_ && world_.now() >= busy_until_) {
    const auto act = std::move(deferred_.front());
    deferred_.pop_front();
    run_now(act);
  }
  if (deferred_.empty() || frozen_ || std::exchange(catches_up_, true)) {
    return;
  }
  world_.at(busy_until_, [this, life = life_] {
    if (life == life_) {
      catches_up_ = false;
      catch_up();
    }
  });
}

void host::run_here(std::uint64_t life, std::function<void()> act) {
  if (life != life_ || !node_) {
    return;
  }
  if (frozen_ || world_.now() < busy_until_ || !deferred_.empty()) {
    deferred_.push_back(std::move(act));
    return catch_up();
  }
  run_now(act);
}

void host::run_now(const std::function<void()>& act) {
  auto& clock = scheduler_->clock();
  const auto now = point(clock_.local(world_.now()));
  if (now > clock.current_time) {
    clock.advance_time(now - clock.current_time);
  }
  const auto before = std::exchange(runs_now, how_.number);
  act();
  runs_now = before;
  if (touched) {
    touched(*this);
  }
}

std::optional<std::size_t> host::running() noexcept { return runs_now; }

bool host::has_turn() const {
  return node_ && !frozen_ && deferred_.empty() && world_.now() >= busy_until_ &&
         !scheduler_->jobs.empty();
}

void host::turn() {
  auto& jobs = scheduler_->jobs;
  const std::size_t chosen = world_.draws().below(jobs.size());
  world_.note(turned, how_.number, chosen * 1'000 + jobs.size());
  ++turns_;
  std::swap(jobs[0], jobs[chosen]);
  run_here(life_, [this] { scheduler_->try_run_once(); });
}

void host::plan_timer() {
  if (node_ && world_.now() < busy_until_ && !std::exchange(wakes_, true)) {
    world_.at(busy_until_, [this, life = life_] {
      if (life == life_) {
        wakes_ = false;
        run_here(life, [] {});
      }
    });
  }
  if (!node_ || !scheduler_->clock().has_pending_timeout()) {
    return;
  }
  const auto due = scheduler_->clock().schedule().begin()->first;
  const nanoseconds when = std::max(world_.now(), clock_.world_when(due.time_since_epoch()));
  if (timer_at_ && *timer_at_ <= when) {
    return;
  }
  timer_at_ = when;
  world_.at(when, [this, when, life = life_] {
    if (life == life_ && timer_at_ == when) {
      timer_at_.reset();
      world_.note(timed, how_.number);
      run_here(life, [] {});
    }
  });
}

} // namespace ovir::swarm
