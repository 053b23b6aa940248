#include "actors/protocol/remote_actor.hpp"

#include "messages/caf/errors.hpp"
#include "messages/check.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <limits>
#include <mutex>
#include <utility>

namespace ovir::actors {

namespace {

class proxy : public caf::monitorable_actor {
public:
  proxy(caf::actor_config& config, outbox& out) : monitorable_actor(config), out_(out) {}

  void enqueue(caf::mailbox_element_ptr what, caf::execution_unit*) final {
    caf::message content = what->move_content_to_message();
    take(content);
  }
  void end(const error& reason) { cleanup(to_caf(reason), nullptr); }

protected:
  virtual void take(caf::message& content) = 0;

  template <class T>
  [[nodiscard]] static const T* as(const caf::message& content) {
    return content.match_elements<T>() ? &content.get_as<T>(0) : nullptr;
  }

  outbox& out_;
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

  void open(const open_session& m) {
    wire_open order;
    {
      const std::lock_guard lock{guard_};
      order.next = what_.next;
      order.previous = what_.previous;
    }
    order.model = what_.model;
    order.layers = what_.layers;
    order.positions = m.positions;
    order.keep = m.keep;
    order.answers = m.answers;
    order.signs = m.signs;
    order.traces = m.traces;
    if (m.log != nullptr) {
      order.log = *m.log;
    }
    if (m.prefixes) {
      order.reuse = wire_reuse{m.reuse_windows, *m.prefixes, m.explain};
    }
    tell(m.driver, std::move(order));
  }

  void take(caf::message& content) override {
    if (const auto* frame = as<tensor_frame>(content)) {
      out_.send_frame(what_.node, what_.layers.first, frame->bytes);
    } else if (const auto* open_order = as<open_session>(content)) {
      open(*open_order);
    } else if (const auto* replay = as<replay_boundaries>(content)) {
      tell(replay->driver, wire_replay{replay->first, replay->count, replay->logit_rows});
    } else if (const auto* resend = as<resend_logits>(content)) {
      tell(resend->driver, wire_resend{resend->at});
    } else if (const auto* finish = as<finish_session>(content)) {
      tell(finish->driver, wire_finish{finish->at});
    } else if (as<close_session>(content) != nullptr) {
      tell({}, wire_close{});
    } else if (const auto* drawn = as<log_token>(content)) {
      tell(drawn->driver, wire_drawn{drawn->index, drawn->drawn});
    } else if (const auto* sign = as<sign_evidence>(content)) {
      tell(sign->driver, wire_sign{sign->order});
    } else if (const auto* names = as<name_windows>(content)) {
      tell(names->driver, wire_names{names->first, names->prefixes});
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
  void tell(epoch driver, wire_body body) {
    out_.send_wire(node_, {request_, driver, stage_, std::move(body)});
  }

  void take(caf::message& content) override {
    if (const auto* frame = as<tensor_frame>(content)) {
      out_.send_frame(node_, frame_to_lead, frame->bytes);
    } else if (const auto* opened = as<session_opened>(content)) {
      tell(opened->driver, wire_opened{opened->length, opened->leaves, opened->replays_from,
                                       opened->reused, opened->told});
    } else if (const auto* step = as<step_done>(content)) {
      const auto us = std::chrono::duration_cast<std::chrono::microseconds>(step->computed).count();
      constexpr std::int64_t most = std::numeric_limits<std::uint32_t>::max();
      tell(step->driver,
           wire_step{step->length, step->units, step->leaves,
                     static_cast<std::uint32_t>(std::clamp<std::int64_t>(us, 0, most))});
    } else if (const auto* done = as<session_finished>(content)) {
      tell(done->driver, wire_finished{done->length, done->units, done->kv_bytes, done->leaves});
    } else if (const auto* failed = as<stage_failed>(content)) {
      tell(failed->driver, wire_failed{failed->reason});
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
    if (const auto* frame = as<tensor_frame>(content)) {
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
  if (auto* const ended = dynamic_cast<proxy*>(caf::actor_cast<caf::abstract_actor*>(target))) {
    ended->end(reason);
  }
}

} // namespace ovir::actors
