#include "tests/swarm/door.hpp"

#include "messages/limits/gateway.hpp"
#include "tests/swarm/host.hpp"

#include <algorithm>
#include <utility>

namespace ovir::swarm {

/// One request and its answer, at the server's side.
class door::exchange final : public gateway::http_exchange {
public:
  exchange(host& at, std::shared_ptr<http_client> to, nanoseconds delay,
           std::shared_ptr<std::size_t> under_way)
      : host_(at), to_(std::move(to)), delay_(delay), under_way_(std::move(under_way)) {
    ++*under_way_;
  }
  ~exchange() override { lose(); }
  exchange(const exchange&) = delete;
  exchange& operator=(const exchange&) = delete;

  void reply(gateway::http_reply answer) override {
    const auto whole = std::make_shared<gateway::http_reply>(std::move(answer));
    tell([whole](http_client& c) {
      c.on_head(whole->status, *whole);
      c.on_piece(whole->body);
      c.on_end();
    });
    end();
  }
  void begin_stream(gateway::http_reply head) override {
    const auto whole = std::make_shared<gateway::http_reply>(std::move(head));
    tell([whole](http_client& c) { c.on_head(whole->status, *whole); });
  }
  void send(std::string piece) override {
    if (host_.in().planted == plant::token_twice && piece.starts_with("id: ")) {
      tell([piece](http_client& c) { c.on_piece(piece); });
    }
    tell([piece = std::move(piece)](http_client& c) { c.on_piece(piece); });
  }
  void end_stream() override {
    tell([](http_client& c) { c.on_end(); });
    end();
  }
  void when_gone(std::function<void()> gone) override { gone_ = std::move(gone); }

  /// The client has hung up.
  void hang_up() {
    if (!over_) {
      to_.reset();
      const auto gone = std::exchange(gone_, {});
      end();
      if (gone) {
        gone();
      }
    }
  }
  /// The server is gone.
  void lose() {
    if (!over_) {
      tell([](http_client& c) { c.on_lost(); });
      end();
    }
  }

private:
  void tell(std::function<void(http_client&)> what) {
    if (!to_ || over_) {
      return;
    }
    last_ = std::max(last_, host_.in().now() + delay_);
    host_.in().at(last_, [to = to_, what = std::move(what)] { what(*to); });
  }
  void end() {
    if (!std::exchange(over_, true)) {
      --*under_way_;
    }
  }

  host& host_;
  std::shared_ptr<http_client> to_;
  nanoseconds delay_;
  nanoseconds last_{0};
  std::shared_ptr<std::size_t> under_way_;
  std::function<void()> gone_;
  bool over_{false};
};

door::door(host& at, gateway::http_options how, gateway::http_handler& handler)
    : host_(at), life_(at.life()), how_(std::move(how)), handler_(handler) {
  host_.doors()[how_.listen] = this;
  tick();
}

door::~door() {
  *alive_ = false;
  std::erase_if(host_.doors(), [this](const auto& one) { return one.second == this; });
  for (const auto& one : open_) {
    if (const auto e = one.lock()) {
      e->lose();
    }
  }
}

void door::tick() {
  host_.in().in(limits::http_tick, [this, alive = alive_] {
    if (*alive) {
      host_.run_here(life_, [this, alive] {
        if (*alive) {
          handler_.tick();
          std::erase_if(open_, [](const auto& one) { return one.expired(); });
        }
      });
      tick();
    }
  });
}

void door::post(std::function<void()> act) {
  host_.in().in(nanoseconds{0}, [this, alive = alive_, act = std::move(act)] {
    if (*alive) {
      host_.run_here(life_, [alive, act] {
        if (*alive) {
          act();
        }
      });
    }
  });
}

void door::post_long(std::function<void()> act) {
  host_.in().in(host_.speed().other, [this, alive = alive_, act = std::move(act)] {
    if (*alive) {
      host_.run_here(life_, [alive, act] {
        if (*alive) {
          act();
        }
      });
    }
  });
}

std::function<void()> door::take(gateway::http_request request,
                                 const std::shared_ptr<http_client>& to, nanoseconds delay) {
  const auto one = std::make_shared<exchange>(host_, to, delay, under_way_);
  open_.push_back(one);
  host_.run_here(life_, [this, alive = alive_, one, request = std::move(request)]() mutable {
    if (!*alive) {
      return;
    }
    if (const auto why = gateway::refuse_caller(how_.callers, request)) {
      return one->reply(handler_.refuse_malformed(403, *why));
    }
    if (draining_) {
      return one->reply(handler_.refuse_malformed(503, "this node is leaving"));
    }
    if (host_.in().planted == plant::deaf_cancel && request.method == "DELETE") {
      return one->reply({});
    }
    if (auto refused = handler_.refuse_early(request)) {
      return one->reply(std::move(*refused));
    }
    handler_.serve(std::move(request), one);
  });
  return [this, alive = alive_, weak = std::weak_ptr{one}] {
    if (const auto e = weak.lock(); e && *alive) {
      host_.run_here(life_, [e] { e->hang_up(); });
    }
  };
}

} // namespace ovir::swarm
