#include "apps/receipt_report.hpp"

#include "ledger/keeper/participants.hpp"
#include "ledger/keeper/verify.hpp"
#include "messages/evidence/lateness.hpp"
#include "messages/limits/evidence.hpp"
#include "storage/env/durable_file.hpp"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <memory>
#include <utility>

namespace ovir::apps {

namespace {

using compute::receipt_failure;
using compute::signer_policy;

constexpr std::uint64_t signers_file_bytes_max = limits::signers_max * 256;
constexpr std::uint64_t head_file_bytes_max = 4'096;

json unit_of(const receipt_failure& f) {
  if (f.unit) {
    return {{"window", f.unit->window}, {"layer", f.unit->layer}};
  }
  return f.at ? json{{"position", *f.at}} : json(nullptr);
}

/// What both kinds say.
struct outline {
  std::string_view kind;
  closing_facts closed;
  std::vector<std::uint64_t> compute_us; ///< by stage; of a compact one only the last window's
};

outline outline_of(const any_receipt& r) {
  if (const auto* const brief = std::get_if<compact_receipt>(&r)) {
    outline out{"compact receipt", brief->closed, {}};
    for (const compact_receipt::stage& stage : brief->stages) {
      out.compute_us.push_back(stage.last.compute_us);
    }
    return out;
  }
  const auto& whole = std::get<receipt>(r);
  outline out{"receipt", closing_of(whole, std::vector<digest>(whole.stages.size())), {}};
  for (const stage_records& stage : whole.stages) {
    std::uint64_t time = 0;
    for (const statement& s : stage.statements) {
      time += s.compute_us;
    }
    out.compute_us.push_back(time);
  }
  return out;
}

struct ledger_copy {
  ledger::signed_head head;
  std::string path; ///< of the log
  std::unique_ptr<durable_file> log;
};

result<ledger_copy> open_ledger(const signer_options& given, storage::env& environment) {
  OVIR_ASSIGN(const std::string text, environment.read(given.head, head_file_bytes_max));
  auto head = ledger::signed_head_from(std::as_bytes(std::span{text}));
  if (!head) {
    return in_context(given.head, head.error());
  }
  std::string path = given.log.empty()
                         ? (std::filesystem::path{given.head}.parent_path() / "log").string()
                         : given.log;
  auto file = storage::open_durable_file_to_read(path);
  if (!file) {
    return given.log.empty() && file.error().code == errc::not_found
               ? fail(errc::not_found,
                      "there is no log {} beside the head; name the ledger's log with --ledger-log",
                      path)
               : file.error();
  }
  return ledger_copy{std::move(*head), std::move(path), std::move(*file)};
}

result<std::set<node_id>> signers_of_ledger(const signer_options& given,
                                            storage::env& environment) {
  OVIR_ASSIGN(const ledger_copy copy, open_ledger(given, environment));
  auto listed = ledger::participants_at(copy.head, *copy.log);
  return listed ? std::move(listed)
                : result<std::set<node_id>>{in_context(copy.path, listed.error())};
}

result<void> check_one_given(const signer_options& given) {
  if ((given.any ? 1 : 0) + (given.file.empty() ? 0 : 1) + (given.head.empty() ? 0 : 1) > 1) {
    return fail(errc::invalid_argument, "--signers, --ledger-head and --any-signer contradict each "
                                        "other; give one of them");
  }
  return {};
}

} // namespace

void add_signers(CLI::App& command, signer_options& given) {
  command.add_option("--signers", given.file, "File of the keys whose signatures count");
  command.add_flag("--any-signer", given.any, "Everybody's signature counts");
  CLI::Option* const head = command.add_option(
      "--ledger-head", given.head,
      "Signed head of a ledger: those count who had stake in it, were paid by it or drove paid "
      "requests, and were not convicted, up to this head");
  command
      .add_option("--ledger-log", given.log,
                  "A copy of that ledger's log (default: the file \"log\" beside the head)")
      ->needs(head);
}

result<signer_policy> policy_of(const signer_options& given, storage::env& environment) {
  OVIR_TRY(check_one_given(given));
  if (given.any) {
    return signer_policy{signer_policy::kind::any, {}};
  }
  if (!given.head.empty()) {
    OVIR_ASSIGN(std::set<node_id> listed, signers_of_ledger(given, environment));
    return signer_policy{signer_policy::kind::listed, std::move(listed)};
  }
  if (given.file.empty()) {
    return signer_policy{};
  }
  OVIR_ASSIGN(const std::string text, environment.read(given.file, signers_file_bytes_max));
  auto listed = parse_signers(text);
  if (!listed) {
    return in_context(given.file, listed.error());
  }
  return signer_policy{signer_policy::kind::listed, std::move(*listed)};
}

result<signer_policy> keepers_of(const signer_options& given, storage::env& environment) {
  OVIR_TRY(check_one_given(given));
  if (given.head.empty()) {
    return policy_of(given, environment);
  }
  OVIR_ASSIGN(const ledger_copy copy, open_ledger(given, environment));
  ledger::verify_options how;
  how.heads = {copy.head};
  const auto seen = ledger::verify_log(*copy.log, how);
  if (!seen) {
    return in_context(copy.path, seen.error());
  }
  if (seen->fault) {
    return fail(errc::digest_mismatch, "{}: {}", copy.path, seen->fault->what);
  }
  return signer_policy{signer_policy::kind::listed, {seen->keepers.begin(), seen->keepers.end()}};
}

result<std::set<node_id>> parse_signers(std::string_view text) {
  std::set<node_id> keys;
  std::size_t number = 0;
  while (!text.empty()) {
    ++number;
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
    line.remove_prefix(std::min(line.find_first_not_of(" \t\r"), line.size()));
    line = line.substr(0, line.find_first_of(" \t\r#"));
    if (line.empty()) {
      continue;
    }
    const auto key = node_id_from_hex(line);
    if (!key) {
      return fail(errc::malformed, "line {} does not begin with a key of 64 hexadecimal digits",
                  number);
    }
    keys.insert(*key);
    if (keys.size() > limits::signers_max) {
      return fail(errc::over_limit, "more than {} keys", limits::signers_max);
    }
  }
  return keys;
}

result<any_receipt> parse_receipt(std::string_view text) {
  const auto bytes = std::as_bytes(std::span{text});
  if (kind_of(bytes) == receipt_kind::compact) {
    OVIR_ASSIGN(compact_receipt r, decode_compact(bytes));
    return any_receipt{std::move(r)};
  }
  OVIR_ASSIGN(receipt r, decode_receipt(bytes));
  return any_receipt{std::move(r)};
}

std::vector<receipt_failure> check_receipt(const any_receipt& r, const signer_policy& who) {
  return std::visit([&who](const auto& one) { return compute::check_receipt(one, who); }, r);
}

transcript_file transcript_in(const receipt& r) {
  transcript_file file;
  file.model_file = r.asked.model;
  file.model_is_named = true;
  file.prompt = r.asked.prompt;
  file.output = r.output;
  file.sampling = r.asked.sampling;
  file.finish_reason = to_string(r.end);
  file.hashed_layers = r.asked.layers - 1;
  file.positions = r.positions;
  for (const stage_records& stage : r.stages) {
    for (const statement& s : stage.statements) {
      for (std::size_t i = 0; i < s.units.size(); ++i) {
        const layer_index layer = stage.signer.layers.first + static_cast<layer_index>(i);
        if (layer + 1 < r.asked.layers) {
          file.units.push_back({{s.window, layer}, s.positions, s.units[i]});
        } else {
          file.last_layer.push_back(s.units[i]);
        }
      }
    }
  }
  const compute::stated_draws drawn = compute::draws_of(r);
  for (std::size_t i = 0; i < std::min(drawn.logits.size(), r.output.size()); ++i) {
    file.logits.emplace_back(drawn.first + static_cast<position>(i), drawn.logits[i]);
  }
  file.root = r.transcript;
  return file;
}

receipt_failure blame(const receipt& r, const failure& difference) {
  receipt_failure found{difference.what, r.lead.node, difference.unit, difference.at};
  if (difference.unit) {
    for (const stage_records& stage : r.stages) {
      const layer_range layers = stage.signer.layers;
      if (difference.unit->layer >= layers.first && difference.unit->layer < layers.last) {
        found.signer = stage.signer.node;
      }
    }
  } else if (difference.is_logits) {
    found.signer = r.stages.back().signer.node;
  }
  return found;
}

json verdict_document(const any_receipt& r, std::string_view tier,
                      const std::vector<receipt_failure>& found) {
  json list = json::array();
  for (const receipt_failure& f : found) {
    list.push_back({{"what", f.what},
                    {"signer", f.signer ? json(to_hex(*f.signer)) : json(nullptr)},
                    {"unit", unit_of(f)}});
  }
  return {{"ok", found.empty()},
          {"tier", tier},
          {"failures", std::move(list)},
          {"receipt", receipt_document(r)}};
}

std::string verdict_text(const any_receipt& r, std::string_view tier,
                         const std::vector<receipt_failure>& found) {
  std::string text;
  for (const receipt_failure& f : found) {
    text += fmt::format("wrong: {}{}\n", f.what,
                        f.signer ? fmt::format(" (signer {})", to_hex(*f.signer)) : "");
  }
  if (found.empty()) {
    const outline out = outline_of(r);
    text = fmt::format("right ({}): {} stages signed {} windows of {} layers, and {} closed it\n",
                       tier, out.closed.stages.size(), windows_of(out.closed.positions),
                       out.closed.terms.layers, short_name(out.closed.lead.node));
  }
  return text;
}

namespace {

/// What the stages around others say of their time; nothing of a compact receipt.
stage_lateness lateness_of(const any_receipt& r) {
  const auto* const whole = std::get_if<receipt>(&r);
  std::vector<const stage_records*> path;
  if (whole != nullptr) {
    for (const stage_records& stage : whole->stages) {
      path.push_back(&stage);
    }
  }
  return path.empty() ? stage_lateness{}
                      : judge_times(path, whole->lead.node, std::equal_to<node_id>{});
}

json late_steps(const any_receipt& r, const stage_lateness& found) {
  json all = json::array();
  for (const late_step& one : found.late) {
    const auto& stages = std::get<receipt>(r).stages;
    all.push_back(
        {{"signer", to_hex(stages[one.stage].signer.node)},
         {"first_layer", stages[one.stage].signer.layers.first},
         {"position", one.at - 1},
         {"allowed_us", one.allowed_us},
         {"over_us", one.over_us},
         {"shown_by",
          {to_hex(stages[one.stage - 1].signer.node), to_hex(stages[one.stage + 1].signer.node)}}});
  }
  return all;
}

json differing_steps(const any_receipt& r, const stage_lateness& found) {
  json all = json::array();
  for (const differing_times& one : found.differing) {
    const auto& stages = std::get<receipt>(r).stages;
    all.push_back(
        {{"signers",
          {to_hex(stages[one.stage - 1].signer.node), to_hex(stages[one.stage].signer.node),
           to_hex(stages[one.stage + 1].signer.node)}},
         {"position", one.at - 1},
         {"seen_us", one.seen_us},
         {"stated_us", one.stated_us}});
  }
  return all;
}

std::string lateness_text(const any_receipt& r) {
  const stage_lateness found = lateness_of(r);
  std::string text;
  const auto name = [&r](std::size_t stage) {
    return short_name(std::get<receipt>(r).stages[stage].signer.node);
  };
  for (const late_step& one : found.late) {
    text += fmt::format("late       position {} at {}: {:.1f} ms beyond the {:.1f} ms it was "
                        "committed to, as {} and {} show\n",
                        one.at - 1, name(one.stage), static_cast<double>(one.over_us) / 1e3,
                        static_cast<double>(one.allowed_us) / 1e3, name(one.stage - 1),
                        name(one.stage + 1));
  }
  for (const differing_times& one : found.differing) {
    text += fmt::format("times      of position {} differ: {} says {:.1f} ms, {} and {} show "
                        "{:.1f} ms\n",
                        one.at - 1, name(one.stage), static_cast<double>(one.stated_us) / 1e3,
                        name(one.stage - 1), name(one.stage + 1),
                        static_cast<double>(one.seen_us) / 1e3);
  }
  return text;
}

} // namespace

json receipt_document(const any_receipt& r) {
  const outline out = outline_of(r);
  const closing_facts& f = out.closed;
  json stages = json::array();
  for (std::size_t i = 0; i < f.stages.size(); ++i) {
    const evidence_signer& by = f.stages[i].signer;
    stages.push_back({{"first_layer", by.layers.first},
                      {"last_layer", by.layers.last - 1},
                      {"signer", to_hex(by.node)},
                      {"software", by.software},
                      {"compute_us", out.compute_us[i]}});
  }
  json document{{"kind", out.kind},
                {"request", fmt::format("{:016x}", f.terms.request.value)},
                {"content", to_hex(f.terms.content)},
                {"profile", f.terms.profile},
                {"model", to_hex(f.terms.model)},
                {"layers", f.terms.layers},
                {"positions", f.positions},
                {"output_tokens", f.output},
                {"finish_reason", to_string(f.end)},
                {"transcript", to_hex(f.transcript)},
                {"lead", to_hex(f.lead.node)},
                {"first_token_us", f.first_token_us},
                {"prefill_us", f.prefill_us},
                {"decode_us", f.decode_us},
                {"stages", std::move(stages)}};
  if (const auto* const whole = std::get_if<receipt>(&r)) {
    document["prompt_tokens"] = whole->asked.prompt;
    document["tokens"] = whole->output;
    document["seed"] = whole->asked.sampling.seed;
    const stage_lateness found = lateness_of(r);
    document["late"] = late_steps(r, found);
    document["differing_times"] = differing_steps(r, found);
  }
  return document;
}

std::string receipt_text(const any_receipt& r) {
  const outline out = outline_of(r);
  const closing_facts& f = out.closed;
  std::string text = fmt::format(
      "{} of request {:016x}, {}\nmodel      {} ({} layers)\n"
      "tokens     {} positions computed, {} tokens drawn, ended by {}\ntranscript {}\n"
      "lead       {} {}\ntimes      first token {:.1f} ms, prefill {:.1f} ms, decode {:.1f} ms\n",
      out.kind, f.terms.request.value, f.terms.profile, to_hex(f.terms.model), f.terms.layers,
      f.positions, f.output, to_string(f.end), to_hex(f.transcript), to_hex(f.lead.node),
      f.lead.software, static_cast<double>(f.first_token_us) / 1e3,
      static_cast<double>(f.prefill_us) / 1e3, static_cast<double>(f.decode_us) / 1e3);
  for (std::size_t i = 0; i < f.stages.size(); ++i) {
    const evidence_signer& by = f.stages[i].signer;
    text += fmt::format("layers     {} to {} by {} {}, {:.1f} ms of work\n", by.layers.first,
                        by.layers.last - 1, to_hex(by.node), by.software,
                        static_cast<double>(out.compute_us[i]) / 1e3);
  }
  text += lateness_text(r);
  return text + "nothing of this was checked; ovir receipt verify does\n";
}

} // namespace ovir::apps
