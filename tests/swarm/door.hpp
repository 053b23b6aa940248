#pragma once

#include "gateway/http/http_server.hpp"
#include "tests/swarm/world.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace ovir::swarm {

class host;

/// What a client sees of an answer. Called by events, in order; nothing after `over` or `lost`.
class http_client {
public:
  virtual ~http_client() = default;
  virtual void on_head(int status, const gateway::http_reply& head) = 0;
  virtual void on_piece(const std::string& bytes) = 0;
  virtual void on_end() = 0;
  virtual void on_lost() = 0; ///< the connection ended before the answer did
};

/// `gateway::http_server` without sockets: the application behind it is the node's own.
class door final : public gateway::http_server {
public:
  door(host& at, gateway::http_options how, gateway::http_handler& handler);
  ~door() override;
  door(const door&) = delete;
  door& operator=(const door&) = delete;

  std::string listen_address() const override { return how_.listen; }
  void post(std::function<void()> act) override;
  void post_long(std::function<void()> act) override;
  void drain() override { draining_ = true; }
  std::size_t connections() const override { return *under_way_; }

  /// A client's request arrives; its answer goes to `to` over a wire of `delay`. What is returned
  /// hangs up.
  [[nodiscard]] std::function<void()>
  take(gateway::http_request request, const std::shared_ptr<http_client>& to, nanoseconds delay);

private:
  class exchange;

  void tick();

  host& host_;
  std::uint64_t life_;
  gateway::http_options how_;
  gateway::http_handler& handler_;
  bool draining_{false};
  std::shared_ptr<std::size_t> under_way_{std::make_shared<std::size_t>(0)};
  std::shared_ptr<bool> alive_{std::make_shared<bool>(true)};
  std::vector<std::weak_ptr<exchange>> open_;
};

} // namespace ovir::swarm
