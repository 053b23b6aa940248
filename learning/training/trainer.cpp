#include "learning/training/trainer.hpp"

#include "learning/training/example_order.hpp"
#include "messages/limits/learning.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace ovir::learning {

namespace {

constexpr std::string_view profile = "learn-1";

result<void> check_examples(std::span<const example> examples) {
  if (examples.empty()) {
    return fail(errc::malformed, "there is no example to learn from");
  }
  if (examples.size() > limits::learn_examples_max) {
    return fail(errc::over_limit, "{} examples are given, and {} are taken", examples.size(),
                limits::learn_examples_max);
  }
  for (std::size_t i = 0; i < examples.size(); ++i) {
    if (examples[i].counted() == 0) {
      return fail(errc::malformed, "nothing of example {} counts", i + 1);
    }
  }
  return {};
}

void set_to_zero(lora_numbers& numbers) {
  for_each_pair(numbers, [](std::size_t, std::size_t, lora_pair& pair) {
    std::fill(pair.a.begin(), pair.a.end(), 0.0F);
    std::fill(pair.b.begin(), pair.b.end(), 0.0F);
  });
}

} // namespace

trainer::trainer(frozen_model& frozen, const learn_settings& settings, training_data data,
                 trainer_room room, adapter fresh)
    : settings_(settings), data_(std::move(data)), room_(room),
      adapter_(std::move(fresh)), kept_{zeros_like(adapter_.numbers), zeros_like(adapter_.numbers)},
      gradient_(zeros_like(adapter_.numbers)), pass_(frozen, adapter_, room.bytes_max) {}

result<std::unique_ptr<trainer>> trainer::make(frozen_model& frozen, const learn_settings& settings,
                                               training_data data, trainer_room room) {
  OVIR_TRY(check_settings(settings));
  OVIR_TRY(check_examples(data.examples));
  if (!data.held_back.empty()) {
    OVIR_TRY(check_examples(data.held_back));
  }
  OVIR_ASSIGN(adapter fresh, fresh_adapter(*frozen.weights, settings.rank, settings.alpha,
                                           settings.targets, settings.seed));
  return std::unique_ptr<trainer>{
      new trainer{frozen, settings, std::move(data), room, std::move(fresh)}};
}

provenance trainer::where_from() const {
  return {std::string{profile}, data_.base, data_.data, to_line(settings_), steps_done()};
}

training_state trainer::checkpoint() const {
  return {adapter_, where_from(), kept_, losses_, evaluations_};
}

result<void> trainer::resume(training_state state) {
  provenance wanted = where_from();
  wanted.steps = state.from.steps;
  const auto same_shape = [&] {
    return state.is.architecture == adapter_.architecture && state.is.rank == adapter_.rank &&
           state.is.alpha == adapter_.alpha &&
           zeros_like(state.is.numbers) == zeros_like(adapter_.numbers);
  };
  if (state.from != wanted || state.losses.size() > settings_.steps || !same_shape()) {
    return fail(errc::unsupported,
                "the checkpoint is of another model, other examples or other settings ({})",
                state.from.settings);
  }
  adapter_.numbers = std::move(state.is.numbers);
  kept_ = std::move(state.kept);
  losses_ = std::move(state.losses);
  evaluations_ = std::move(state.evaluations);
  return {};
}

// Examples follow each other epoch after epoch; a batch may begin in one and end in the next.
std::vector<const example*> trainer::batch() {
  std::vector<const example*> out;
  const std::uint64_t count = data_.examples.size();
  const std::uint64_t first = std::uint64_t{steps_done()} * settings_.batch;
  for (std::uint64_t i = first; i < first + settings_.batch; ++i) {
    if (const std::uint64_t round = i / count; order_round_ != round) {
      order_ = drawn_order(settings_.seed, round, static_cast<std::uint32_t>(count));
      order_round_ = round;
    }
    out.push_back(&data_.examples[order_[i % count]]);
  }
  return out;
}

template <class F>
result<void> trainer::in_passes(std::span<const example* const> all, const F& f) {
  while (!all.empty()) {
    std::size_t count = 1;
    std::uint64_t rows = all[0]->rows();
    while (count < all.size() && rows + all[count]->rows() <= room_.pass_rows) {
      rows += all[count]->rows();
      ++count;
    }
    OVIR_TRY(f(all.first(count)));
    all = all.subspan(count);
  }
  return {};
}

result<step_report> trainer::step(compute::parallel_runner& runner) {
  step_report report{steps_done(), 0, 0, 0};
  set_to_zero(gradient_);
  const std::vector<const example*> examples = batch();
  std::uint64_t counted = 0;
  OVIR_TRY(in_passes(examples, [&](std::span<const example* const> some) -> result<void> {
    OVIR_ASSIGN(const std::vector<double> sums, pass_.gradients(some, gradient_, runner));
    for (std::size_t i = 0; i < some.size(); ++i) {
      report.loss += sums[i];
      report.tokens += some[i]->rows();
      counted += some[i]->counted();
    }
    return {};
  }));
  const auto tokens = static_cast<double>(counted);
  report.loss /= tokens;
  report.norm = norm_of(gradient_) / tokens;
  if (!std::isfinite(report.norm) || !std::isfinite(report.loss)) {
    return fail(errc::nonfinite,
                "the gradient of step {} holds a NaN or an infinity; train with a lower rate",
                report.step + 1);
  }
  const auto clip = static_cast<double>(settings_.clip);
  const double factor = clip > 0 && report.norm > clip ? clip / report.norm : 1.0;
  take_step(settings_.optimiser,
            {rate_at(settings_, report.step), static_cast<float>(factor / tokens), report.step},
            gradient_, kept_, adapter_.numbers);
  losses_.push_back(report.loss);
  return report;
}

result<evaluation> trainer::evaluate(compute::parallel_runner& runner) {
  std::vector<const example*> examples;
  std::uint64_t counted = 0;
  for (const example& e : data_.held_back) {
    examples.push_back(&e);
    counted += e.counted();
  }
  double sum = 0;
  OVIR_TRY(in_passes(examples, [&](std::span<const example* const> some) -> result<void> {
    OVIR_ASSIGN(const std::vector<double> sums, pass_.losses(some, runner));
    for (const double one : sums) {
      sum += one;
    }
    return {};
  }));
  const evaluation found{steps_done(), sum / static_cast<double>(counted)};
  if (evaluations_.empty() || evaluations_.back().step != found.step) {
    evaluations_.push_back(found);
  }
  return found;
}

} // namespace ovir::learning
