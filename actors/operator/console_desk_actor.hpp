#pragma once

#include "actors/link/network.hpp"
#include "gateway/console/cluster_view.hpp"

#include <caf/actor.hpp>
#include <caf/allowed_unsafe_message_type.hpp>

#include <functional>
#include <limits>
#include <mutex>
#include <string>

namespace ovir::actors {

/// To the admin actor: answer this as to a shell that may look. `answer` is called on its thread.
struct console_look {
  std::string command;
  nlohmann::json args;
  std::function<void(nlohmann::json reply)> answer;
};

/// The connection that the console's questions seem to come from; no network gives this name.
inline constexpr connection_id console_connection{std::numeric_limits<std::uint64_t>::max()};

/// Brings the console's questions to the admin actor, and its answers to the server's thread.
/// Thread-safe; outlives both.
class console_desk final : public gateway::cluster_view {
public:
  using poster = std::function<void(std::function<void()>)>;

  /// Where answers are run; null: nowhere any more.
  void use(poster post);
  /// The actor that answers, as it is now.
  void use(caf::actor admin);

  void look(const std::string& command, nlohmann::json args, answer done) override;

private:
  void deliver(std::function<void()> act);

  std::mutex guard_;
  caf::actor admin_;
  poster post_;
};

} // namespace ovir::actors

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::console_look)
