#include "tests/support/cluster/cluster_shell.hpp"

#include "apps/key_file.hpp"

#include <array>
#include <stdexcept>

namespace ovir::test {

namespace {

secret_key key_in(const std::string& file) {
  auto key = apps::load_key(*storage::make_env_posix(), file);
  if (!key) {
    throw std::runtime_error(key.error().message);
  }
  return std::move(*key);
}

apps::shell_listener completed(apps::shell_listener listener) {
  if (!listener.text) {
    listener.text = [](std::string_view) {};
  }
  if (!listener.event) {
    listener.event = [](const apps::json&) {};
  }
  if (!listener.note) {
    listener.note = [](std::string_view) {};
  }
  return listener;
}

} // namespace

cluster_shell::cluster_shell(options given) : key_(key_in(given.key_file)) {
  apps::shell_target target;
  target.addresses = std::move(given.addresses);
  auto link = apps::shell_link::make(key_, std::move(target));
  if (!link) {
    throw std::runtime_error(link.error().message);
  }
  link_ = std::move(*link);
  apps::shell_patience patience;
  patience.deadline = given.deadline;
  client_ = std::make_unique<apps::shell_client>(*link_, patience, interrupted_);
  account_ = std::make_unique<apps::shell_account>(key_, given.clock);
  client_->use_account(*account_);
}

cluster_shell::~cluster_shell() = default;

apps::shell_outcome cluster_shell::call(const std::string& line,
                                        const apps::shell_listener& listener) {
  const auto words = apps::split_line(line);
  if (!words || words->size() != 1) {
    throw std::runtime_error("not one command: " + line);
  }
  auto command = apps::parse_command(words->front());
  if (!command) {
    throw std::runtime_error(command.error().message);
  }
  return call(std::string{command->spec->name}, command->args, listener);
}

apps::shell_outcome cluster_shell::call(const std::string& command, const apps::json& args,
                                        const apps::shell_listener& listener) {
  apps::shell_command sent{apps::find_command(command), args};
  if (sent.spec == nullptr) {
    throw std::runtime_error("no command " + command);
  }
  if (command == "run") {
    std::array<std::byte, 16> chance{};
    storage::make_env_posix()->random(chance);
    apps::complete_run(sent, chance);
  }
  return client_->call(sent, completed(listener));
}

apps::json cluster_shell::data(const std::string& line) {
  auto outcome = call(line);
  if (auto* const data = std::get_if<apps::json>(&outcome)) {
    return std::move(*data);
  }
  throw std::runtime_error(line + ": " + failure_text(outcome));
}

std::string failure_text(const apps::shell_outcome& outcome) {
  const auto* const failure = std::get_if<apps::shell_failure>(&outcome);
  return failure == nullptr ? std::string{} : failure->code + ": " + failure->message;
}

} // namespace ovir::test
