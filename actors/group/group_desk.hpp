#pragma once

#include "actors/group/group_links.hpp"
#include "actors/group/group_member.hpp"
#include "actors/group/group_order.hpp"
#include "actors/group/part_shelf.hpp"
#include "actors/group/seat_links.hpp"
#include "actors/runtime/compute_executor.hpp"
#include "compute/forward/layer_engine.hpp"
#include "compute/kernels/kernels.hpp"
#include "compute/model/model.hpp"
#include "messages/digest.hpp"
#include "messages/ids.hpp"
#include "messages/limits/parts.hpp"
#include "messages/node_id.hpp"
#include "messages/result.hpp"
#include "messages/signing.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>

namespace ovir::actors {

/// The groups of a node: forms those that it leads, joins those that others lead, and brings what
/// the links bring to the member that it is for. Members compute on the node's executor, which
/// waits there for others of the group. Thread-safe; outlives the executor's jobs.
class group_desk {
public:
  /// Weights of a segment, checked, and what keeps them.
  struct held_weights {
    std::shared_ptr<const void> keeps;
    const compute::model* weights{nullptr};
    const compute::kernel_set* kernels{nullptr};
  };
  struct surroundings {
    node_id self;
    seat_links::sender send;             ///< over the link to a node; lost without one
    compute_executor* executor{nullptr}; ///< outlives the desk
    /// Null weights: the layers are not held here.
    std::function<held_weights(const digest& model, layer_range layers)> find;
    std::function<void(const std::string&)> log;       ///< a sentence
    std::function<bool(const node_id& leader)> allows; ///< whose groups this node joins
    std::size_t kv_bytes_max{0};                       ///< of all groups that others lead
    std::chrono::nanoseconds patience{};               ///< of a leader; members have twice as much
    /// Passes that a leader computes alone as well (`group_leader`). May be empty: none.
    std::function<bool(std::uint64_t pass)> checks{};
    std::chrono::nanoseconds busy_read{0}; ///< as of `seat_links`
    /// By which this node signs what its groups compute; null: nothing is signed, here and by those
    /// it forms groups with. Outlives the desk.
    const secret_key* key{nullptr};
  };

  explicit group_desk(surroundings around);
  ~group_desk();
  group_desk(const group_desk&) = delete;
  group_desk& operator=(const group_desk&) = delete;

  /// Forms a group that this node leads under a number that no group had: tells the members, and
  /// calls `done` once all have agreed or one has not, on any thread; who waits no longer ends it.
  /// `invalid_argument` where this node does not lead the order, `busy` where the number is taken
  /// or the node is in another's group: two that wait for each other would wait in vain.
  [[nodiscard]] result<void> form(std::uint64_t group, group_order order,
                                  std::function<void(result<void>)> done);
  /// The engine of a group that is formed: once. It has all weights of the segment for when a
  /// member is gone, and keeps them. `lost` is called, by a thread that computes, when the group is
  /// no more. `not_found`, or why the leader's part cannot be made. Reads weights; not for actors.
  [[nodiscard]] result<std::unique_ptr<compute::layer_engine>>
  engine(std::uint64_t group, compute::parallel_runner& runner,
         std::function<void(const error&)> lost = {});

  /// A group that this node leads is no more, formed or not; its engine, if there is one, finds
  /// that out in its next pass. Its engine's end does the same.
  void end(std::uint64_t group);
  [[nodiscard]] bool leads(std::uint64_t group) const;

  // From the network, on its threads.
  void deliver(const node_id& from, group_links::bytes message);
  void link_lost(const node_id& node);
  /// There is no network any more: nothing waits for others.
  void close();

  struct counters {
    std::size_t led{0};
    std::size_t joined{0};
    std::uint64_t dropped{0}; ///< messages of no group
  };
  [[nodiscard]] counters count() const;
  /// What members signed of the groups that this node led.
  [[nodiscard]] const part_shelf& parts() const noexcept { return shelf_; }
  /// Promised to the groups of others.
  [[nodiscard]] std::size_t kv_bytes_promised() const;

private:
  struct led_group {
    group_order order;
    std::shared_ptr<seat_links> links;
    std::set<std::uint32_t> awaited; ///< members that have not answered
    std::function<void(result<void>)> done;
  };
  struct joined_group {
    std::shared_ptr<seat_links> links;
    std::uint32_t self{0};
    node_id leader;
    std::unique_ptr<group_member> member; ///< null while its part is made; its job's alone
    held_weights weights;
    bool busy{false}; ///< a job of it is posted or runs
  };

  void join(const node_id& leader, const group_view& view);
  void make_member(std::uint64_t group, const group_order& order, compute::parallel_runner& runner);
  void wake(std::uint64_t group, joined_group& joined);
  void serve(std::uint64_t group, compute::parallel_runner& runner);
  void answer(const node_id& leader, std::uint64_t group, std::uint32_t self,
              const std::string& refused);
  void take_answer(const node_id& from, const group_view& view);
  [[nodiscard]] result<void> check_join(const node_id& leader, const group_view& view,
                                        const group_order& order) const;
  void leave(std::uint64_t group, const std::string& why);
  void part_from(const group_order& order, std::uint64_t group) const;

  const surroundings around_;
  part_shelf shelf_{limits::part_shelf_bytes_max};
  mutable std::mutex guard_;
  std::map<std::uint64_t, led_group> led_;
  std::map<std::uint64_t, std::shared_ptr<joined_group>> joined_;
  std::uint64_t dropped_{0};
};

} // namespace ovir::actors
