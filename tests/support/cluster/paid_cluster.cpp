#include "tests/support/cluster/paid_cluster.hpp"

#include "apps/key_file.hpp"
#include "storage/env/env.hpp"

#include <fmt/format.h>

#include <fstream>
#include <stdexcept>
#include <utility>

namespace ovir::test {

namespace {

constexpr std::string_view deterring_bonded = R"([deterrence]
audit_rate_ppm = 150000
unit_fee = 32000000
saved = 25600000
stake = 160000000
planted_ppm = 50000
audit_fee = 8000000
audit_cost = 6400000
auditor_stake = 160000000
)";
constexpr std::string_view deterring_zero_bond = R"([deterrence]
audit_rate_ppm = 900000
unit_fee = 32000000
saved = 25600000
planted_ppm = 900000
audit_fee = 8000000
audit_cost = 6400000
)";

void append(const std::filesystem::path& path, const std::string& text) {
  std::ofstream file{path, std::ios::app | std::ios::binary};
  file << text;
}

} // namespace

namespace {

std::string policy_text(const paid_cluster::options& how) {
  return fmt::format("mode = \"{}\"\n[rules]\naudit_window_s = {}\n"
                     "newcomer_units = {}\n{}\n{}",
                     how.mode, how.audit_window_s, how.newcomer_units, how.more_rules,
                     how.mode == "free"     ? ""
                     : how.mode == "bonded" ? deterring_bonded
                                            : deterring_zero_bond);
}

} // namespace

paid_cluster::paid_cluster(const options& how) {
  compute::synth_spec spec;
  spec.layers = layers;
  const std::string model = folder_.path() / "synthetic.gguf";
  write_file(model, synthetic_model(spec));
  std::vector<cluster_node> all{{"front", {"scheduler"}, {{model}}}};
  if (!how.liar.empty()) {
    all.front().roles.emplace_back("verifier");
    all.push_back({"check", {"verifier"}, {{model}}});
  }
  for (const std::string& name : how.schedulers) {
    all.push_back({name, {"scheduler"}, {{model}}});
  }
  for (const std::string& name : how.verifiers) {
    all.push_back({name, {"verifier"}, {{model}}});
  }
  const bool halves = how.workers.empty();
  auto workers = how.workers;
  if (halves && how.keeper_computes) {
    all.push_back({"books", {"ledger", "worker"}, {{model, "0-3"}}});
  } else {
    all.push_back({"books", {"ledger"}, {}});
  }
  if (halves && !how.keeper_computes) {
    workers.emplace_back("one", "0-3");
  }
  for (const std::string& name : halves ? how.second_half : std::vector<std::string>{}) {
    workers.emplace_back(name, "4-7");
  }
  for (const auto& [name, held] : workers) {
    all.push_back({name, {"worker"}, {{model, held}}});
    if (!how.liar.empty() && held == "4-7") {
      all.back().program = how.liar;
      all.back().environment = {{"OVIR_LIE", "wrong_output"}, {"OVIR_LIE_PPM", "1000000"}};
    }
  }
  cluster_ = std::make_unique<test_cluster>(cluster_spec{
      .nodes = std::move(all),
      .tables =
          how.liar.empty() || how.mode == "zero-bond" ? "" : "[audit]\nleast_rate_ppm = 300000\n"});
  const std::string policy = folder_.path() / "ledger.toml";
  write_file(policy, policy_text(how));
  for (std::size_t i = 0; i < cluster_->size(); ++i) {
    const bool keeps = cluster_->node(i).has_role("ledger");
    const bool audits = cluster_->node(i).has_role("verifier");
    std::uint64_t stake = 0;
    if (how.mode == "bonded" && (audits || cluster_->node(i).has_role("worker"))) {
      stake = 160 * credit;
    } else if (how.mode == "zero-bond" && audits) { // or its verdicts did not count yet
      stake = 10 * credit;
    }
    if (stake > 0) {
      stakes_[cluster_->node(i).name] = stake;
    }
    append(cluster_->config(i),
           "\n[ledger]\n" +
               (keeps ? fmt::format("policy = \"{}\"\n", policy)
                      : fmt::format("keeper = \"{}\"\nwhen_away = \"{}\"\nfollow = {}\n",
                                    key_of("books"), how.when_away, how.follow)) +
               fmt::format("clients = \"{}\"\nrewards = \"{}\"\n",
                           how.clients_pay ? "self" : "node", how.rewards) +
               (stake > 0 ? fmt::format("stake = {}\n", stake) : std::string{}) +
               (how.asks.contains(cluster_->node(i).name)
                    ? fmt::format("ask_ppm = {}\n", how.asks.at(cluster_->node(i).name))
                    : std::string{}));
  }
}

secret_key paid_cluster::secret_of(const std::string& name) const {
  const auto env = storage::make_env_posix();
  auto key = apps::load_key(*env, (cluster_->folder() / name / "node.key").string());
  if (!key) {
    throw std::runtime_error(key.error().message);
  }
  return std::move(*key);
}

std::string paid_cluster::key_of(const std::string& name) const {
  return to_hex(secret_of(name).id());
}

secret_key paid_cluster::client() const {
  auto key = apps::load_key(*storage::make_env_posix(), cluster_->admin_key());
  if (!key) {
    throw std::runtime_error(key.error().message);
  }
  return std::move(*key);
}

apps::json paid_cluster::order(std::uint64_t request, std::uint32_t tokens, std::uint64_t seed) {
  apps::json asked{{"request", fmt::format("{:016x}", request)},
                   {"max_tokens", tokens},
                   {"temperature", 0.8},
                   {"receipt", true},
                   {"seed", seed}};
  for (std::uint32_t i = 0; i < prompt; ++i) {
    asked["tokens"].push_back(3 + i % 7);
  }
  return asked;
}

std::string paid_cluster::run(std::uint64_t request, std::uint32_t tokens, apps::json* answer,
                              std::uint64_t seed, std::optional<std::uint64_t> pay) {
  apps::json asked = order(request, tokens, seed);
  if (pay) {
    asked["pay"] = *pay;
  }
  cluster_shell shell = cluster_->shell({cluster_->index_of("front")});
  apps::shell_outcome outcome = shell.call("run", asked);
  if (auto* const data = std::get_if<apps::json>(&outcome); data != nullptr && answer != nullptr) {
    *answer = std::move(*data);
  }
  return failure_text(outcome);
}

apps::json paid_cluster::account(const std::string& name) {
  return account_of(secret_of(name).id());
}

apps::json paid_cluster::account_of(const node_id& key) {
  return cluster_->ask(cluster_->index_of("books"), "ledger balance " + to_hex(key));
}

void paid_cluster::mint(const std::string& name, std::uint64_t micro_credits) {
  const std::string to = name == "assurance" ? name
                         : name == "client"  ? to_hex(client().id())
                                             : key_of(name);
  const std::string line = fmt::format("ledger mint {} {}", to, micro_credits);
  std::string trouble;
  const auto minted = [&] { // a keeper that has just started asks itself first
    try {
      return !cluster_->ask(cluster_->index_of("books"), line).empty();
    } catch (const std::runtime_error& failed) {
      trouble = failed.what();
      return false;
    }
  };
  if (!cluster_->wait_until(minted)) {
    throw std::runtime_error(trouble);
  }
}

void paid_cluster::stake(const std::string& name, std::uint64_t micro_credits) {
  (void)cluster_->ask(cluster_->index_of(name), fmt::format("ledger stake {}", micro_credits));
}

void paid_cluster::give_stakes() {
  const auto all = std::exchange(stakes_, {});
  for (const auto& [name, stake] : all) {
    mint(name, stake);
  }
  for (const auto& [name, stake] : all) {
    if (!cluster_->wait_until([&, least = stake, who = name] {
          return account(who).at("stake").get<std::uint64_t>() >= least;
        })) {
      throw std::runtime_error(name + " puts nothing at stake\n" + cluster_->last_words());
    }
  }
}

namespace {

/// A node that runs may be in the midst of a batch: what is damaged stays so.
constexpr int verify_tries = 5;

apps::json verified(const std::filesystem::path& folder) {
  child_result child;
  for (int tried = 0; tried < verify_tries; ++tried) {
    child = run_ovir({"ledger", "verify", "--json", "--ledger", folder.string()});
    if (child.exit_code == 0) {
      return apps::json::parse(child.out);
    }
  }
  throw std::runtime_error("ovir ledger verify: " + child.out + child.err);
}

} // namespace

std::filesystem::path paid_cluster::ledger_folder() const {
  return cluster_->state(cluster_->index_of("books")) / "ledger";
}

apps::json paid_cluster::verify() { return verified(ledger_folder()); }

apps::json paid_cluster::verify_copy(const std::string& name) {
  return verified(cluster_->state(cluster_->index_of(name)) / "ledger-copy");
}

} // namespace ovir::test
