#pragma once

#include "actors/group/group_leader.hpp"
#include "actors/group/group_member.hpp"
#include "compute/forward/segment.hpp"
#include "tests/unit/actors/group/memory_network.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

namespace ovir::test {

/// A group whose members sign, each on a thread and with weights of its own; the leader's segment
/// is the test's.
class signed_group {
public:
  struct member {
    const compute::model* weights;
    const secret_key* key;
  };

  /// `whole`: the leader has all weights as well. `quiet`: of a member that does not sign; else 0.
  signed_group(std::vector<member> members, compute::part_group group, actors::part_shelf& shelf,
               std::uint64_t number, bool whole = false, std::uint32_t quiet = 0)
      : network_(members.size()), members_(std::move(members)), group_(std::move(group)),
        number_(number), quiet_(quiet) {
    using namespace compute;
    for (std::uint32_t i = 1; i < members_.size(); ++i) {
      threads_.emplace_back([this, i] { serve(i); });
    }
    const model& m = *members_.front().weights;
    std::unique_ptr<segment_part> alone;
    if (whole) {
      const std::vector<std::uint32_t> one{1};
      const auto all = cut_segment(m, group_.cut.layers, one).value();
      alone = segment_part::make(m, all, 0, kernels_reference(), runner_).value();
    }
    auto engine = std::make_unique<actors::group_leader>(
        seat_of(0), segment_part::make(m, group_.cut, 0, kernels_reference(), runner_).value(),
        std::move(alone), std::make_shared<memory_links>(network_, 0));
    engine->sign_parts(*members_.front().key, group_, shelf);
    leader_ = engine.get();
    segment_ =
        segment::make_with(m, group_.cut.layers, kernels_reference(), std::move(engine)).value();
  }
  ~signed_group() {
    segment_.reset();
    network_.leave(0, true);
    for (std::thread& t : threads_) {
      t.join();
    }
  }
  signed_group(const signed_group&) = delete;
  signed_group& operator=(const signed_group&) = delete;

  [[nodiscard]] compute::segment& get() { return *segment_; }
  [[nodiscard]] const actors::group_leader& leader() const { return *leader_; }
  [[nodiscard]] memory_network& network() { return network_; }

private:
  [[nodiscard]] actors::group_seat seat_of(std::uint32_t self) const {
    using namespace std::chrono_literals;
    return {number_, self, self == 0 ? 250ms : 500ms};
  }
  void serve(std::uint32_t i) {
    using namespace std::chrono_literals;
    compute::serial_runner runner;
    memory_links links{network_, i};
    auto part = compute::segment_part::make(*members_[i].weights, group_.cut, i,
                                            compute::kernels_reference(), runner)
                    .value();
    actors::group_member member{seat_of(i), std::move(part), links, 1U << 24U};
    if (i != quiet_) {
      member.sign_parts(actors::signing_by(*members_[i].key, group_));
    }
    bool seen = true;
    for (;;) {
      const auto served = member.serve(links.now() + 1h, runner);
      if (!served || *served != actors::group_member::served::order) {
        seen = !served;
        break;
      }
    }
    network_.leave(i, seen);
  }

  memory_network network_;
  compute::serial_runner runner_;
  std::vector<member> members_;
  compute::part_group group_;
  std::uint64_t number_;
  std::uint32_t quiet_;
  actors::group_leader* leader_{nullptr};
  std::unique_ptr<compute::segment> segment_;
  std::vector<std::thread> threads_;
};

} // namespace ovir::test
