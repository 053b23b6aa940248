#include "apps/policy_vectors.hpp"

#include "ledger/rules/policy_reference.hpp"
#include "ledger/rules/split.hpp"
#include "ledger/rules/tariff.hpp"
#include "messages/limits/ledger.hpp"

#include <algorithm>
#include <utility>

namespace ovir::apps {

namespace {

namespace divy = ledger::reference;

constexpr std::size_t name_bytes_max = 64;

/// Reads one object; every error says where.
class reader {
public:
  reader(std::string where, const json& object) : where_(std::move(where)), object_(object) {}

  [[nodiscard]] result<const json*> value(const char* key) const {
    const auto found = object_.is_object() ? object_.find(key) : object_.end();
    if (!object_.is_object() || found == object_.end()) {
      return fail(errc::malformed, "{}: has no key '{}'; see ovir ledger policy --help", where_,
                  key);
    }
    return &*found;
  }
  [[nodiscard]] result<std::uint64_t> whole(const char* key) const {
    OVIR_ASSIGN(const json* const found, value(key));
    if (!found->is_number_unsigned()) {
      return fail(errc::malformed, "{}: '{}' must be a whole number, 0 or more", where_, key);
    }
    return found->get<std::uint64_t>();
  }
  [[nodiscard]] result<bool> boolean(const char* key) const {
    OVIR_ASSIGN(const json* const found, value(key));
    if (!found->is_boolean()) {
      return fail(errc::malformed, "{}: '{}' must be true or false", where_, key);
    }
    return found->get<bool>();
  }
  [[nodiscard]] result<std::string> text(const char* key) const {
    OVIR_ASSIGN(const json* const found, value(key));
    if (!found->is_string() || found->get_ref<const std::string&>().size() > name_bytes_max) {
      return fail(errc::malformed, "{}: '{}' must be a text of at most {} bytes", where_, key,
                  name_bytes_max);
    }
    return found->get<std::string>();
  }
  [[nodiscard]] result<const json*> array(const char* key) const {
    OVIR_ASSIGN(const json* const found, value(key));
    if (!found->is_array()) {
      return fail(errc::malformed, "{}: '{}' must be an array", where_, key);
    }
    return found;
  }

private:
  std::string where_;
  const json& object_;
};

result<divy::assignment> assignment_from(const std::string& where, const json& object) {
  const reader in{where, object};
  divy::assignment a;
  OVIR_ASSIGN(a.worker, in.text("worker_id"));
  OVIR_ASSIGN(a.execution_ms, in.whole("execution_time_ms"));
  OVIR_ASSIGN(a.capacity_units, in.whole("assigned_capacity_units"));
  OVIR_ASSIGN(a.column_first, in.whole("shard_column_start"));
  OVIR_ASSIGN(a.column_last, in.whole("shard_column_end"));
  OVIR_ASSIGN(a.memory_bytes, in.whole("available_memory_bytes"));
  return a;
}

result<divy::job> job_from(const std::string& where, const json& object) {
  const reader in{where, object};
  divy::job j;
  OVIR_ASSIGN(j.model_bytes, in.whole("total_model_bytes"));
  OVIR_ASSIGN(j.columns, in.whole("total_columns"));
  OVIR_ASSIGN(j.prompt_tokens, in.whole("prompt_tokens"));
  OVIR_ASSIGN(j.requested_tokens, in.whole("requested_completion_tokens"));
  OVIR_ASSIGN(j.actual_tokens, in.whole("actual_completion_tokens"));
  OVIR_ASSIGN(j.frontier_tokens, in.whole("frontier_completion_tokens"));
  OVIR_ASSIGN(j.accounted_tokens, in.whole("accounted_completion_tokens"));
  OVIR_ASSIGN(j.prompt_accounted, in.boolean("prompt_credits_accounted"));
  OVIR_ASSIGN(const json* const assignments, in.array("assignments"));
  if (assignments->size() > limits::ledger_participants_max) {
    return fail(errc::over_limit, "{}: has {} assignments; at most {} can be divided among", where,
                assignments->size(), limits::ledger_participants_max);
  }
  for (std::size_t i = 0; i < assignments->size(); ++i) {
    OVIR_ASSIGN(divy::assignment a,
                assignment_from(fmt::format("{}, assignment {}", where, i), (*assignments)[i]));
    j.assignments.push_back(std::move(a));
  }
  return j;
}

json consumption_of(const divy::consumption& c) {
  return {{"model_size_factor", c.model_size_factor},
          {"prompt_credits", c.prompt_credits},
          {"completion_credits", c.completion_credits},
          {"total_credits", c.total_credits}};
}

json delta_of(const divy::job& j) {
  const auto d = divy::realtime_delta(j);
  if (!d) {
    return nullptr;
  }
  json assignments = json::array();
  for (std::size_t i = 0; i < d->contributions.size(); ++i) {
    const divy::contribution& c = d->contributions[i];
    assignments.push_back({{"worker_id", j.assignments[i].worker},
                           {"credits", c.credits},
                           {"compute_share", c.compute_share},
                           {"throughput_multiplier", c.throughput_multiplier},
                           {"resource_pressure_multiplier", c.pressure_multiplier},
                           {"normalized_contribution_share", c.normalized_share},
                           {"measured_service_rate", c.service_rate},
                           {"reference_service_rate", c.reference_rate},
                           {"memory_pressure", c.memory_pressure}});
  }
  return {{"prompt_tokens_delta", d->prompt_tokens},
          {"completion_tokens_delta", d->completion_tokens},
          {"job_credit_budget", d->budget},
          {"consumption", consumption_of(d->spent)},
          {"assignments", std::move(assignments)}};
}

/// The delta in micro-credits, divided by Divy's shares in parts per million. Participants have no
/// keys here: their place stands for one.
result<json> exact_shares(const divy::job& j, ledger::micro_credits amount) {
  const auto d = divy::realtime_delta(j);
  json shares = json::array();
  if (!d || d->contributions.empty()) {
    return shares;
  }
  std::vector<ledger::weighted> cohort;
  for (const divy::contribution& c : d->contributions) {
    ledger::weighted w;
    w.participant.key[0] = static_cast<std::uint8_t>(cohort.size());
    w.weight = static_cast<std::uint64_t>(c.normalized_share * 1e6);
    cohort.push_back(w);
  }
  if (std::all_of(cohort.begin(), cohort.end(), [](const auto& w) { return w.weight == 0; })) {
    cohort.front().weight = 1;
  }
  OVIR_ASSIGN(const std::vector<ledger::micro_credits> parts, ledger::split(amount, cohort));
  for (std::size_t i = 0; i < parts.size(); ++i) {
    shares.push_back({{"worker_id", j.assignments[i].worker}, {"micro_credits", parts[i]}});
  }
  return shares;
}

result<json> exact_of(const divy::job& j) {
  OVIR_ASSIGN(const ledger::micro_credits rate, ledger::model_rate(j.model_bytes));
  OVIR_ASSIGN(const auto quote, ledger::token_price(j.prompt_tokens, j.requested_tokens, rate));
  OVIR_ASSIGN(const auto settle, ledger::token_price(j.prompt_tokens, j.actual_tokens, rate));
  const ledger::token_delta d =
      ledger::delta_at(j.prompt_tokens, j.prompt_accounted, j.frontier_tokens, j.accounted_tokens);
  OVIR_ASSIGN(const auto delta, ledger::token_price(d.prompt, d.completion, rate));
  OVIR_ASSIGN(json shares, exact_shares(j, delta));
  return json{{"rate", rate},
              {"quote", quote},
              {"settle", settle},
              {"delta", delta},
              {"shares", std::move(shares)}};
}

} // namespace

result<json> evaluate_policy_vectors(const std::string& path, std::string_view text) {
  const json document = json::parse(text, nullptr, false);
  if (document.is_discarded()) {
    return fail(errc::malformed, "{}: is not JSON", path);
  }
  OVIR_ASSIGN(const json* const cases, (reader{path, document}.array("cases")));
  json out = json::array();
  for (std::size_t i = 0; i < cases->size(); ++i) {
    const std::string where = fmt::format("{}, case {}", path, i);
    OVIR_ASSIGN(const json* const input, (reader{where, (*cases)[i]}.value("input")));
    OVIR_ASSIGN(const divy::job j, job_from(where, *input));
    auto exact = exact_of(j);
    if (!exact) {
      return in_context(where, exact.error());
    }
    out.push_back({{"quote", consumption_of(divy::quote(j))},
                   {"settle", consumption_of(divy::settlement(j))},
                   {"delta", delta_of(j)},
                   {"exact", std::move(*exact)}});
  }
  return json{{"cases", std::move(out)}};
}

} // namespace ovir::apps
