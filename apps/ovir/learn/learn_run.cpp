#include "apps/ovir/learn/learn_run.hpp"

#include "apps/ovir/learn/learn_plot.hpp"
#include "learning/training/state_file.hpp"

#include <algorithm>
#include <chrono>
#include <span>

namespace ovir::apps {

namespace {

class training_run {
public:
  training_run(learning::trainer& trainer, const learning::learn_settings& settings,
               const learn_watch& watch, surroundings& around, compute::parallel_runner& runner)
      : trainer_(trainer), settings_(settings), watch_(watch), around_(around), runner_(runner) {}

  result<learn_outcome> run();

private:
  result<void> resume();
  result<void> steps();
  result<void> evaluate();
  void report(const learning::step_report& step);
  result<void> save() const;
  result<void> write(const std::string& path, std::string_view bytes) const;
  [[nodiscard]] double seconds() const {
    return std::chrono::duration<double>(around_.environment.now() - started_).count();
  }

  learning::trainer& trainer_;
  const learning::learn_settings& settings_;
  const learn_watch& watch_;
  surroundings& around_;
  compute::parallel_runner& runner_;
  storage::env::time_point started_{};
  learn_outcome outcome_;
};

result<void> training_run::write(const std::string& path, std::string_view bytes) const {
  OVIR_ASSIGN(const auto file, around_.environment.stage(path));
  OVIR_TRY(file->append(std::as_bytes(std::span{bytes})));
  return file->commit();
}

result<void> training_run::save() const {
  return write(watch_.state_path(), to_file(trainer_.checkpoint()));
}

result<void> training_run::resume() {
  const std::string path = watch_.state_path();
  if (watch_.anew) {
    return around_.environment.remove(path);
  }
  auto file = around_.environment.map(path);
  if (!file) {
    return file.error().code == errc::not_found ? result<void>{} : file.error();
  }
  auto state = learning::state_from((*file)->bytes());
  auto done = state ? trainer_.resume(std::move(*state)) : result<void>{state.error()};
  if (!done) {
    error e = in_context(path, done.error());
    e.message += "; remove it or use --anew";
    return e;
  }
  outcome_.resumed_at = trainer_.steps_done();
  write_note(fmt::format("going on at step {} of {}\n", trainer_.steps_done(), settings_.steps));
  return {};
}

result<void> training_run::evaluate() {
  OVIR_ASSIGN(const learning::evaluation found, trainer_.evaluate(runner_));
  write_note(fmt::format("step {} of {}: loss of the examples held back {:.4f}\n", found.step,
                         settings_.steps, found.loss));
  return {};
}

void training_run::report(const learning::step_report& step) {
  outcome_.tokens += step.tokens;
  const std::uint32_t done = step.step + 1;
  if (done % watch_.report_every != 0 && done != settings_.steps) {
    return;
  }
  const double passed = seconds();
  const double own = done - outcome_.resumed_at;
  const double left = passed / own * (settings_.steps - done);
  write_note(fmt::format("step {} of {}: loss {:.4f}, gradient {:.3f}, {:.0f} tokens/s, {:.0f} s "
                         "left\n",
                         done, settings_.steps, step.loss, step.norm,
                         static_cast<double>(outcome_.tokens) / std::max(passed, 1e-9), left));
}

result<void> training_run::steps() {
  const bool evaluates = settings_.held_back != 0;
  while (!trainer_.is_done()) {
    if (around_.interrupted.load()) {
      OVIR_TRY(save());
      return fail(errc::cancelled, "interrupted at step {} of {}; the same command goes on from {}",
                  trainer_.steps_done(), settings_.steps, watch_.state_path());
    }
    if (evaluates && trainer_.steps_done() % watch_.evaluate_every == 0) {
      OVIR_TRY(evaluate());
    }
    OVIR_ASSIGN(const learning::step_report step, trainer_.step(runner_));
    report(step);
    if (trainer_.steps_done() % watch_.save_every == 0) {
      OVIR_TRY(save());
    }
  }
  return evaluates ? evaluate() : result<void>{};
}

result<learn_outcome> training_run::run() {
  // Nothing is trained that could not be written.
  for (const std::string& path : {watch_.out, watch_.plot}) {
    if (!path.empty()) {
      OVIR_TRY(around_.environment.stage(path));
    }
  }
  OVIR_TRY(resume());
  started_ = around_.environment.now();
  OVIR_TRY(steps());
  outcome_.seconds = seconds();
  outcome_.adapter = learning::to_file(trainer_.result_so_far(), trainer_.where_from());
  OVIR_TRY(write(watch_.out, outcome_.adapter));
  if (!watch_.plot.empty()) {
    OVIR_TRY(write(watch_.plot, loss_plot(trainer_.losses(), trainer_.evaluations())));
  }
  OVIR_TRY(around_.environment.remove(watch_.state_path()));
  return std::move(outcome_);
}

} // namespace

result<learn_outcome> run_training(learning::trainer& trainer,
                                   const learning::learn_settings& settings,
                                   const learn_watch& watch, surroundings& around,
                                   compute::parallel_runner& runner) {
  return training_run{trainer, settings, watch, around, runner}.run();
}

} // namespace ovir::apps
