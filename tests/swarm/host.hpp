#pragma once

#include "gateway/http/http_server.hpp"
#include "messages/signing.hpp"
#include "node/machine.hpp"
#include "node/node.hpp"
#include "node/node_assembly_actor.hpp"
#include "tests/swarm/disk.hpp"
#include "tests/swarm/wires.hpp"
#include "tests/swarm/world.hpp"

#include <caf/scheduler/test_coordinator.hpp>

#include <array>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ovir::swarm {

/// What a machine's clocks say: both may drift, and the date may jump.
class host_clock {
public:
  [[nodiscard]] nanoseconds local(nanoseconds world) const {
    return base_ + (world - since_) + (world - since_) * drift_ppm_ / 1'000'000;
  }
  /// When `local` will be, in the world's time: never too early.
  [[nodiscard]] nanoseconds world_when(nanoseconds local) const {
    nanoseconds when = since_ + (local - base_) - (local - base_) * drift_ppm_ / 1'000'000;
    while (this->local(when) < local) {
      when += std::max((local - this->local(when)) / 2, nanoseconds{1});
    }
    return when;
  }
  void drift(nanoseconds world, std::int64_t ppm) {
    base_ = local(world);
    since_ = world;
    drift_ppm_ = ppm;
  }
  void skip(nanoseconds time) { base_ += time; }
  void jump_date(std::int64_t seconds) { date_offset_ += seconds; }
  [[nodiscard]] std::uint64_t unix_seconds(nanoseconds world) const {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(local(world)).count();
    return static_cast<std::uint64_t>(first_unix_seconds + seconds + date_offset_);
  }

  static constexpr std::int64_t first_unix_seconds = 1'700'000'000;

private:
  nanoseconds base_{std::chrono::hours{1}};
  nanoseconds since_{0};
  std::int64_t drift_ppm_{0};
  std::int64_t date_offset_{0};
};

/// How long what a machine computes takes.
struct host_speed {
  nanoseconds step{std::chrono::milliseconds{2}}; ///< whatever it computes; 0: `unit` counts
  /// For each of `units_counted`, give or take a third: a row through the model takes some 4 ms.
  nanoseconds unit{16};
  nanoseconds other{std::chrono::microseconds{100}};
  nanoseconds sync{std::chrono::microseconds{500}};
};

class host;

class door;

/// Where the HTTP requests of clients go, by address.
using http_doors = std::map<std::string, door*>;

/// A machine of the swarm: its disk and clocks, and the node that lives on it, life after life.
/// The node is the tree that `ovir node` starts; only sockets, disk, clocks and threads are others.
class host {
public:
  struct setting {
    std::size_t number{0};
    std::array<std::byte, 32> key_seed{};
    supervision::node_options options;
    supervision::model_loader load;
  };

  host(world& in, wires& at, http_doors& doors, setting how);
  ~host();
  host(const host&) = delete;
  host& operator=(const host&) = delete;

  /// Begins a life. An error is one of the node's start; the machine is then down.
  [[nodiscard]] result<void> start();
  /// Ends it at once.
  void crash(crash_kind kind);
  void freeze() { frozen_ = true; }
  void thaw();
  [[nodiscard]] bool is_up() const noexcept { return node_ != nullptr; }
  [[nodiscard]] bool is_frozen() const noexcept { return frozen_; }

  /// One turn of one of its actors, drawn among those that have a message. Precondition:
  /// `has_turn()`.
  void turn();
  [[nodiscard]] bool has_turn() const;
  /// Plans the next of its timers, where that is not planned already.
  void plan_timer();

  /// Runs `act` in this life, behind what came before: when it thaws, if it is frozen, and when its
  /// disk answers; never, if the life is over by then.
  void run_here(std::uint64_t life, std::function<void()> act);
  [[nodiscard]] std::uint64_t life() const noexcept { return life_; }
  /// The number of the host that runs something now; nothing: none does.
  [[nodiscard]] static std::optional<std::size_t> running() noexcept;

  [[nodiscard]] const setting& how() const noexcept { return how_; }
  [[nodiscard]] const node_id& id() const noexcept { return id_; }
  [[nodiscard]] disk& kept() noexcept { return disk_; }
  [[nodiscard]] host_clock& clock() noexcept { return clock_; }
  [[nodiscard]] host_speed& speed() noexcept { return speed_; }
  [[nodiscard]] supervision::node_assembly* node() noexcept { return node_.get(); }
  [[nodiscard]] world& in() noexcept { return world_; }
  [[nodiscard]] wires& at() noexcept { return wires_; }
  [[nodiscard]] http_doors& doors() noexcept { return doors_; }
  [[nodiscard]] disk_env& env() noexcept { return *env_; }
  /// Actors that outlived the end of their tree, over all lives: there should be none.
  [[nodiscard]] std::size_t actors_left() const noexcept { return actors_left_; }
  [[nodiscard]] std::uint64_t turns() const noexcept { return turns_; }
  /// For how long steps were computed in this life, where units count.
  [[nodiscard]] nanoseconds time_computed() const noexcept;
  /// Called whenever something happened here: it may have turns to take.
  std::function<void(host&)> touched;
  /// Lines of its log, for a run that is looked at.
  std::function<void(std::size_t number, std::string_view line)> says;

private:
  class host_machine;
  class host_log;
  friend class host_machine;

  void end_life();
  void run_all_turns();
  void catch_up();
  void run_now(const std::function<void()>& act);
  [[nodiscard]] caf::scheduler::test_coordinator& scheduler() const;

  world& world_;
  wires& wires_;
  http_doors& doors_;
  setting how_;
  secret_key key_;
  node_id id_;
  disk disk_;
  host_clock clock_;
  host_speed speed_;
  std::uint64_t life_{0};
  bool frozen_{false};
  nanoseconds busy_until_{0};                  ///< it waits for its disk
  bool wakes_{false};                          ///< an event at that time is planned
  std::deque<std::function<void()>> deferred_; ///< until it thaws, or has waited
  bool catches_up_{false};                     ///< an event for that is planned
  std::optional<nanoseconds> timer_at_;
  std::size_t actors_left_{0};
  std::uint64_t turns_{0};

  std::unique_ptr<disk_env> env_;
  std::unique_ptr<host_log> log_;
  std::unique_ptr<host_machine> machine_;
  class endpoint* endpoint_{nullptr};
  supervision::node_surroundings around_;
  std::unique_ptr<supervision::node_assembly> node_;
  caf::scheduler::test_coordinator* scheduler_{nullptr};
};

} // namespace ovir::swarm
