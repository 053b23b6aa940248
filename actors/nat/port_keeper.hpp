#pragma once

#include "actors/nat/port_lease.hpp"

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

namespace ovir::actors {

/// Keeps a port mapped, on a thread of its own, and takes the mapping back at its end.
class port_keeper {
public:
  /// Called on that thread: where the port is mapped, if it is, and what was found, for people.
  using news = std::function<void(const std::optional<std::string>&, const std::string&)>;

  port_keeper(std::unique_ptr<router> by, std::uint16_t port, news changed);
  ~port_keeper();
  port_keeper(const port_keeper&) = delete;
  port_keeper& operator=(const port_keeper&) = delete;

private:
  void keep();

  std::unique_ptr<router> router_;
  const std::uint16_t port_;
  news changed_;
  std::mutex guard_; ///< for what follows
  std::condition_variable woken_;
  bool over_{false};
  std::thread thread_;
};

} // namespace ovir::actors
