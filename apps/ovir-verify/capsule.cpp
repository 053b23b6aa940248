#include "apps/ovir-verify/capsule.hpp"

#include "apps/capsule_file.hpp"
#include "apps/compute_threads.hpp"
#include "apps/console.hpp"
#include "messages/evidence/capsule.hpp"
#include "messages/secret_random.hpp"
#include "verify/capsule_replay.hpp"
#include "verify/reveal_check.hpp"

namespace ovir::apps {

namespace {

using failures = std::vector<compute::receipt_failure>;

/// Address space of one more thread: its stack.
constexpr std::uint64_t thread_bytes = std::uint64_t{16} << 20U;

/// What the judge is handed, mapped or read by whoever may open files.
struct exhibits {
  std::unique_ptr<storage::mapped_file> capsule;
  std::unique_ptr<storage::mapped_file> model;
  std::vector<std::unique_ptr<storage::mapped_file>> reveals;
  std::vector<std::byte> prepared;
};

std::string_view tier_of(const capsule_orders& orders) {
  if (!orders.reveals.empty()) {
    return "T1";
  }
  return orders.model.empty() ? "T0" : "T2";
}

std::uint64_t units_in(const capsule& c) {
  std::uint64_t units = 0;
  for (const capsule_piece& piece : c.pieces) {
    units += std::uint64_t{piece.layers.size()} * windows_of(piece.positions);
  }
  return units;
}

result<failures> replay_all(const capsule& c, const capsule_orders& orders, exhibits& given) {
  OVIR_ASSIGN(const open_model model, parse_model(orders.model, std::move(given.model)));
  if (const auto same = is_model_of(c.what, model); !same) {
    return failures{{same.error().message, std::nullopt, std::nullopt, std::nullopt}};
  }
  // Weights alone: a tokenizer compiles its expressions to code, which the sandbox refuses.
  const auto weights = compute::bind_model(model.metadata);
  if (!weights) {
    return in_context(orders.model, weights.error());
  }
  OVIR_ASSIGN(const compute::kernel_set* const kernels, kernels_from(orders.isa));
  compute_threads runner{orders.threads};
  failures found;
  for (const capsule_piece& piece : c.pieces) {
    OVIR_ASSIGN(const auto wrong, compute::replay_piece(c, piece, *weights, *kernels, runner));
    if (wrong) {
      found.push_back(*wrong);
    }
  }
  return found;
}

/// One after the other: what is revealed of one unit may be a quarter of a gigabyte.
result<failures> check_revealed(const capsule& c, const capsule_orders& orders, exhibits& given) {
  const auto secret = decode_prepared(given.prepared);
  if (!secret) {
    return in_context(orders.prepared, secret.error());
  }
  OVIR_ASSIGN(const compute::kernel_set* const kernels, kernels_from(orders.isa));
  compute_threads runner{orders.threads};
  compute::reveal_checker checker{*secret, *kernels, runner};
  failures found;
  for (std::size_t i = 0; i < given.reveals.size(); ++i) {
    const auto revealed = decode_reveal(given.reveals[i]->bytes());
    if (!revealed) {
      return in_context(orders.reveals[i], revealed.error());
    }
    given.reveals[i].reset();
    compute::spot_draw where{orders.one_in, {}};
    fill_secret(std::as_writable_bytes(std::span{where.seed.bytes}));
    auto wrong = checker.check(c, *revealed, where);
    if (!wrong) {
      return in_context(orders.reveals[i], wrong.error());
    }
    found.insert(found.end(), wrong->begin(), wrong->end());
  }
  return found;
}

std::string_view done_text(std::string_view tier, std::uint64_t units) {
  if (tier == "T2") {
    return "units were computed again in a sandboxed process";
  }
  if (tier == "T1") {
    return units == 1 ? "unit's integer products pass and give what is stated"
                      : "units' integer products pass and give what is stated";
  }
  return "units have the inputs that the receipt states";
}

/// One character, 1 for right, and what is to be printed.
result<std::string> judge(const capsule_orders& orders, exhibits& given) {
  const auto read = decode_capsule(given.capsule->bytes());
  if (!read) {
    return in_context(orders.file, read.error());
  }
  failures found = compute::check_receipt(read->what, orders.who);
  if (found.empty()) {
    found = compute::check_inputs(*read);
  }
  const std::string_view tier = tier_of(orders);
  // What T0 finds anybody can see. What T1 finds only this auditor can.
  const bool convicts = tier != "T1" || !found.empty();
  if (found.empty() && tier == "T2") {
    OVIR_ASSIGN(found, replay_all(*read, orders, given));
  } else if (found.empty() && tier == "T1") {
    OVIR_ASSIGN(found, check_revealed(*read, orders, given));
  }
  const any_receipt whole{read->what};
  const std::uint64_t units = tier == "T1" ? orders.reveals.size() : units_in(*read);
  std::string verdict(1, found.empty() ? '1' : '0');
  if (orders.as_json) {
    json document = verdict_document(whole, tier, found);
    document["units"] = units;
    document["sandboxed"] = true;
    document["convicts"] = !found.empty() && convicts;
    if (tier == "T1") {
      document["one_in"] = orders.one_in;
    }
    return verdict + to_text(document) + "\n";
  }
  verdict += verdict_text(whole, tier, found);
  if (found.empty()) {
    verdict += fmt::format("equal: {} {}\n", units, done_text(tier, units));
    if (tier == "T1" && orders.one_in > 1) {
      verdict += fmt::format("attention and earlier keys and values were computed at 1 of {} "
                             "places, drawn secretly\n",
                             orders.one_in);
    }
  } else if (!convicts) {
    verdict += "this is a suspicion and convicts nobody: replay the unit with ovir-verify "
               "--replay\n";
  }
  return verdict;
}

result<std::vector<std::byte>> read_prepared(const std::string& path, storage::env& environment) {
  OVIR_ASSIGN(const auto size, map_file(environment, path));
  std::vector<std::byte> bytes(size->bytes().size());
  OVIR_ASSIGN(const std::size_t got, environment.read_secret_file(path, bytes));
  bytes.resize(got);
  return bytes;
}

} // namespace

result<exit_code> verify_capsule(const capsule_orders& orders, storage::env& environment,
                                 const std::atomic<bool>& interrupted) {
  exhibits given;
  OVIR_ASSIGN(given.capsule, map_file(environment, orders.file));
  if (!orders.model.empty()) {
    OVIR_ASSIGN(given.model, map_file(environment, orders.model));
  }
  for (const std::string& file : orders.reveals) {
    OVIR_ASSIGN(auto mapped, map_file(environment, file));
    given.reveals.push_back(std::move(mapped));
  }
  if (!orders.reveals.empty()) {
    OVIR_ASSIGN(given.prepared, read_prepared(orders.prepared, environment));
  }
  sandbox_limits bounds = orders.bounds;
  bounds.memory_bytes += orders.threads * thread_bytes;
  OVIR_ASSIGN(const std::string verdict,
              run_sandboxed(
                  bounds, [&] { return judge(orders, given); }, interrupted));
  if (verdict.empty()) {
    return fail(errc::internal, "the sandboxed process gave no verdict");
  }
  OVIR_TRY(write_output(std::string_view{verdict}.substr(1)));
  return verdict.front() == '1' ? exit_code::done : exit_code::wrong;
}

} // namespace ovir::apps
