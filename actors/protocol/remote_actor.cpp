#include "actors/protocol/remote_actor.hpp"

#include "messages/caf/errors.hpp"
#include "messages/check.hpp"

#include <caf/all.hpp>

#include <atomic>
#include <mutex>
#include <optional>
#include <type_traits>
#include <utility>

namespace ovir::actors {

namespace {

class proxy : public caf::monitorable_actor {
public:
  proxy(caf::actor_config& config, outbox& out) : monitorable_actor(config), out_(out) {}

  void enqueue(caf::mailbox_element_ptr what, caf::execution_unit*) final {
    caf::message content = what->move_content_to_message();
    if (!ended_) {
      take(content);
    }
  }
  /// Nothing goes out any more: an order that came after its stage was closed would open it again.
  void end(const error& reason) {
    ended_ = true;
    cleanup(to_caf(reason), nullptr);
  }

protected:
  virtual void take(caf::message& content) = 0;

  template <class T>
  [[nodiscard]] static std::optional<T> as(caf::message& content) {
    return content.match_elements<T>() ? std::optional{content.move_if_unshared<T>(0)}
                                       : std::nullopt;
  }
  /// Calls `tell` with the epoch and the body if the content is one of these bodies in an `Around`.
  template <template <class> class Around, class... Bodies, class Tell>
  static void hand_on(caf::message& content, message_list<Bodies...>, const Tell& tell) {
    const auto one = [&]<class Body>(std::type_identity<Body>) {
      auto said = as<Around<Body>>(content);
      if (said) {
        tell(said->driver, static_cast<Body&&>(*said));
      }
      return said.has_value();
    };
    (void)(one(std::type_identity<Bodies>{}) || ...);
  }

  outbox& out_;

private:
  std::atomic<bool> ended_{false};
};

class stage_proxy final : public proxy {
public:
  stage_proxy(caf::actor_config& config, outbox& out, remote_stage what)
      : proxy(config, out), what_(std::move(what)) {}

  void reroute(const node_id& previous, const next_hop& next) {
    const std::lock_guard lock{guard_};
    what_.previous = previous;
    what_.next = next;
  }

private:
  void tell(epoch driver, wire_body body) {
    out_.send_wire(what_.node, {what_.request, driver, what_.layers.first, std::move(body)});
  }

  [[nodiscard]] wire_open open(session_order order) {
    const std::lock_guard lock{guard_};
    return {std::move(order), what_.model, what_.layers, what_.next, what_.previous};
  }

  void take(caf::message& content) override {
    if (const auto frame = as<tensor_frame>(content)) {
      out_.send_frame(what_.node, what_.layers.first, frame->bytes);
    } else if (auto order = as<open_session>(content)) {
      tell(order->driver, open(std::move(*order)));
    } else {
      hand_on<to_stage>(content, stage_orders{},
                        [this](epoch driver, wire_body body) { tell(driver, std::move(body)); });
    }
  }

  std::mutex guard_;
  remote_stage what_; // previous and next under the guard; the rest never changes
};

class lead_proxy final : public proxy {
public:
  lead_proxy(caf::actor_config& config, outbox& out, node_id node, request_id request,
             layer_index stage)
      : proxy(config, out), node_(node), request_(request), stage_(stage) {}

private:
  void take(caf::message& content) override {
    if (const auto frame = as<tensor_frame>(content)) {
      out_.send_frame(node_, frame_to_lead, frame->bytes);
    } else {
      hand_on<from_stage>(content, stage_news{}, [this](epoch driver, wire_body body) {
        out_.send_wire(node_, {request_, driver, stage_, std::move(body)});
      });
    }
  }

  node_id node_;
  request_id request_;
  layer_index stage_;
};

class sink_proxy final : public proxy {
public:
  sink_proxy(caf::actor_config& config, outbox& out, node_id node, layer_index stage)
      : proxy(config, out), node_(node), stage_(stage) {}

private:
  void take(caf::message& content) override {
    if (const auto frame = as<tensor_frame>(content)) {
      out_.send_frame(node_, stage_, frame->bytes);
    }
  }

  node_id node_;
  layer_index stage_;
};

template <class Proxy, class... Args>
caf::strong_actor_ptr make(caf::actor_system& system, Args&&... args) {
  caf::actor_config config{system.dummy_execution_unit()};
  return caf::make_actor<Proxy, caf::strong_actor_ptr>(
      system.next_actor_id(), system.node(), &system, config, std::forward<Args>(args)...);
}

} // namespace

shard_actor make_remote_stage(caf::actor_system& system, outbox& out, remote_stage what) {
  return caf::actor_cast<shard_actor>(make<stage_proxy>(system, out, std::move(what)));
}

void reroute(const shard_actor& stage, const node_id& previous, const next_hop& next) {
  auto* const target = dynamic_cast<stage_proxy*>(caf::actor_cast<caf::abstract_actor*>(stage));
  OVIR_CHECK(target != nullptr);
  target->reroute(previous, next);
}

lead_actor make_remote_lead(caf::actor_system& system, outbox& out, node_id node,
                            request_id request, layer_index stage) {
  return caf::actor_cast<lead_actor>(make<lead_proxy>(system, out, node, request, stage));
}

frame_sink make_remote_sink(caf::actor_system& system, outbox& out, node_id node,
                            layer_index stage) {
  return caf::actor_cast<frame_sink>(make<sink_proxy>(system, out, node, stage));
}

void end_proxy(const caf::actor& target, const error& reason) {
  auto* const there = target ? caf::actor_cast<caf::abstract_actor*>(target) : nullptr;
  if (auto* const ended = dynamic_cast<proxy*>(there)) {
    ended->end(reason);
  }
}

} // namespace ovir::actors
