#include "actors/path/planner.hpp"
#include "apps/ovir/base/embedded_model.hpp"
#include "apps/ovir/run/cluster_file.hpp"
#include "apps/receipt_report.hpp"
#include "bindings/python/native.hpp"
#include "ledger/keeper/verify.hpp"
#include "messages/limits/general.hpp"
#include "storage/env/durable_file.hpp"

#include <pybind11/stl.h>

#include <optional>

namespace py = pybind11;

namespace ovir::python {

namespace {

// Receipts

/// Whose signatures count; at most one of these is given.
struct counted_signers {
  std::optional<std::vector<std::string>> keys;
  apps::signer_options others;
};

result<compute::signer_policy> policy_from(const counted_signers& who) {
  if (!who.keys) {
    return apps::policy_of(who.others, machine());
  }
  std::string lines;
  for (const std::string& key : *who.keys) {
    lines += key + "\n";
  }
  OVIR_ASSIGN(std::set<node_id> listed, apps::parse_signers(lines));
  return compute::signer_policy{compute::signer_policy::kind::listed, std::move(listed)};
}

/// The document of `ovir receipt verify --json`.
std::string verify_receipt(const py::bytes& bytes,
                           const std::optional<std::vector<std::string>>& signers, bool any_signer,
                           const std::string& ledger_head, const std::string& ledger_log) {
  const std::string text = bytes;
  const py::gil_scoped_release apart;
  counted_signers who{signers, {}};
  who.others.any = any_signer;
  who.others.head = ledger_head;
  who.others.log = ledger_log;
  const compute::signer_policy policy = unwrap(policy_from(who));
  const apps::any_receipt read = unwrap(apps::parse_receipt(text));
  return apps::to_text(apps::verdict_document(read, "T0", apps::check_receipt(read, policy)));
}

std::string read_receipt(const py::bytes& bytes) {
  const std::string text = bytes;
  return apps::to_text(apps::receipt_document(unwrap(apps::parse_receipt(text))));
}

// Plans

struct plan_question {
  std::string name; ///< of the cluster's text, in errors
  std::string cluster;
  std::optional<std::string> model;
  std::uint32_t context{0};
  std::uint32_t requests{1};
  std::uint32_t prefill_chunk{64};
  bool batch{false};
};

result<std::pair<actors::plan_request, actors::plan>> plan_for(const plan_question& asked) {
  OVIR_ASSIGN(apps::cluster_description cluster, apps::parse_cluster(asked.name, asked.cluster));
  OVIR_ASSIGN(const apps::ready_model model,
              asked.model ? apps::ready_model_at(machine(), *asked.model)
                          : apps::prepare_model(std::string{apps::embedded_model_name},
                                                apps::embedded_model()));
  const std::uint32_t context = model.weights.config.context;
  if (asked.context > context || asked.requests < 1 || asked.prefill_chunk < 1 ||
      asked.prefill_chunk > limits::prefill_chunk_max) {
    return fail(errc::invalid_argument,
                "context {}: the model was made for {} positions at most; requests and "
                "prefill_chunk are at least 1, the latter at most {}",
                asked.context, context, limits::prefill_chunk_max);
  }
  actors::plan_request request;
  request.shape = actors::shape_of(model.weights, asked.prefill_chunk);
  request.nodes = std::move(cluster.nodes);
  request.links = std::move(cluster.links);
  request.lead = cluster.lead;
  request.context = asked.context > 0 ? asked.context : context;
  request.requests = asked.requests;
  request.objective =
      asked.batch ? actors::plan_objective::batch : actors::plan_objective::interactive;
  auto made = actors::make_plan(request);
  if (!made) {
    return in_context(asked.name, made.error());
  }
  return std::pair{std::move(request), std::move(*made)};
}

py::dict dict_of(const actors::plan_speed& speed) {
  py::dict out;
  out["token_seconds"] = speed.token_seconds;
  out["slowest_seconds"] = speed.slowest_seconds;
  out["tokens_per_second"] = speed.tokens_per_second;
  out["tokens_per_second_together"] = speed.tokens_per_second_together;
  out["prefill_per_second"] = speed.prefill_per_second;
  return out;
}

py::dict make_plan(std::string name, std::string cluster, std::optional<std::string> model,
                   std::uint32_t context, std::uint32_t requests, std::uint32_t prefill_chunk,
                   bool batch) {
  const plan_question asked{std::move(name),
                            std::move(cluster),
                            std::move(model),
                            context,
                            requests,
                            prefill_chunk,
                            batch};
  std::optional<std::pair<actors::plan_request, actors::plan>> made;
  {
    const py::gil_scoped_release apart;
    made = unwrap(plan_for(asked));
  }
  const auto& [request, plan] = *made;
  py::list stages;
  for (const actors::plan_stage& stage : plan.stages) {
    py::dict one;
    one["node"] = request.nodes[stage.node].name;
    one["first_layer"] = stage.layers.first;
    one["last_layer"] = stage.layers.last - 1;
    one["weight_bytes"] = stage.weights;
    one["kv_bytes"] = stage.kv;
    one["buffer_bytes"] = stage.buffers;
    one["memory_bytes"] = stage.memory();
    one["decode_seconds"] = stage.decode_seconds;
    stages.append(std::move(one));
  }
  py::dict out;
  out["stages"] = std::move(stages);
  out["speed"] = dict_of(plan.speed);
  out["alone"] = plan.alone ? py::object(dict_of(*plan.alone)) : py::none();
  out["alone_node"] =
      plan.alone ? py::object(py::str(request.nodes[plan.alone_node].name)) : py::none();
  out["gap"] = plan.gap;
  out["why"] = plan.why;
  return out;
}

// Ledgers

/// What a log says, read without taking it from its keeper.
struct ledger_reading {
  ledger::verify_report report;
  std::vector<std::pair<node_id, ledger::account>> accounts; ///< after the last entry
  ledger::totals sums;
};

/// The number of entries first, because the accounts are copied behind the last one alone.
result<std::uint64_t> entries_in(durable_file& log) {
  std::uint64_t count = 0;
  ledger::log_report report;
  OVIR_TRY(ledger::entry_log::read(
      log,
      [&count](std::uint64_t index, std::span<const std::byte>) -> result<void> {
        count = index + 1;
        return {};
      },
      report));
  return count;
}

using entry_seen =
    std::function<void(std::uint64_t, const ledger::entry&, const std::vector<ledger::posting>&)>;

result<ledger_reading> read_ledger(const std::string& path, bool signatures, entry_seen visit) {
  OVIR_ASSIGN(const auto log, storage::open_durable_file_to_read(path));
  OVIR_ASSIGN(const std::uint64_t size, entries_in(*log));
  ledger_reading seen;
  ledger::verify_options how;
  how.signatures = signatures;
  how.visit = std::move(visit);
  how.watch = [&](std::uint64_t index, const ledger::entry&, const digest&,
                  const ledger::state& after) {
    if (index + 1 == size) {
      for (const auto& [node, account] : after.accounts()) {
        seen.accounts.emplace_back(node, *account);
      }
      seen.sums = after.sums();
    }
  };
  OVIR_ASSIGN(seen.report, ledger::verify_log(*log, how));
  if (seen.report.fault) {
    return fail(errc::digest_mismatch, "{}{}: {}", path,
                seen.report.fault->entry ? fmt::format(", entry {}", *seen.report.fault->entry)
                                         : std::string{},
                seen.report.fault->what);
  }
  return seen;
}

py::dict place_of(const ledger::account_ref& ref) {
  py::dict out;
  out["purse"] = std::string{to_string(ref.kind)};
  out["of"] = ref.of == digest{} ? py::object(py::none()) : py::object(py::str(to_hex(ref.of)));
  return out;
}

/// Entries [first, first + count) of a log, each with its movements.
py::list ledger_entries(const std::string& path, std::uint64_t first, std::uint64_t count) {
  struct one_entry {
    std::uint64_t index;
    std::uint64_t time;
    std::string kind;
    std::string id;
    std::vector<ledger::posting> movements;
  };
  std::vector<one_entry> found;
  {
    const py::gil_scoped_release apart;
    unwrap(read_ledger(path, false,
                       [&](std::uint64_t index, const ledger::entry& e,
                           const std::vector<ledger::posting>& moved) {
                         if (index >= first && index - first < count) {
                           found.push_back({index, e.time,
                                            std::string{to_string(ledger::kind_of(e.what))},
                                            to_hex(ledger::id_of(e.what)), moved});
                         }
                       }));
  }
  py::list out;
  for (const one_entry& e : found) {
    py::list movements;
    for (const ledger::posting& p : e.movements) {
      py::dict one;
      one["kind"] = std::string{to_string(p.kind)};
      one["from"] = place_of(p.from);
      one["to"] = place_of(p.to);
      one["amount"] = p.amount;
      movements.append(std::move(one));
    }
    py::dict entry;
    entry["index"] = e.index;
    entry["time"] = e.time;
    entry["kind"] = e.kind;
    entry["id"] = e.id;
    entry["movements"] = std::move(movements);
    out.append(std::move(entry));
  }
  return out;
}

py::dict ledger_summary(const std::string& path, bool signatures) {
  std::optional<ledger_reading> seen;
  {
    const py::gil_scoped_release apart;
    seen = unwrap(read_ledger(path, signatures, {}));
  }
  py::dict accounts;
  for (const auto& [node, a] : seen->accounts) {
    py::dict one;
    one["free"] = a.free;
    one["pending"] = a.pending;
    one["stake"] = a.stake;
    one["earned"] = a.earned;
    one["nonce"] = a.nonce;
    one["ejected"] = a.ejected;
    accounts[py::str(to_hex(node))] = std::move(one);
  }
  py::list keepers;
  for (const node_id& keeper : seen->report.keepers) {
    keepers.append(to_hex(keeper));
  }
  py::dict out;
  out["ledger"] = to_hex(seen->report.head.ledger);
  out["size"] = seen->report.head.size;
  out["root"] = to_hex(seen->report.head.root);
  out["time"] = seen->report.head.time;
  out["keepers"] = std::move(keepers);
  out["accounts"] = std::move(accounts);
  out["minted"] = seen->sums.minted;
  out["assurance"] = seen->sums.assurance;
  out["treasury"] = seen->sums.treasury;
  out["burnt"] = seen->sums.burnt;
  return out;
}

} // namespace

void bind_records(py::module_& module) {
  module.def("verify_receipt", &verify_receipt, py::arg("receipt"), py::arg("signers"),
             py::arg("any_signer"), py::arg("ledger_head"), py::arg("ledger_log"));
  module.def("read_receipt", &read_receipt, py::arg("receipt"));
  module.def("make_plan", &make_plan, py::arg("name"), py::arg("cluster"), py::arg("model"),
             py::arg("context"), py::arg("requests"), py::arg("prefill_chunk"), py::arg("batch"));
  module.def("ledger_entries", &ledger_entries, py::arg("path"), py::arg("first"),
             py::arg("count"));
  module.def("ledger_summary", &ledger_summary, py::arg("path"), py::arg("signatures"));
}

} // namespace ovir::python
