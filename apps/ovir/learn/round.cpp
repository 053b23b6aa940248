#include "apps/ovir/learn/round.hpp"

#include "apps/key_file.hpp"
#include "apps/ovir/base/node_address.hpp"
#include "apps/ovir/learn/round_options.hpp"
#include "apps/state_folder.hpp"
#include "messages/limits/rounds.hpp"

#include <algorithm>
#include <memory>

namespace ovir::apps {

result<std::vector<node_id>> read_cohort(surroundings& around, const std::string& path) {
  OVIR_ASSIGN(const std::string text, read_text(around.environment, path));
  std::vector<node_id> out;
  std::string_view rest = text;
  for (std::size_t line = 1; !rest.empty(); ++line) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view one = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (one.empty() || one.front() == '#') {
      continue;
    }
    const auto node = node_id_from_hex(one);
    if (!node) {
      return fail(errc::malformed, "{}: line {}: a node's key has 64 hexadecimal digits", path,
                  line);
    }
    if (out.size() == limits::round_members_max) {
      return fail(errc::over_limit, "{}: more than {} keys", path, limits::round_members_max);
    }
    out.push_back(*node);
  }
  std::sort(out.begin(), out.end());
  if (std::adjacent_find(out.begin(), out.end()) != out.end()) {
    return fail(errc::malformed, "{}: a key is there twice", path);
  }
  return out;
}

result<secret_key> round_key(surroundings& around, const std::string& path) {
  if (!path.empty()) {
    return load_key(around.environment, path);
  }
  OVIR_ASSIGN(const std::string folder, state_folder());
  return load_or_make_key(around.environment, key_path_in(folder));
}

result<void> write_whole(surroundings& around, const std::string& path,
                         std::span<const std::byte> bytes) {
  OVIR_ASSIGN(const auto file, around.environment.stage(path));
  OVIR_TRY(file->append(bytes));
  return file->commit();
}

namespace {

constexpr std::uint32_t seconds_max = 86'400;

result<void> check_round_options(const round_options& given) {
  if (given.coordinate.empty() == given.join.empty()) {
    return fail(errc::invalid_argument, "give either --coordinate or --join");
  }
  const bool joins = !given.join.empty();
  const auto address = joins ? check_address(given.join, address_use::connect)
                             : check_address(given.coordinate, address_use::listen);
  if (!address) {
    return in_context(joins ? "--join" : "--coordinate", address.error());
  }
  if (joins && (given.coordinator.empty() || given.learn.data.empty())) {
    return fail(errc::invalid_argument, "a worker needs --coordinator and --data");
  }
  if (joins && given.mode == "private" && !(given.epsilon_max > 0)) {
    return fail(errc::invalid_argument, "a worker of a private round needs --epsilon-max");
  }
  if (!joins && given.learn.watch.out.empty()) {
    return fail(errc::invalid_argument, "a coordinator needs --out");
  }
  return {};
}

void add_coordinator_options(CLI::App& command, round_options& given) {
  const auto count = [](std::uint32_t least, std::uint32_t most) {
    return CLI::Range(least, most);
  };
  command.add_option("--coordinate", given.coordinate,
                     "Coordinate a round: HOST:PORT to listen on");
  command.add_option("-a,--adapter", given.adapter,
                     "The adapter that the round begins with (default: a fresh one)");
  command.add_option("-o,--out", given.learn.watch.out, "The new adapter to write, a GGUF file");
  command.add_option("--round", given.round, "Number of the round")->capture_default_str();
  command.add_option("--drop-outs", given.drop_outs, "Workers that may vanish")
      ->capture_default_str();
  command
      .add_option("--colluders", given.colluders,
                  "Workers that may tell the coordinator all they know")
      ->capture_default_str();
  command.add_option("--update-norm", given.update_norm, "L2 norm at which updates are clipped")
      ->capture_default_str();
  command.add_option("--unit-bits", given.unit_bits, "Numbers are integers of units of 2^-BITS")
      ->check(count(0, limits::round_quantum_bits_max))
      ->capture_default_str();
  command
      .add_option("--noise", given.noise,
                  "Deviation of the sum's noise, in update norms, at the least cohort")
      ->capture_default_str();
  command.add_option("--delta-bits", given.delta_bits, "delta is 2^-BITS")
      ->check(count(1, limits::round_delta_bits_max))
      ->capture_default_str();
  command.add_option("--gather", given.gather_seconds, "Seconds to wait for workers at first")
      ->check(count(1, seconds_max))
      ->capture_default_str();
  command.add_flag("--anew", given.anew, "Begin anew where a round was interrupted");
}

void add_worker_options(CLI::App& command, round_options& given) {
  command.add_option("--join", given.join, "Take part in a round: HOST:PORT of its coordinator");
  command.add_option("--coordinator", given.coordinator, "Public key of the coordinator");
  command.add_option("-d,--data", given.learn.data, "The examples, one JSON object a line");
  command.add_option("--epsilon-max", given.epsilon_max,
                     "Take part in private rounds of no larger epsilon");
  command.add_option("--copy-sent", given.copy_sent,
                     "Keep a copy of every letter that is sent, to look at");
  command.add_option("--keep-update", given.keep_update,
                     "Keep the update, without and with noise: a secret, for checking a sum");
}

} // namespace

void add_learn_round(CLI::App& learn, chosen_command& chosen) {
  CLI::App* const command =
      learn.add_subcommand("round", "Train one adapter with others, each with data of its own");
  const auto given = std::make_shared<round_options>();
  command->footer(
      "COHORT.txt has the public keys of all workers, one in a line; coordinator and workers\n"
      "have the same. In a private round only the sum of clipped updates is seen, with noise. In\n"
      "an open one the coordinator sees each update. An interrupted coordinator goes on with the\n"
      "same command and the same address.\n"
      "\nExamples:\n"
      "  ovir learn round --coordinate 0.0.0.0:7070 --cohort COHORT.txt -m MODEL.gguf \\\n"
      "    --drop-outs 2 -o NEXT.gguf\n"
      "  ovir learn round --join HOST:7070 --coordinator KEY --cohort COHORT.txt -m MODEL.gguf \\\n"
      "    -d DATA.jsonl --epsilon-max 8 --steps 20");
  add_coordinator_options(*command, *given);
  add_worker_options(*command, *given);
  command->add_option("--cohort", given->cohort, "File with the public keys of all workers")
      ->required();
  command->add_option("-m,--model", given->learn.model, "GGUF file (default: the embedded model)");
  command->add_option("--mode", given->mode, "private or open")
      ->check(CLI::IsMember({"private", "open"}))
      ->capture_default_str();
  command->add_option("--key", given->key,
                      "File with the secret key (default: node.key in the state folder)");
  command->add_option("--wait", given->wait_seconds, "Seconds to wait in each phase")
      ->check(CLI::Range(std::uint32_t{1}, seconds_max))
      ->capture_default_str();
  add_training_options(*command, given->learn);
  add_threads(*command, given->learn.how);
  add_isa(*command, given->learn.how);
  add_json(*command, given->learn.as_json);
  command->callback([given, &chosen] {
    chosen.as_json = given->learn.as_json;
    chosen.run = [given](surroundings& around) -> result<exit_code> {
      OVIR_TRY(check_round_options(*given));
      return given->join.empty() ? coordinate_round(*given, around) : join_round(*given, around);
    };
  });
}

} // namespace ovir::apps
