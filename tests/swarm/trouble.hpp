#pragma once

#include "tests/swarm/host.hpp"
#include "tests/swarm/plan.hpp"
#include "tests/swarm/wires.hpp"
#include "tests/swarm/world.hpp"

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <vector>

namespace ovir::swarm {

/// Does what a plan's faults say, and undoes it.
class trouble {
public:
  using hosts = std::vector<std::unique_ptr<host>>;
  /// All outlive it, and the faults it is given. `start` begins a life of a node that is down.
  trouble(world& in, wires& at, hosts& all, std::function<void(std::size_t)> start)
      : world_(in), wires_(at), hosts_(all), start_(std::move(start)) {}

  void begin(const fault& f);
  /// Undoes everything; what was to be undone later is not, and nothing begins any more.
  void mend();
  /// A keeper was taken back behind entries that it had written.
  [[nodiscard]] bool forgot() const noexcept { return forgot_; }

private:
  using pairs = std::function<bool(std::size_t from, std::size_t to)>;

  void later(nanoseconds delay, std::function<void()> undo);
  void crash(const fault& f, crash_kind kind);
  void fork(const fault& f);
  void cut(const fault& f, pairs which);
  void set_cut(const pairs& which, bool cut);
  void move_away(const fault& f);
  void disturb_wires(const fault& f);
  void disturb_disk(const fault& f);
  void disturb_node(const fault& f);

  world& world_;
  wires& wires_;
  hosts& hosts_;
  std::function<void(std::size_t)> start_;
  bool forgot_{false};
  std::map<std::size_t, std::uint64_t> draining_; ///< hosts, with the life that drains
  bool over_{false};
};

} // namespace ovir::swarm
