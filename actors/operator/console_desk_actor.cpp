#include "actors/operator/console_desk_actor.hpp"

#include <caf/send.hpp>

#include <memory>
#include <utility>

namespace ovir::actors {

namespace {

nlohmann::json nobody_there() {
  return {{"ok", false},
          {"error", {{"code", "busy"}, {"message", "the node is being started; try again"}}}};
}

/// A question is answered once, also when whoever was asked crashes and forgets it.
struct question {
  std::function<void(nlohmann::json)> give;
  bool answered{false};

  explicit question(std::function<void(nlohmann::json)> how) : give(std::move(how)) {}
  question(const question&) = delete;
  question& operator=(const question&) = delete;
  ~question() {
    if (!answered) {
      give(nobody_there());
    }
  }
};

} // namespace

void console_desk::use(poster post) {
  const std::lock_guard lock{guard_};
  post_ = std::move(post);
}

void console_desk::use(caf::actor admin) {
  const std::lock_guard lock{guard_};
  admin_ = std::move(admin);
}

void console_desk::deliver(std::function<void()> act) {
  const std::lock_guard lock{guard_};
  if (post_) {
    post_(std::move(act));
  }
}

void console_desk::look(const std::string& command, nlohmann::json args, answer done) {
  caf::actor admin;
  {
    const std::lock_guard lock{guard_};
    admin = admin_;
  }
  const auto asked =
      std::make_shared<question>([this, done = std::move(done)](nlohmann::json reply) {
        deliver([done, reply = std::move(reply)] { done(reply); });
      });
  if (!admin) {
    return;
  }
  caf::anon_send(admin, console_look{command, std::move(args), [asked](nlohmann::json reply) {
                                       asked->answered = true;
                                       asked->give(std::move(reply));
                                     }});
}

} // namespace ovir::actors
