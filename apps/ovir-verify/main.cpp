#include "apps/completion.hpp"
#include "apps/compute_threads.hpp"
#include "apps/console.hpp"
#include "apps/exit_code.hpp"
#include "apps/interrupt.hpp"
#include "apps/manual.hpp"
#include "apps/open_model.hpp"
#include "apps/ovir-verify/addenda.hpp"
#include "apps/ovir-verify/capsule.hpp"
#include "apps/ovir-verify/fast.hpp"
#include "apps/ovir-verify/ledger_draw.hpp"
#include "apps/ovir-verify/ledger_proof.hpp"
#include "apps/ovir-verify/prepare.hpp"
#include "apps/ovir-verify/replay.hpp"
#include "apps/ovir-verify/unit_proof.hpp"
#include "apps/private_memory.hpp"
#include "apps/progress.hpp"
#include "apps/receipt_report.hpp"
#include "apps/receipt_tier.hpp"
#include "apps/transcript_file.hpp"
#include "messages/evidence/capsule.hpp"
#include "messages/evidence/fast_record.hpp"
#include "messages/limits/general.hpp"
#include "messages/limits/prepared.hpp"
#include "storage/env/env.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <exception>
#include <thread>

// The offline auditor. Links no CAF: it needs no runtime to judge what one produced.
namespace ovir::apps {

namespace {

constexpr std::string_view program = "ovir-verify";

struct options {
  std::string file;
  std::string opening;
  std::string addenda;
  std::string tier; ///< that a receipt must show; empty: any
  std::string draw;
  std::string capsule;
  std::vector<std::string> reveals;
  std::string prepared;
  std::uint32_t one_in{1};
  std::string proof;
  std::string roots;
  std::string receipt; ///< another way to say `file`
  std::string calibrate;
  prepare_orders prepare;
  std::uint64_t memory_mib{limits::sandbox_memory_mib_default};
  std::int64_t seconds{limits::sandbox_time_default.count()};
  signer_options signers;
  std::string model;
  std::string isa;
  std::uint32_t threads{1};
  std::string manual;
  std::string completion;
  bool as_json{false};
};

void add_replay(CLI::App& app, options& given) {
  app.add_option("--replay", given.capsule,
                 "A replay capsule instead of FILE: with --model, compute its units again in a "
                 "sandboxed process");
  CLI::Option* const reveal = app.add_option(
      "--reveal", given.reveals,
      "The integers of one unit of the capsule FILE, by `ovir receipt reveal`: check "
      "them without the model (tier T1). May be given for each unit; windows of a layer "
      "cost least behind each other");
  reveal->allow_extra_args(false);
  CLI::Option* const prepared =
      app.add_option("--prepared", given.prepared, "What `ovir-verify prepare` wrote of the model");
  reveal->needs(prepared);
  prepared->needs(reveal);
  app.add_option("--one-in", given.one_in,
                 "With --reveal: compute attention and earlier keys and values at 1 of N places, "
                 "drawn secretly; a lie at m of them passes with a chance of (1 - 1/N)^m")
      ->needs(reveal)
      ->check(CLI::Range(std::uint32_t{1}, limits::spots_one_in_max))
      ->capture_default_str();
  app.add_option("--calibrate", given.calibrate,
                 "Of a record of the profile fast: print how far it is from --model, computed fast "
                 "or exact")
      ->check(CLI::IsMember({"fast", "exact"}));
  app.add_option("--memory-limit", given.memory_mib,
                 "MiB that a sandboxed process may use beside the files it is given")
      ->check(CLI::Range(std::uint64_t{16}, limits::sandbox_memory_mib_max))
      ->capture_default_str();
  app.add_option("--time-limit", given.seconds, "Seconds that a sandboxed process may take")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{limits::sandbox_time_max.count()}))
      ->capture_default_str();
}

void add_unit_proof(CLI::App& app, options& given) {
  CLI::Option* const proof = app.add_option(
      "--proof", given.proof,
      "A proof of units of the receipt FILE, by `ovir prove`: check it without the model");
  CLI::Option* const roots = app.add_option(
      "--roots", given.roots, "What `ovir model commit` wrote of the model, from who has it");
  proof->needs(roots);
  roots->needs(proof);
  app.add_option("--receipt", given.receipt, "The receipt, instead of FILE")->needs(proof);
}

void add_prepare(CLI::App& app, options& given) {
  CLI::App* const command = app.add_subcommand(
      "prepare", "Draw the secret vectors with which --reveal is checked without the model");
  command->add_option("-m,--model", given.prepare.model, "The GGUF model")->required();
  command
      ->add_option("-o,--output", given.prepare.output,
                   "File to write, mode 0600; send it to nobody")
      ->required();
  command->add_option("-t,--threads", given.prepare.threads, "Compute threads")
      ->check(CLI::Range(std::uint32_t{1}, limits::threads_max))
      ->capture_default_str();
  command->add_flag("--json", given.as_json, "Errors as one JSON document");
}

void describe(CLI::App& app, options& given) {
  app.name(std::string{program});
  app.description("Checks a receipt written by `ovir run --receipt`, or a transcript file, without "
                  "trusting whoever wrote it.");
  app.footer(
      "Without --model a file is checked against itself: signatures, and that one thing\n"
      "follows from another (tier T0). With --model everything is computed again, and the\n"
      "first unit that differs is named, with who signed it (tier T2).\n"
      "Whose signatures count is part of the question: a receipt needs --signers FILE (a key\n"
      "per line), --ledger-head FILE (a ledger's signed head, its log beside it) or\n"
      "--any-signer; else the answer is \"signers unknown\".\n"
      "A signed head, promise or proof of a ledger is checked likewise; its keeper must be among\n"
      "the signers.\n"
      "With --draw everybody learns from a ledger's log who had to audit what, and whose part of\n"
      "the draw is overdue. An audit that is not done yet is no error.\n"
      "\nExamples:\n"
      "  ovir run -p \"Once upon a time\" --receipt story.receipt\n"
      "  ovir-verify story.receipt --signers nodes.txt\n"
      "  ovir-verify story.receipt --addenda story.addenda --signers nodes.txt\n"
      "  ovir-verify story.receipt --any-signer --model assets/tales-q4_k_m.gguf\n"
      "  ovir-verify --replay story.capsule --model assets/tales-q4_k_m.gguf --any-signer\n"
      "  ovir-verify prepare --model assets/tales-q4_k_m.gguf --output tales.prepared\n"
      "  ovir receipt reveal story.capsule unit.reveal --layer 0 --window 0\n"
      "  ovir-verify story.capsule --reveal unit.reveal --prepared tales.prepared --any-signer\n"
      "  ovir-verify story.receipt --proof unit.proof --roots tales.roots --any-signer\n"
      "  ovir run -p \"Once upon a time\" --transcript story.json\n"
      "  ovir-verify story.json\n"
      "  ovir-verify story.json --model assets/tales-q4_k_m.gguf\n"
      "  ovir-verify --draw ledger/log\n"
      "\nExit codes: 0 all equal, 1 something differs, 2 usage, 3 refused or not found,\n"
      "4 unavailable.");
  app.set_version_flag("--version", std::string{program} + " " + OVIR_VERSION);
  given.prepare.threads = given.threads =
      std::clamp<std::uint32_t>(std::thread::hardware_concurrency(), 1, limits::threads_max);
  app.add_option("FILE", given.file, "The receipt, replay capsule or transcript file");
  app.add_option("-m,--model", given.model, "The GGUF model it was made with: replay everything");
  app.add_option("-t,--threads", given.threads, "Compute threads")
      ->check(CLI::Range(std::uint32_t{1}, limits::threads_max))
      ->capture_default_str();
  add_signers(app, given.signers);
  app.add_option("--open", given.opening,
                 "A unit opened by `ovir receipt open`: is it of this compact receipt?");
  app.add_option("--addenda", given.addenda,
                 "What verifiers signed about the receipt: tell who audited which windows, and "
                 "what does not count");
  app.add_option(
      "--draw", given.draw,
      "A ledger's log, or its folder, instead of FILE: check it, and tell which verifier "
      "had to audit which unit, and did");
  add_replay(app, given);
  add_unit_proof(app, given);
  add_prepare(app, given);
  app.add_option("--tier", given.tier,
                 "attestor=KEY,region=NAME,operator=NAME,confidential: the receipt must show that "
                 "each node that computed it is attested this by this key");
  app.add_option("--isa", given.isa, "Kernels to compute with: reference, avx2 or avx512")
      ->envname("OVIR_ISA");
  app.add_flag("--json", given.as_json, "Print one JSON document");
  // For packages.
  app.add_option("--manual", given.manual, "Write the manual pages to this folder")->group("");
  app.add_option("--completion", given.completion,
                 "Print what a shell completes by: bash, zsh, fish")
      ->group("");
}

json unit_of(const failure& f) {
  if (f.unit) {
    return {{"window", f.unit->window}, {"layer", f.unit->layer}};
  }
  return f.at ? json{{"position", *f.at}} : json(nullptr);
}

result<void> report(const options& given, const transcript_file& file,
                    const std::vector<failure>& failures) {
  const std::string_view tier = given.model.empty() ? "T0" : "T2";
  if (given.as_json) {
    json list = json::array();
    for (const failure& f : failures) {
      // Nothing in a transcript file is signed, so nobody can be named.
      list.push_back({{"what", f.what}, {"signer", nullptr}, {"unit", unit_of(f)}});
    }
    return write_document(json{{"ok", failures.empty()},
                               {"tier", tier},
                               {"failures", std::move(list)},
                               {"root", to_hex(file.root)},
                               {"units", file.units.size()},
                               {"draws", file.logits.size()}});
  }
  std::string text;
  for (const failure& f : failures) {
    text += fmt::format("differs: {}\n", f.what);
  }
  if (failures.empty()) {
    text = fmt::format("equal: {} units, {} draws and {} tokens {} {}\n", file.units.size(),
                       file.logits.size(), file.tokens().size(),
                       given.model.empty() ? "give the root" : "were computed again and give",
                       to_hex(file.root));
  }
  return write_output(text);
}

/// Computes everything again that `file` states.
result<std::vector<failure>> replay_all(const options& given, const transcript_file& file,
                                        storage::env& environment,
                                        const std::atomic<bool>& interrupted) {
  OVIR_ASSIGN(const ready_model model, ready_model_at(environment, given.model));
  OVIR_ASSIGN(const compute::kernel_set* const kernels, kernels_from(given.isa));
  compute_threads runner{given.threads};
  progress shown{environment, "replaying"};
  const auto show = [&shown](position done, position total) { shown.update(done, total); };
  return replay(file, model, *kernels, runner, show, interrupted);
}

result<exit_code> verify_transcript(const options& given, std::string_view text,
                                    storage::env& environment,
                                    const std::atomic<bool>& interrupted) {
  const auto file = parse_transcript_file(text);
  if (!file) {
    return in_context(given.file, file.error());
  }
  std::vector<failure> failures = check_root(*file);
  if (failures.empty() && !given.model.empty()) {
    OVIR_ASSIGN(failures, replay_all(given, *file, environment, interrupted));
  }
  OVIR_TRY(report(given, *file, failures));
  return failures.empty() ? exit_code::done : exit_code::wrong;
}

/// A unit of the receipt, opened: adds what does not fit.
result<void> check_opened(const options& given, const any_receipt& r, storage::env& environment,
                          std::vector<compute::receipt_failure>& failures) {
  OVIR_ASSIGN(const std::string text, environment.read(given.opening, limits::opening_bytes_max));
  const auto opened = decode_opening(std::as_bytes(std::span{text}));
  if (!opened) {
    return in_context(given.opening, opened.error());
  }
  const auto* const brief = std::get_if<compact_receipt>(&r);
  if (brief == nullptr) {
    return fail(errc::invalid_argument, "--open needs a compact receipt; {} is a whole one",
                given.file);
  }
  if (const auto fits = check_opening(*brief, *opened); !fits) {
    failures.push_back({fits.error().message, std::nullopt,
                        compute::unit_name{opened->statement.window, opened->layer}, std::nullopt});
  }
  return {};
}

/// None where no file was named.
result<std::optional<addenda_report>> check_addenda(const options& given, const any_receipt& r,
                                                    std::string_view bytes,
                                                    const compute::signer_policy& who,
                                                    storage::env& environment) {
  if (given.addenda.empty()) {
    return std::optional<addenda_report>{};
  }
  const auto* const whole = std::get_if<receipt>(&r);
  if (whole == nullptr) {
    return fail(errc::invalid_argument, "--addenda are about a whole receipt; {} is a compact one",
                given.file);
  }
  OVIR_ASSIGN(const std::string text, environment.read(given.addenda, limits::addenda_bytes_max));
  const auto all = decode_addenda(std::as_bytes(std::span{text}));
  if (!all) {
    return in_context(given.addenda, all.error());
  }
  return std::optional{judge_addenda_file(*whole, std::as_bytes(std::span{bytes}), *all, who)};
}

/// Adds what the receipt lacks of the tier that was named.
result<void> check_tier(const options& given, const any_receipt& r, std::uint64_t now_unix,
                        std::vector<compute::receipt_failure>& failures) {
  if (given.tier.empty()) {
    return {};
  }
  OVIR_ASSIGN(const tier_demand demand, tier_from_text(given.tier));
  const auto* const whole = std::get_if<receipt>(&r);
  if (whole == nullptr) {
    return fail(errc::invalid_argument, "--tier needs a whole receipt; {} is a compact one",
                given.file);
  }
  if (const auto what = lacking_tier(*whole, demand, now_unix)) {
    failures.push_back({"tier: " + *what, std::nullopt, std::nullopt, std::nullopt});
  }
  return {};
}

result<exit_code> verify_receipt(const options& given, std::string_view text,
                                 storage::env& environment, const std::atomic<bool>& interrupted) {
  OVIR_ASSIGN(const compute::signer_policy who, policy_of(given.signers, environment));
  const auto r = parse_receipt(text);
  if (!r) {
    return in_context(given.file, r.error());
  }
  std::vector<compute::receipt_failure> failures = check_receipt(*r, who);
  if (!given.opening.empty()) {
    OVIR_TRY(check_opened(given, *r, environment, failures));
  }
  if (failures.empty() && !given.model.empty()) {
    const auto* const whole = std::get_if<receipt>(&*r);
    if (whole == nullptr) {
      return fail(errc::invalid_argument, "a compact receipt has no tokens to compute again; give "
                                          "the whole receipt");
    }
    OVIR_ASSIGN(const auto differences,
                replay_all(given, transcript_in(*whole), environment, interrupted));
    for (const failure& difference : differences) {
      failures.push_back(blame(*whole, difference));
    }
  }
  const std::uint64_t now = environment.unix_seconds();
  OVIR_TRY(check_tier(given, *r, now, failures));
  OVIR_ASSIGN(const auto audits, check_addenda(given, *r, text, who, environment));
  const auto* const whole = std::get_if<receipt>(&*r);
  const std::string_view tier = given.model.empty() ? "T0" : "T2";
  if (given.as_json) {
    json document = verdict_document(*r, tier, failures);
    if (audits) {
      document["addenda"] = addenda_document(*audits);
    }
    if (whole != nullptr) {
      document["attested"] = tiers_document(*whole, now);
    }
    OVIR_TRY(write_document(document));
  } else {
    OVIR_TRY(write_output(verdict_text(*r, tier, failures) +
                          (whole != nullptr ? tiers_text(*whole, now) : std::string{}) +
                          (audits ? addenda_text(*audits) : std::string{})));
  }
  return failures.empty() && (!audits || audits->ok()) ? exit_code::done : exit_code::wrong;
}

result<exit_code> replay_capsule(const options& given, const std::string& file,
                                 storage::env& environment, const std::atomic<bool>& interrupted) {
  capsule_orders orders;
  orders.file = file;
  orders.model = given.model;
  orders.reveals = given.reveals;
  orders.prepared = given.prepared;
  orders.one_in = given.one_in;
  orders.isa = given.isa;
  orders.threads = given.threads;
  OVIR_ASSIGN(orders.who, policy_of(given.signers, environment));
  orders.bounds.memory_bytes = given.memory_mib << 20U;
  orders.bounds.time = std::chrono::seconds{given.seconds};
  orders.as_json = given.as_json;
  return verify_capsule(orders, environment, interrupted);
}

result<exit_code> verify_proof(const options& given, storage::env& environment,
                               const std::atomic<bool>& interrupted) {
  if (given.file.empty() == given.receipt.empty() || !given.model.empty() ||
      !given.capsule.empty() || !given.draw.empty() || !given.reveals.empty()) {
    return fail(errc::invalid_argument,
                "--proof needs --roots and one receipt, and nothing else that is to be checked");
  }
  unit_proof_orders orders;
  orders.receipt = given.file.empty() ? given.receipt : given.file;
  orders.proof = given.proof;
  orders.roots = given.roots;
  orders.isa = given.isa;
  orders.threads = given.threads;
  OVIR_ASSIGN(orders.who, policy_of(given.signers, environment));
  orders.bounds.memory_bytes = given.memory_mib << 20U;
  orders.bounds.time = std::chrono::seconds{given.seconds};
  orders.as_json = given.as_json;
  return verify_unit_proof(orders, environment, interrupted);
}

result<exit_code> verify(const options& given, storage::env& environment,
                         const std::atomic<bool>& interrupted) {
  if (!given.proof.empty()) {
    return verify_proof(given, environment, interrupted);
  }
  if ((given.file.empty() ? 0 : 1) + (given.capsule.empty() ? 0 : 1) +
          (given.draw.empty() ? 0 : 1) !=
      1) {
    return fail(errc::invalid_argument,
                "give either a file, --replay CAPSULE or --draw LOG; see {} --help", program);
  }
  if (!given.draw.empty()) {
    return verify_draws(given.draw, given.as_json);
  }
  if (!given.capsule.empty()) {
    if (given.model.empty()) {
      return fail(errc::invalid_argument,
                  "--replay computes again and needs --model; without it, give {} as FILE",
                  given.capsule);
    }
    return replay_capsule(given, given.capsule, environment, interrupted);
  }
  if (!given.reveals.empty()) {
    if (given.reveals.size() > limits::reveals_max) {
      return fail(errc::over_limit, "{} reveals are more than {} in one call", given.reveals.size(),
                  limits::reveals_max);
    }
    if (!given.model.empty()) {
      return fail(errc::invalid_argument,
                  "--reveal needs no --model, and --model needs no reveal; give one of them");
    }
    return replay_capsule(given, given.file, environment, interrupted);
  }
  auto text = environment.read(given.file, limits::capsule_bytes_max);
  if (!text) {
    error e = text.error();
    e.code = e.code == errc::invalid_argument ? errc::unsupported : e.code;
    return e;
  }
  if (is_fast_record(std::as_bytes(std::span{*text}))) {
    fast_check_orders orders{given.file,    given.model, given.isa,    given.calibrate,
                             given.threads, {},          given.as_json};
    OVIR_ASSIGN(orders.who, policy_of(given.signers, environment));
    return verify_fast(orders, environment);
  }
  if (!given.calibrate.empty()) {
    return fail(errc::invalid_argument,
                "--calibrate is about a record of the profile fast; {} is "
                "none",
                given.file);
  }
  if (is_capsule(std::as_bytes(std::span{*text}))) {
    text->clear();
    return replay_capsule(given, given.file, environment, interrupted);
  }
  if (is_ledger_proof(*text)) {
    OVIR_ASSIGN(const compute::signer_policy keepers, keepers_of(given.signers, environment));
    return verify_ledger_proof(given.file, *text, keepers, given.as_json);
  }
  if (kind_of(std::as_bytes(std::span{*text})) == receipt_kind::other) {
    return verify_transcript(given, *text, environment, interrupted);
  }
  return verify_receipt(given, *text, environment, interrupted);
}

int report_end(const result<exit_code>& done, const options& given) {
  if (!done) {
    write_error(program, done.error(), given.as_json);
    return static_cast<int>(exit_code_of(done.error().code));
  }
  return static_cast<int>(*done);
}

int run_main(int argc, char** argv) {
  reserve_standard_descriptors();
  const std::atomic<bool>& interrupted = watch_for_interrupts();
  CLI::App app;
  options given;
  describe(app, given);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) {
      return app.exit(e);
    }
    write_error(program, fail(errc::invalid_argument, "{}; see {} --help", e.what(), program),
                wants_json(argc, argv));
    return static_cast<int>(exit_code::usage);
  }
  if (const auto kept = keep_memory_private(); !kept) { // `prepare` draws secret vectors
    return report_end(kept.error(), given);
  }
  const auto environment = storage::make_env_posix();
  if (!given.manual.empty()) {
    const auto written =
        write_manual_pages(*environment, given.manual, manual_pages(app, OVIR_VERSION));
    return report_end(written ? result<exit_code>{exit_code::done} : written.error(), given);
  }
  if (!given.completion.empty()) {
    const auto script = completion_for(app, given.completion);
    const auto written = script ? write_output(*script) : result<void>{script.error()};
    return report_end(written ? result<exit_code>{exit_code::done} : written.error(), given);
  }
  const auto done = app.got_subcommand("prepare") ? prepare(given.prepare, *environment)
                                                  : verify(given, *environment, interrupted);
  return report_end(done, given);
}

} // namespace

} // namespace ovir::apps

int main(int argc, char** argv) {
  try {
    return ovir::apps::run_main(argc, argv);
  } catch (const std::exception& e) {
    ovir::apps::write_error("ovir-verify", ovir::apps::error_from(e),
                            ovir::apps::wants_json(argc, argv));
    return static_cast<int>(ovir::apps::exit_code::unavailable);
  }
}
