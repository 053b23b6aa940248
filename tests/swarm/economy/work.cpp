#include "tests/swarm/economy/work.hpp"

#include "actors/payment/payment_core.hpp"
#include "compute/forward/segment.hpp"
#include "messages/limits/general.hpp"
#include "tests/swarm/host.hpp"
#include "tests/swarm/liars/lying.hpp"

#include <deque>
#include <span>
#include <utility>
#include <vector>

// The names that compilers write.
#define OVIR_FORWARD_ONE                                                                           \
  "_ZN4ovir7compute7segment7forwardERNS0_13segment_stateERKNS0_10step_inputERNS0_15parallel_"      \
  "runnerERNS0_11step_outputE"
#define OVIR_NEXT "_ZNK4ovir6actors12payment_core4nextERKSt3setINS_7node_idESt4lessIS3_ESaIS3_EE"

using ovir::actors::payment_core;
using ovir::compute::parallel_runner;
using ovir::compute::segment;
using ovir::compute::segment_state;
using ovir::compute::step_input;
using ovir::compute::step_output;
using maybe_command = std::optional<ovir::ledger::command>;

ovir::result<void> real_forward_one(segment* self, segment_state& state, const step_input& in,
                                    parallel_runner& runner,
                                    step_output& out) __asm__("__real_" OVIR_FORWARD_ONE);
ovir::result<void> counted_forward_one(segment* self, segment_state& state, const step_input& in,
                                       parallel_runner& runner,
                                       step_output& out) __asm__("__wrap_" OVIR_FORWARD_ONE);
maybe_command real_next(const payment_core* self,
                        const std::set<ovir::node_id>& ejected) __asm__("__real_" OVIR_NEXT);
maybe_command chosen_next(const payment_core* self,
                          const std::set<ovir::node_id>& ejected) __asm__("__wrap_" OVIR_NEXT);

namespace ovir::swarm {

namespace {

class market_work {
public:
  explicit market_work(cheating how) : how_(std::move(how)) {}

  void pass(segment& s, std::span<compute::session_step> steps, const std::function<void()>& real) {
    const std::size_t who = host::running().value_or(0);
    std::deque<std::vector<float>> rows; // what steps point into until the pass is over
    for (compute::session_step& step : steps) {
      if (step.in.first == 0) {
        sessions_[step.state] = ++session_;
      }
      const std::uint64_t session = sessions_[step.state];
      std::vector<float>* changed = nullptr;
      for (std::uint32_t r = 0; r < step.in.count; ++r) {
        const std::uint32_t window = (step.in.first + r) / limits::window_positions;
        const bool made_up =
            !step.in.boundary.empty() && how_.makes_up && how_.makes_up(who, session, window);
        (made_up ? done_[who].made_up : done_[who].computed) += s.layers().size();
        if (!made_up) {
          continue;
        }
        if (changed == nullptr) {
          changed = &rows.emplace_back(step.in.boundary.begin(), step.in.boundary.end());
          step.in.boundary = *changed;
        }
        (*changed)[std::size_t{r} * s.config().dim] += 0.5F;
      }
    }
    real();
  }

  void count(const segment& s, std::uint32_t rows) {
    done_[host::running().value_or(0)].computed += std::uint64_t{rows} * s.layers().size();
  }

  [[nodiscard]] maybe_command pays(const payment_core& of, maybe_command right) const {
    const auto who = host::running();
    return how_.pays && who && how_.schedulers.contains(*who)
               ? how_.pays(std::move(right), of.ended(), of.escrow())
               : right;
  }

  [[nodiscard]] bool lies_here() const {
    const auto who = host::running();
    return who && how_.liars.contains(*who);
  }

  [[nodiscard]] const std::map<std::size_t, work_done>& done() const { return done_; }

private:
  cheating how_;
  std::map<std::size_t, work_done> done_;
  std::uint64_t session_{0};
  std::map<const segment_state*, std::uint64_t> sessions_;
};

std::optional<market_work> work;

} // namespace

void begin_work(cheating how) {
  work.emplace(std::move(how));
  compute_with([](segment& s, std::span<compute::session_step> steps,
                  const std::function<void()>& real) { work->pass(s, steps, real); });
}

void end_work() {
  compute_with({});
  work.reset();
}

const std::map<std::size_t, work_done>& work_of_hosts() noexcept {
  static const std::map<std::size_t, work_done> none;
  return work ? work->done() : none;
}

bool lies_here() noexcept { return work && work->lies_here(); }

} // namespace ovir::swarm

ovir::result<void> counted_forward_one(segment* self, segment_state& state, const step_input& in,
                                       parallel_runner& runner, step_output& out) {
  if (ovir::swarm::work) {
    ovir::swarm::work->count(*self, in.count);
  }
  return real_forward_one(self, state, in, runner, out);
}

maybe_command chosen_next(const payment_core* self, const std::set<ovir::node_id>& ejected) {
  maybe_command right = real_next(self, ejected);
  return ovir::swarm::work ? ovir::swarm::work->pays(*self, std::move(right)) : right;
}
