#include "actors/request/scheduler_actor.hpp"
#include "messages/limits/general.hpp"
#include "node/machine.hpp"
#include "node/node.hpp"
#include "node/node_assembly_actor.hpp"
#include "node/node_tree_actor.hpp"

#include <caf/all.hpp>

#include <algorithm>

namespace ovir::supervision {

namespace {

constexpr std::chrono::milliseconds answer_wait{5'000};
constexpr std::chrono::milliseconds drain_poll{50};
/// For the goodbye to reach the others before the links close.
constexpr std::chrono::milliseconds farewell{200};

/// A node of this computer, as threads of the program see it.
class cluster_node final : public node {
public:
  cluster_node(const node_options& options, const node_surroundings& around)
      : env_(*around.env), journal_(*around.journal), drain_wait_(options.drain_wait),
        machine_(make_machine()), whole_(node_assembly::make(options, around, *machine_)) {}

  ~cluster_node() override {
    whole_->close_doors();
    if (whole_->root()) {
      shut_down();
    }
    whole_->let_go();
  }

  result<void> raise() { return whole_->raise(); }

  std::string listen_address() const override { return whole_->network().listen_address(); }
  std::string admin_address() const override { return whole_->network().admin_address(); }
  std::string http_address() const override {
    const http_gateway* const gateway = whole_->gateway();
    return gateway != nullptr ? gateway->address() : "";
  }
  bool drain(const std::atomic<bool>& hurry) override;
  std::vector<std::string> reload(const node_options& options) override {
    return whole_->reload(options);
  }
  bool responds() override;
  bool finished() const override { return whole_->drained() || refusal(); }
  std::optional<error> refusal() const override { return whole_->refusal(); }

private:
  void shut_down();
  std::size_t running();

  storage::env& env_;
  actors::log& journal_;
  std::chrono::milliseconds drain_wait_;
  std::unique_ptr<machine> machine_;
  std::unique_ptr<node_assembly> whole_;
};

std::size_t cluster_node::running() {
  std::size_t count = 0;
  caf::scoped_actor self{whole_->system()};
  if (const caf::actor jobs = whole_->find("jobs")) {
    self->request(jobs, answer_wait, actors::list_jobs{})
        .receive(
            [&](const std::vector<actors::job_view>& list) {
              count += static_cast<std::size_t>(
                  std::count_if(list.begin(), list.end(), [](const actors::job_view& job) {
                    return job.state == actors::job_state::running;
                  }));
            },
            [](const caf::error&) {});
  }
  if (const caf::actor scheduler =
          whole_->find("scheduler")) { // whose leads may wait for statements
    self->request(scheduler, answer_wait, actors::describe_scheduler{})
        .receive(
            [&](const actors::scheduler_report& report) {
              count = std::max(count, report.running);
            },
            [](const caf::error&) {});
  }
  if (const caf::actor host = whole_->find("host")) {
    self->request(host, answer_wait, actors::describe_host{})
        .receive([&](const actors::host_report& report) { count += report.sessions; },
                 [](const caf::error&) {});
  }
  return count;
}

bool cluster_node::responds() {
  bool answered = false;
  caf::scoped_actor self{whole_->system()};
  self->request(whole_->root(), answer_wait, describe_tree{})
      .receive([&](const tree_node&) { answered = true; }, [](const caf::error&) {});
  return answered;
}

bool cluster_node::drain(const std::atomic<bool>& hurry) {
  caf::scoped_actor self{whole_->system()};
  whole_->begin_drain();
  const auto until = env_.now() + drain_wait_;
  std::size_t left = running();
  const auto clients = [this] {
    const http_gateway* const gateway = whole_->gateway();
    return gateway != nullptr ? gateway->connections() : std::size_t{0};
  };
  while (left + clients() > 0 && !hurry.load() && env_.now() < until) {
    self->receive(caf::after(drain_poll) >> [] {});
    left = running();
  }
  journal_.say(actors::log_level::info, std::nullopt, "leaves with {} requests under way", left);
  self->request(whole_->find("membership"), answer_wait, actors::leave_cluster{})
      .receive([](bool) {}, [](const caf::error&) {});
  self->receive(caf::after(farewell) >> [] {});
  return left == 0;
}

void cluster_node::shut_down() {
  caf::scoped_actor self{whole_->system()};
  const caf::actor root = whole_->root();
  self->monitor(root);
  self->send_exit(root, caf::exit_reason::user_shutdown);
  bool down = false;
  const auto wait = [&](std::chrono::seconds time) {
    self->receive([&](const caf::down_msg&) { down = true; }, caf::after(time) >> [] {});
  };
  wait(3 * limits::shutdown_wait);
  if (!down) {
    self->send_exit(root, caf::exit_reason::kill);
    wait(limits::shutdown_wait);
  }
  whole_->forget_root();
}

} // namespace

result<std::unique_ptr<node>> node::start(const node_options& options,
                                          const node_surroundings& around) {
  auto made = std::make_unique<cluster_node>(options, around);
  OVIR_TRY(made->raise());
  return std::unique_ptr<node>{std::move(made)};
}

} // namespace ovir::supervision
