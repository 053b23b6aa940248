#include "apps/ovir/learn/round_link.hpp"
#include "apps/ovir/learn/round_options.hpp"
#include "compute/gguf/manifest.hpp"
#include "learning/adapter/adapter_file.hpp"
#include "learning/rounds/accountant.hpp"
#include "learning/rounds/fixed_point.hpp"
#include "learning/rounds/journal.hpp"
#include "learning/rounds/round_coordinator.hpp"
#include "messages/cid.hpp"
#include "messages/hex.hpp"

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <optional>
#include <set>

namespace ovir::apps {

namespace {

using learning::letter;
using learning::round_phase;
using round_clock = round_link::clock;

constexpr std::chrono::milliseconds step_wait{200};
constexpr std::chrono::seconds goodbye_wait{5};

result<std::vector<std::byte>> first_adapter(const round_options& given, const ready_model& model,
                                             surroundings& around, const std::string& base) {
  if (!given.adapter.empty()) {
    OVIR_ASSIGN(const auto file, map_file(around.environment, given.adapter));
    const auto bytes = file->bytes();
    if (bytes.size() > limits::round_adapter_bytes_max) {
      return fail(errc::over_limit, "{}: a round takes adapters of {} bytes at most", given.adapter,
                  limits::round_adapter_bytes_max);
    }
    return std::vector<std::byte>{bytes.begin(), bytes.end()};
  }
  OVIR_ASSIGN(const auto settings, settings_of(given.learn, model.weights.config));
  OVIR_ASSIGN(const auto fresh,
              learning::fresh_adapter(model.weights, settings.rank, settings.alpha,
                                      settings.targets, settings.seed));
  const std::string file = learning::to_file(fresh, {"learn-1", base, "", "", 0});
  const auto bytes = std::as_bytes(std::span{file});
  return std::vector<std::byte>{bytes.begin(), bytes.end()};
}

result<void> set_noise(learning::round_task& task, const round_options& given) {
  const double units = std::round(given.update_norm * std::ldexp(1.0, task.quantum_bits));
  if (!(units >= 1) || units > limits::round_clip_units_max) {
    return fail(errc::invalid_argument,
                "--update-norm {} is {} units of 2^-{}; 1 to {} are possible: change --unit-bits",
                given.update_norm, units, task.quantum_bits, limits::round_clip_units_max);
  }
  task.clip_units = static_cast<std::uint32_t>(units);
  if (task.mode == learning::round_mode::open) {
    return {};
  }
  const double deviation = given.noise * units;
  const double variance = std::ceil(deviation * deviation / task.honest_min());
  if (!(variance >= 1) || variance > static_cast<double>(limits::round_variance_max)) {
    return fail(errc::invalid_argument,
                "--noise {}: the noise of a worker would have a variance "
                "of {} squared units; 1 to {} are possible",
                given.noise, variance, limits::round_variance_max);
  }
  task.noise_variance = static_cast<std::uint64_t>(variance);
  task.threshold =
      learning::least_threshold(static_cast<std::uint32_t>(task.members.size()), task.colluders);
  return {};
}

result<learning::round_offer> make_offer(const round_options& given, const secret_key& key,
                                         std::vector<node_id> members, surroundings& around) {
  OVIR_ASSIGN(const ready_model model, load_model(around, given.learn.model));
  OVIR_ASSIGN(const auto manifest, compute::manifest_of(model.source.metadata));
  learning::round_offer offer;
  learning::round_task& task = offer.task;
  task.base = compute::name_of(manifest);
  OVIR_ASSIGN(offer.adapter, first_adapter(given, model, around, to_cid(task.base)));
  OVIR_ASSIGN(const auto contents, learning::adapter_from(offer.adapter));
  OVIR_TRY(learning::check_fits(contents.is, model.weights));
  OVIR_ASSIGN(task.mode, learning::mode_from(given.mode));
  task.round = given.round;
  around.environment.random(std::as_writable_bytes(std::span{task.nonce.bytes}));
  task.coordinator = key.id();
  task.adapter = hash_plain(offer.adapter);
  task.numbers = static_cast<std::uint32_t>(std::min<std::uint64_t>(
      learning::count_of(contents.is.numbers), limits::round_numbers_max + 1ULL));
  task.quantum_bits = static_cast<std::uint8_t>(given.unit_bits);
  task.delta_bits = static_cast<std::uint8_t>(given.delta_bits);
  task.drop_outs = given.drop_outs;
  task.colluders = given.colluders;
  task.members = std::move(members);
  if (std::uint64_t{task.drop_outs} + task.colluders + 2 <= task.members.size()) {
    OVIR_TRY(set_noise(task, given)); // else the check below tells
  }
  OVIR_TRY(learning::check_task(task));
  offer.proof = learning::sign_task(key, task);
  return offer;
}

class coordination {
public:
  coordination(const round_options& given, surroundings& around, const secret_key& key)
      : given_(given), around_(around), key_(key) {}

  result<exit_code> run();

private:
  [[nodiscard]] std::string journal_path() const { return given_.learn.watch.out + ".round"; }
  result<void> open_journal(std::vector<node_id> members);
  result<void> replay(std::vector<learning::journal_entry> entries);
  result<void> exchange();
  result<void> hear(const node_id& from, const letter& what);
  result<void> end_phase();
  void tell(const node_id& worker);
  void say_phase() const;
  result<void> finish();
  void say_goodbye(const letter& last, const std::vector<node_id>& to);
  result<void> report(const std::vector<std::byte>& adapter,
                      const learning::round_receipt& receipt) const;

  const round_options& given_;
  surroundings& around_;
  const secret_key& key_;
  std::optional<learning::round_journal> journal_;
  learning::round_offer offer_;
  std::optional<learning::round_coordinator> round_;
  std::unique_ptr<round_link> link_;
  round_clock::time_point phase_end_;
};

result<void> coordination::replay(std::vector<learning::journal_entry> entries) {
  OVIR_ASSIGN(letter first, learning::letter_from(entries.front().letter));
  auto* const offer = std::get_if<learning::round_offer>(&first);
  if (offer == nullptr || offer->task.coordinator != key_.id() ||
      !learning::signed_by_its_coordinator(*offer) || !learning::check_task(offer->task)) {
    return fail(errc::unsupported,
                "{}: is not the journal of a round of this coordinator; remove "
                "it or use --anew",
                journal_path());
  }
  offer_ = std::move(*offer);
  round_.emplace(offer_.task);
  for (std::size_t i = 1; i < entries.size(); ++i) {
    if (round_->phase() == round_phase::summed || round_->phase() == round_phase::failed) {
      break;
    }
    if (entries[i].letter.empty()) {
      round_->end_phase();
      continue;
    }
    OVIR_ASSIGN(const letter one, learning::letter_from(entries[i].letter));
    const node_id from = std::visit(
        [](const auto& x) {
          if constexpr (requires { x.worker; }) {
            return x.worker;
          } else {
            return node_id{};
          }
        },
        one);
    OVIR_TRY(round_->take(from, one));
  }
  write_note(fmt::format("going on with round {} in the phase {}\n", offer_.task.round,
                         to_string(round_->phase())));
  return {};
}

result<void> coordination::open_journal(std::vector<node_id> members) {
  if (given_.anew) {
    OVIR_TRY(around_.environment.remove(journal_path()));
  }
  OVIR_ASSIGN(auto file,
              around_.environment.open_durable(journal_path(), storage::durable_use::make));
  OVIR_ASSIGN(learning::round_journal opened, learning::round_journal::open(std::move(file)));
  journal_.emplace(std::move(opened));
  if (auto entries = journal_->take_entries(); !entries.empty()) {
    return replay(std::move(entries));
  }
  OVIR_ASSIGN(offer_, make_offer(given_, key_, std::move(members), around_));
  round_.emplace(offer_.task);
  return journal_->append(to_bytes(letter{offer_}));
}

void coordination::say_phase() const {
  write_note(fmt::format("phase {}: waiting for {} workers\n", to_string(round_->phase()),
                         round_->expected()));
}

void coordination::tell(const node_id& worker) {
  if (const auto next = round_->letter_for(worker); next && !round_->has_answered(worker)) {
    static_cast<void>(link_->send(worker, to_bytes(*next)));
  }
}

// What was taken is on the disk before anything that follows from it is sent.
result<void> coordination::hear(const node_id& from, const letter& what) {
  const bool is_new = round_->is_new(what);
  if (const auto taken = round_->take(from, what); !taken) {
    write_note(fmt::format("{}: {}\n", short_name(from), taken.error().message));
    const auto next = round_->letter_for(from);
    const bool over = next && std::holds_alternative<learning::round_end>(*next);
    static_cast<void>(link_->send(
        from,
        to_bytes(over ? *next
                      : letter{learning::round_end{name_of(offer_.task), taken.error().message}})));
    return {};
  }
  if (is_new) {
    OVIR_TRY(journal_->append(to_bytes(what)));
    write_note(fmt::format("phase {}: {} of {} workers answered\n", to_string(round_->phase()),
                           round_->answered(), round_->expected()));
  }
  tell(from);
  return {};
}

result<void> coordination::end_phase() {
  round_->end_phase();
  OVIR_TRY(journal_->append({}));
  phase_end_ = round_clock::now() + std::chrono::seconds{given_.wait_seconds};
  if (round_->phase() != round_phase::summed && round_->phase() != round_phase::failed) {
    say_phase();
    for (const node_id& worker : offer_.task.members) {
      tell(worker);
    }
  }
  return {};
}

result<void> coordination::exchange() {
  const bool begins =
      round_->phase() == round_phase::keys || offer_.task.mode == learning::round_mode::open;
  phase_end_ = round_clock::now() +
               std::chrono::seconds{begins ? given_.gather_seconds : given_.wait_seconds};
  while (round_->phase() != round_phase::summed && round_->phase() != round_phase::failed) {
    if (around_.interrupted.load()) {
      return fail(errc::cancelled, "interrupted; the same command goes on from {}", journal_path());
    }
    const auto now = round_clock::now();
    if (round_->is_complete() || now >= phase_end_) {
      OVIR_TRY(end_phase());
      continue;
    }
    const auto event = link_->next(std::min(phase_end_, now + step_wait));
    if (const auto* const up = std::get_if<round_link::up>(&event)) {
      static_cast<void>(link_->send(up->node, to_bytes(letter{offer_})));
      tell(up->node);
    } else if (const auto* const heard = std::get_if<round_link::heard>(&event)) {
      OVIR_TRY(hear(heard->from, heard->what));
    }
  }
  return {};
}

// Those who wait for it may be dialling just now, after a restart of this process.
void coordination::say_goodbye(const letter& last, const std::vector<node_id>& to) {
  std::set<node_id> waiting{to.begin(), to.end()};
  const std::vector<std::byte> bytes = to_bytes(last);
  const auto tell_last = [&](const node_id& worker) {
    if (link_->send(worker, bytes)) {
      link_->drop(worker, error{errc::cancelled, "the round is over"});
    }
  };
  for (const node_id& worker : offer_.task.members) {
    tell_last(worker);
  }
  const auto end = round_clock::now() + goodbye_wait;
  while (!waiting.empty() && round_clock::now() < end) {
    const auto event = link_->next(end);
    if (const auto* const down = std::get_if<round_link::down>(&event)) {
      waiting.erase(down->node);
    } else if (const auto* const up = std::get_if<round_link::up>(&event)) {
      tell_last(up->node);
    }
  }
}

result<void> coordination::report(const std::vector<std::byte>& adapter,
                                  const learning::round_receipt& receipt) const {
  const learning::round_task& task = offer_.task;
  const learning::noise_share noise = learning::least_noise(task);
  const bool masked = task.mode == learning::round_mode::masked;
  json survivors = json::array();
  for (const node_id& n : receipt.survivors) {
    survivors.push_back(to_hex(n));
  }
  json document{{"file", given_.learn.watch.out},
                {"bytes", adapter.size()},
                {"cid", to_cid(receipt.adapter)},
                {"task", to_hex(receipt.task)},
                {"mode", std::string{to_string(task.mode)}},
                {"members", task.members.size()},
                {"survivors", std::move(survivors)},
                {"sum", to_hex(receipt.sum)}};
  if (masked) {
    document["rho"] = std::bit_cast<double>(receipt.rho_bits);
    document["epsilon"] = std::bit_cast<double>(receipt.epsilon_bits);
    document["delta_bits"] = task.delta_bits;
    document["recompute"] = fmt::format(
        "round_epsilon.py --workers {} --variance {} --numbers {} --clip {} "
        "--delta-bits {}",
        noise.workers, noise.variance, noise.numbers, noise.clip_units, task.delta_bits);
  }
  if (given_.learn.as_json) {
    return write_document(document);
  }
  std::string text = fmt::format("{}: {} round of {} workers, {} survivors\n{}\n",
                                 given_.learn.watch.out, to_string(task.mode), task.members.size(),
                                 receipt.survivors.size(), to_cid(receipt.adapter));
  if (masked) {
    text += fmt::format("epsilon {:.6f} at delta 2^-{} for this round; recompute: {}\n",
                        std::bit_cast<double>(receipt.epsilon_bits), task.delta_bits,
                        document["recompute"].get<std::string>());
  }
  return write_output(text);
}

result<void> coordination::finish() {
  const learning::round_task& task = offer_.task;
  const learning::round_sum& sum = round_->outcome();
  OVIR_ASSIGN(learning::adapter_contents contents, learning::adapter_from(offer_.adapter));
  OVIR_TRY(learning::add_mean(contents.is.numbers, sum.sum,
                              static_cast<std::uint32_t>(sum.survivors.size()), task.quantum_bits));
  contents.from = {"rounds-1", to_cid(task.base), "",
                   fmt::format("task {}, from {}", to_hex(name_of(task)), to_cid(task.adapter)),
                   task.round};
  const std::string file = learning::to_file(contents.is, contents.from);
  const auto bytes = std::as_bytes(std::span{file});
  const double rho = task.mode == learning::round_mode::masked
                         ? learning::rho_of(learning::least_noise(task))
                         : 0.0;
  learning::round_receipt receipt{name_of(task),
                                  {},
                                  sum.survivors,
                                  learning::name_of_sum(sum.sum),
                                  hash_plain(bytes),
                                  std::bit_cast<std::uint64_t>(rho),
                                  std::bit_cast<std::uint64_t>(learning::epsilon_of(task)),
                                  {}};
  sign(receipt, key_);
  OVIR_TRY(write_whole(around_, given_.learn.watch.out, bytes));
  OVIR_TRY(write_whole(around_, given_.learn.watch.out + ".receipt", to_bytes(letter{receipt})));
  say_goodbye(receipt, round_->finishers());
  OVIR_TRY(around_.environment.remove(journal_path()));
  return report({bytes.begin(), bytes.end()}, receipt);
}

result<exit_code> coordination::run() {
  OVIR_ASSIGN(std::vector<node_id> members, read_cohort(around_, given_.cohort));
  OVIR_TRY(open_journal(members));
  OVIR_ASSIGN(link_, round_link::make(key_, given_.coordinate, offer_.task.members));
  write_note(fmt::format("coordinator {} listens on {}\n", to_hex(key_.id()), link_->address()));
  say_phase();
  OVIR_TRY(exchange());
  if (round_->phase() == round_phase::failed) {
    say_goodbye(learning::round_end{name_of(offer_.task), round_->reason()}, {});
    OVIR_TRY(around_.environment.remove(journal_path()));
    return fail(errc::timed_out, "there is no sum: {}", round_->reason());
  }
  OVIR_TRY(finish());
  return exit_code::done;
}

} // namespace

result<exit_code> coordinate_round(const round_options& given, surroundings& around) {
  OVIR_ASSIGN(const secret_key key, round_key(around, given.key));
  return coordination{given, around, key}.run();
}

} // namespace ovir::apps
