#pragma once

#include <functional>
#include <mutex>
#include <utility>

namespace ovir::supervision {

/// The way to an HTTP server's thread for answers that may come when the server is gone: then they
/// are dropped. Thread-safe.
class server_gate {
public:
  using poster = std::function<void(std::function<void()>)>;

  void open(poster post) {
    const std::lock_guard lock{guard_};
    post_ = std::move(post);
  }
  void close() { open(nullptr); }
  void post(std::function<void()> act) {
    const std::lock_guard lock{guard_};
    if (post_) {
      post_(std::move(act));
    }
  }

private:
  std::mutex guard_;
  poster post_;
};

} // namespace ovir::supervision
