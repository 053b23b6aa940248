#include "tests/support/cluster/asked_request.hpp"

namespace ovir::test {

namespace {

cluster_shell::options options_at(const test_cluster& cluster,
                                  const std::vector<std::size_t>& places) {
  cluster_shell::options options{.key_file = cluster.admin_key(), .addresses = {}};
  for (const std::size_t i : places) {
    options.addresses.push_back(cluster.admin_address(i));
  }
  options.deadline = std::chrono::seconds{90};
  return options;
}

} // namespace

asked_request::asked_request(const test_cluster& cluster, const std::vector<std::size_t>& places,
                             apps::json arguments, std::uint32_t bunch)
    : bunch_(bunch), shell_(options_at(cluster, places)),
      thread_([this, given = std::move(arguments)] { ask(given); }) {}

asked_request::~asked_request() {
  shell_.interrupt();
  if (thread_.joinable()) {
    thread_.join();
  }
}

void asked_request::ask(const apps::json& arguments) {
  apps::shell_listener listener;
  listener.token = [this](std::uint64_t) {
    const std::lock_guard lock{guard_};
    ++tokens_;
    changed_.notify_all();
  };
  listener.bunch = bunch_;
  listener.note = [this](std::string_view note) { (notes_ += note) += "\n"; };
  apps::shell_outcome outcome = shell_.call("run", arguments, listener);
  failure_ = failure_text(outcome);
  if (auto* const data = std::get_if<apps::json>(&outcome)) {
    data_ = std::move(*data);
  }
  const std::lock_guard lock{guard_};
  over_ = true;
  changed_.notify_all();
}

bool asked_request::wait_for_tokens(std::uint64_t count) {
  std::unique_lock lock{guard_};
  changed_.wait(lock, [this, count] { return tokens_ >= count || over_; });
  return tokens_ >= count && !over_;
}

bool asked_request::over() {
  const std::lock_guard lock{guard_};
  return over_;
}

apps::json asked_request::answer() {
  if (thread_.joinable()) {
    thread_.join();
  }
  return data_;
}

} // namespace ovir::test
