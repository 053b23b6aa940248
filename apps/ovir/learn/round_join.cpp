#include "apps/compute_threads.hpp"
#include "apps/ovir/learn/round_link.hpp"
#include "apps/ovir/learn/round_options.hpp"
#include "apps/pack_model.hpp"
#include "learning/adapter/adapter_file.hpp"
#include "learning/gradient/frozen_model.hpp"
#include "learning/rounds/accountant.hpp"
#include "learning/rounds/fixed_point.hpp"
#include "learning/rounds/round_worker.hpp"
#include "messages/cid.hpp"
#include "messages/secret_random.hpp"

#include <algorithm>
#include <bit>
#include <chrono>
#include <optional>

namespace ovir::apps {

namespace {

using learning::letter;
using worker_clock = round_link::clock;

constexpr std::chrono::milliseconds redial_wait{300};

/// An adapter's training by this worker's data: the update that it would have.
result<std::vector<float>> train(const round_options& given, const learning::round_task& task,
                                 const learning::adapter_contents& first, ready_model& model,
                                 surroundings& around) {
  OVIR_ASSIGN(const compute::kernel_set* const kernels, kernels_from(given.learn.how.isa));
  OVIR_ASSIGN(learning::learn_settings settings, settings_of(given.learn, model.weights.config));
  settings.rank = first.is.rank;
  settings.alpha = first.is.alpha;
  settings.targets = 0;
  learning::for_each_pair(first.is.numbers, [&](std::size_t, std::size_t place, const auto&) {
    settings.targets = static_cast<std::uint8_t>(settings.targets | 1U << place);
  });
  OVIR_ASSIGN(learning::training_data data, read_data(given.learn, model, around, settings));
  if (data.base != to_cid(task.base)) {
    return fail(errc::unsupported, "the round is about another model, {}", to_cid(task.base));
  }
  compute_threads runner{given.learn.how.threads};
  OVIR_TRY(
      pack_model(model, {0, model.weights.config.layers}, *kernels, around.environment, runner));
  OVIR_ASSIGN(learning::frozen_model frozen, learning::freeze(model.weights, *kernels));
  const learning::trainer_room room{std::uint64_t{given.learn.memory_mib} << 20U,
                                    given.learn.pass_rows};
  OVIR_ASSIGN(const auto trainer, learning::trainer::make(frozen, settings, std::move(data), room));
  const auto zeros = learning::zeros_like(first.is.numbers);
  OVIR_TRY(trainer->resume({first.is, trainer->where_from(), {zeros, zeros}, {}, {}}));
  while (!trainer->is_done()) {
    if (around.interrupted.load()) {
      return fail(errc::cancelled, "interrupted while training; nothing was sent");
    }
    OVIR_ASSIGN(const learning::step_report step, trainer->step(runner));
    write_note(
        fmt::format("step {} of {}: loss {:.4f}\n", step.step + 1, settings.steps, step.loss));
  }
  return learning::difference_of(trainer->result_so_far().numbers, first.is.numbers);
}

class participation {
public:
  participation(const round_options& given, surroundings& around, const secret_key& key)
      : given_(given), around_(around), key_(key) {}

  result<exit_code> run();

private:
  /// The next letter of the coordinator; dials again where the connection is lost, and then
  /// repeats what was sent last.
  result<letter> next_letter();
  result<void> prepare(const learning::round_offer& offer);
  result<void> send(const letter& out);
  result<void> keep_update() const;
  result<exit_code> exchange();
  result<exit_code> finish(const learning::round_receipt& receipt) const;

  const round_options& given_;
  surroundings& around_;
  const secret_key& key_;
  learning::worker_terms terms_;
  std::unique_ptr<round_link> link_;
  std::unique_ptr<storage::append_file> copy_;
  std::optional<worker_clock::time_point> redial_at_;
  std::vector<std::byte> last_; ///< sent
  learning::round_task task_;
  std::vector<std::int64_t> units_;
  std::optional<learning::round_worker> worker_; ///< in a private round
};

result<letter> participation::next_letter() {
  const auto end = worker_clock::now() +
                   std::chrono::seconds{std::uint64_t{given_.gather_seconds} + given_.wait_seconds};
  while (worker_clock::now() < end) {
    if (around_.interrupted.load()) {
      return fail(errc::cancelled, "interrupted; the others go on without this worker");
    }
    if (redial_at_ && worker_clock::now() >= *redial_at_) {
      redial_at_.reset();
      link_->connect(given_.join);
    }
    auto event = link_->next(worker_clock::now() + redial_wait);
    if (std::holds_alternative<round_link::up>(event) && !last_.empty()) {
      static_cast<void>(link_->send(terms_.coordinator, last_));
    } else if (std::holds_alternative<round_link::down>(event)) {
      redial_at_ = worker_clock::now() + redial_wait;
    } else if (auto* const heard = std::get_if<round_link::heard>(&event)) {
      return std::move(heard->what);
    }
  }
  return fail(errc::timed_out, "nothing came from the coordinator at {} for {} s", given_.join,
              std::uint64_t{given_.gather_seconds} + given_.wait_seconds);
}

result<void> participation::prepare(const learning::round_offer& offer) {
  OVIR_TRY(learning::check_offer(offer, key_.id(), terms_));
  task_ = offer.task;
  OVIR_ASSIGN(const learning::adapter_contents first, learning::adapter_from(offer.adapter));
  if (learning::count_of(first.is.numbers) != task_.numbers) {
    return fail(errc::malformed, "the adapter of the round has {} numbers, and the task says {}",
                learning::count_of(first.is.numbers), task_.numbers);
  }
  OVIR_ASSIGN(ready_model model, load_model(around_, given_.learn.model));
  OVIR_TRY(learning::check_fits(first.is, model.weights));
  if (task_.mode == learning::round_mode::masked) {
    write_note(fmt::format("private round {}: epsilon {:.4f} at delta 2^-{}\n", task_.round,
                           learning::epsilon_of(task_), task_.delta_bits));
  } else {
    write_note(
        fmt::format("open round {}: the coordinator will see this worker's update\n", task_.round));
  }
  OVIR_ASSIGN(const auto update, train(given_, task_, first, model, around_));
  OVIR_ASSIGN(units_, learning::clipped_units(update, task_.quantum_bits, task_.clip_units));
  return {};
}

// The only place where a letter of the worker leaves the process.
result<void> participation::send(const letter& out) {
  last_ = to_bytes(out);
  if (copy_) {
    const auto size = static_cast<std::uint32_t>(last_.size());
    OVIR_TRY(copy_->append(std::as_bytes(std::span{&size, 1})));
    OVIR_TRY(copy_->append(last_));
  }
  static_cast<void>(link_->send(terms_.coordinator, last_)); // else when it is back
  return {};
}

result<void> participation::keep_update() const {
  std::vector<std::int64_t> all = units_;
  all.insert(all.end(), worker_->noised().begin(), worker_->noised().end());
  OVIR_ASSIGN(const bool made, around_.environment.make_secret_file(given_.keep_update,
                                                                    std::as_bytes(std::span{all})));
  return made ? result<void>{}
              : fail(errc::invalid_argument, "{}: is there already; remove it first",
                     given_.keep_update);
}

result<exit_code> participation::finish(const learning::round_receipt& receipt) const {
  OVIR_TRY(learning::check_receipt(task_, receipt));
  if (worker_ && worker_->survivors() != receipt.survivors) {
    return fail(errc::digest_mismatch,
                "the receipt has other survivors than those that this worker agreed to");
  }
  if (given_.learn.as_json) {
    json document{{"task", to_hex(receipt.task)},
                  {"mode", std::string{to_string(task_.mode)}},
                  {"cid", to_cid(receipt.adapter)},
                  {"survivors", receipt.survivors.size()}};
    if (worker_) {
      document["rho"] = std::bit_cast<double>(receipt.rho_bits);
      document["epsilon"] = std::bit_cast<double>(receipt.epsilon_bits);
      document["delta_bits"] = task_.delta_bits;
    }
    OVIR_TRY(write_document(document));
    return exit_code::done;
  }
  OVIR_TRY(write_output(fmt::format("round {} done: {} survivors, new adapter {}\n", task_.round,
                                    receipt.survivors.size(), to_cid(receipt.adapter))));
  return exit_code::done;
}

result<exit_code> participation::exchange() {
  if (task_.mode == learning::round_mode::masked) {
    worker_.emplace(key_, task_, units_, [](std::span<std::byte> out) { fill_secret(out); });
    OVIR_TRY(send(worker_->advert()));
  } else {
    learning::open_update update{name_of(task_), {}, learning::wrapped(units_), {}};
    sign(update, key_);
    OVIR_TRY(send(update));
  }
  while (true) {
    OVIR_ASSIGN(const letter in, next_letter());
    if (learning::task_of(in) != name_of(task_)) {
      return fail(errc::superseded, "the coordinator has begun another round");
    }
    if (std::holds_alternative<learning::round_offer>(in)) {
      continue; // told anew after a connection was lost
    }
    if (const auto* const receipt = std::get_if<learning::round_receipt>(&in)) {
      return finish(*receipt);
    }
    if (const auto* const end = std::get_if<learning::round_end>(&in)) {
      return fail(errc::cancelled, "the round is over for this worker: {}", end->reason);
    }
    if (!worker_) {
      return fail(errc::malformed, "the coordinator sent a letter that open rounds do not have");
    }
    const bool had_noise = !worker_->noised().empty();
    OVIR_ASSIGN(const letter out, worker_->take(in));
    if (!had_noise && !worker_->noised().empty() && !given_.keep_update.empty()) {
      OVIR_TRY(keep_update());
    }
    OVIR_TRY(send(out));
  }
}

result<exit_code> participation::run() {
  OVIR_ASSIGN(terms_.mode, learning::mode_from(given_.mode));
  OVIR_ASSIGN(terms_.coordinator, node_id_from_hex(given_.coordinator));
  OVIR_ASSIGN(terms_.accepted, read_cohort(around_, given_.cohort));
  terms_.epsilon_max = given_.epsilon_max;
  if (!given_.copy_sent.empty()) {
    OVIR_ASSIGN(copy_, around_.environment.create(given_.copy_sent));
  }
  OVIR_ASSIGN(link_, round_link::make(key_, "", {terms_.coordinator}));
  link_->connect(given_.join);
  while (true) {
    OVIR_ASSIGN(const letter first, next_letter());
    if (const auto* const offer = std::get_if<learning::round_offer>(&first)) {
      OVIR_TRY(prepare(*offer));
      return exchange();
    }
  }
}

} // namespace

result<exit_code> join_round(const round_options& given, surroundings& around) {
  OVIR_ASSIGN(const secret_key key, round_key(around, given.key));
  return participation{given, around, key}.run();
}

} // namespace ovir::apps
