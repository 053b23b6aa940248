#pragma once

#include "actors/group/group_desk.hpp"
#include "actors/group/group_plan.hpp"
#include "actors/members/member_table.hpp"
#include "actors/path/model_catalog.hpp"
#include "actors/runtime/compute_executor.hpp"
#include "compute/forward/segment.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace ovir::actors {

/// Whom a node leads.
struct group_wish {
  std::vector<node_id> named; ///< all of these that hold the layers
  bool chooses{false};        ///< of those it may choose, where a group pays
};

/// The groups that this node leads: one for each part of a model that it holds, as far as others
/// hold it, too. It is told who is there, forms, and has a segment of a group that is formed for
/// the stage host. A group that is lost is formed again, with those that are left, after a pause;
/// one of more nodes is formed when named ones come. One that computed something else is not.
/// Thread-safe; outlives the executor's jobs.
class group_keeper {
public:
  using time_point = std::chrono::steady_clock::time_point;
  /// A segment of a group, and the weights that it uses.
  struct grouped_segment {
    std::unique_ptr<compute::segment> segment;
    model_catalog::entry keeps;
    std::size_t members{0};
  };
  struct surroundings {
    node_id self;
    group_desk* desk{nullptr}; ///< all of these outlive the keeper
    compute_executor* executor{nullptr};
    const model_catalog* models{nullptr};
    std::function<bool(const node_id&)> linked;
    std::function<bool(const node_id&)> may_choose; ///< such as a node of the same operator
    std::function<std::uint64_t()> draw;            ///< numbers of groups
    std::function<void(const std::string&)> log;
    group_wish wants;
  };

  explicit group_keeper(surroundings around);

  /// Who is there now. About four times a second.
  void look(std::span<const member> members, time_point now);
  /// The segment of a group of exactly these layers, once for each group that is formed.
  [[nodiscard]] std::optional<grouped_segment> take(const digest& model, layer_range layers);

  [[nodiscard]] const part_shelf& parts() const noexcept { return around_.desk->parts(); }

  struct load {
    std::size_t joined{0};  ///< groups that others lead
    std::uint64_t bytes{0}; ///< promised to them
  };
  [[nodiscard]] load count() const;

private:
  enum class phase : std::uint8_t { none, forming, making, ready, failed };
  using place = std::pair<digest, layer_index>; ///< a part of a model, by its first layer
  struct formed_group {
    std::uint64_t number{0}; ///< 0: there is none
    std::size_t members{0};
  };
  struct led_group {
    model_catalog::entry model;
    formed_group used; ///< by a stage
    bool lost{false};  ///< the one that is used
    bool lied{false};  ///< one did not compute what this node computes: there is none any more
    phase at{phase::none};
    formed_group next;                         ///< forming, or ready to be used
    std::unique_ptr<compute::segment> segment; ///< of the next, when it is ready
    time_point since{};                        ///< when the model was first looked at
    time_point due{};                          ///< when members are looked for again
    std::chrono::milliseconds pause{};         ///< after the next loss
    std::string told;                          ///< why there is none
  };
  /// What is to be done once the lock is let go: callbacks come at any time.
  struct plan {
    place where;
    std::vector<std::uint64_t> ended;
    std::unique_ptr<compute::segment> dropped;
    std::optional<group_order> order;
    std::uint64_t group{0};
  };

  void consider(const place& where, led_group& led, std::span<const member> members, time_point now,
                std::vector<plan>& plans);
  void end_lost(led_group& led, time_point now, plan& next);
  [[nodiscard]] std::optional<group_order>
  order_for(led_group& led, std::span<const member> members, time_point now);
  [[nodiscard]] std::vector<const member*> able(const led_group& led,
                                                std::span<const member> members) const;
  [[nodiscard]] group_question question_for(const led_group& led,
                                            std::span<const member* const> others,
                                            std::span<const member> members) const;
  void tell(led_group& led, const std::string& why);
  void form(plan& next);
  void formed(const place& where, std::uint64_t group, const result<void>& outcome);
  void make(const place& where, std::uint64_t group, compute::parallel_runner& runner);
  void lost(const place& where, std::uint64_t group, const error& why);
  [[nodiscard]] led_group* next_of(const place& where, std::uint64_t group);

  const surroundings around_;
  mutable std::mutex guard_;
  std::map<place, led_group> led_;
  /// Of this node by itself: what it measures while it leads is of the group.
  double decode_alone_{0};
  double prefill_alone_{0};
};

} // namespace ovir::actors
