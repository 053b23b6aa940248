#include "apps/capsule_file.hpp"
#include "apps/compute_threads.hpp"
#include "apps/ovir/base/command.hpp"
#include "apps/receipt_report.hpp"
#include "apps/receipt_tier.hpp"
#include "verify/reveal_check.hpp"

#include <memory>

namespace ovir::apps {

namespace {

struct receipt_options {
  std::string file;
  std::string output;
  signer_options signers;
  std::string model;
  std::vector<std::string> units;
  compute_options how;
  std::uint32_t window{0};
  std::uint32_t layer{0};
  bool as_json{false};
};

result<any_receipt> load(const receipt_options& given, surroundings& around) {
  OVIR_ASSIGN(const std::string text,
              around.environment.read(given.file, limits::receipt_bytes_max));
  auto read = parse_receipt(text);
  return read ? std::move(read) : in_context(given.file, read.error());
}

result<void> write_file(surroundings& around, const std::string& path,
                        const std::vector<std::byte>& bytes) {
  OVIR_ASSIGN(const auto file, around.environment.stage(path));
  OVIR_TRY(file->append(bytes));
  return file->commit();
}

result<exit_code> show(const receipt_options& given, surroundings& around) {
  OVIR_ASSIGN(const any_receipt r, load(given, around));
  OVIR_TRY(given.as_json ? write_document(receipt_document(r)) : write_output(receipt_text(r)));
  return exit_code::done;
}

result<exit_code> verify(const receipt_options& given, surroundings& around) {
  OVIR_ASSIGN(const compute::signer_policy who, policy_of(given.signers, around.environment));
  OVIR_ASSIGN(const any_receipt r, load(given, around));
  const auto found = check_receipt(r, who);
  const auto* const whole = std::get_if<receipt>(&r);
  const std::uint64_t now = around.environment.unix_seconds();
  json document = verdict_document(r, "T0", found);
  std::string text = verdict_text(r, "T0", found);
  if (whole != nullptr) {
    document["attested"] = tiers_document(*whole, now);
    text += tiers_text(*whole, now);
  }
  OVIR_TRY(given.as_json ? write_document(document) : write_output(text));
  return found.empty() ? exit_code::done : exit_code::wrong;
}

/// A whole receipt that holds, whoever signed it: what others are made from.
result<receipt> load_sound(const receipt_options& given, surroundings& around) {
  OVIR_ASSIGN(any_receipt r, load(given, around));
  auto* const whole = std::get_if<receipt>(&r);
  if (whole == nullptr) {
    return fail(errc::invalid_argument, "{} is compact already; give the whole receipt",
                given.file);
  }
  const auto found = compute::check_receipt(*whole, {compute::signer_policy::kind::any, {}});
  if (!found.empty()) {
    return fail(errc::digest_mismatch, "{} does not hold: {}", given.file, found.front().what);
  }
  return std::move(*whole);
}

result<exit_code> shorten(const receipt_options& given, surroundings& around) {
  OVIR_ASSIGN(const receipt r, load_sound(given, around));
  OVIR_ASSIGN(const compact_receipt brief, compact(r));
  const auto bytes = encode_compact(brief);
  OVIR_TRY(write_file(around, given.output, bytes));
  write_note(fmt::format("{} bytes in {}\n", bytes.size(), given.output));
  return exit_code::done;
}

result<exit_code> open(const receipt_options& given, surroundings& around) {
  OVIR_ASSIGN(const receipt r, load_sound(given, around));
  OVIR_ASSIGN(const unit_opening opened, open_unit(r, given.window, given.layer));
  OVIR_TRY(write_file(around, given.output, encode_opening(opened)));
  return exit_code::done;
}

result<exit_code> enclose(const receipt_options& given, surroundings& around) {
  OVIR_ASSIGN(const receipt r, load_sound(given, around));
  OVIR_ASSIGN(const ready_model model, load_model(around, given.model));
  OVIR_ASSIGN(const compute::kernel_set* const kernels, kernels_from(given.how.isa));
  compute_threads runner{given.how.threads};
  OVIR_ASSIGN(const auto bytes, capsule_bytes(r, given.units, model, *kernels, runner));
  OVIR_TRY(write_file(around, given.output, bytes));
  write_note(fmt::format("{} bytes in {}\n", bytes.size(), given.output));
  return exit_code::done;
}

result<exit_code> reveal(const receipt_options& given, surroundings& around) {
  OVIR_ASSIGN(const std::string text,
              around.environment.read(given.file, limits::capsule_bytes_max));
  const auto enclosed = decode_capsule(std::as_bytes(std::span{text}));
  if (!enclosed) {
    return in_context(given.file, enclosed.error());
  }
  OVIR_ASSIGN(const ready_model model, load_model(around, given.model));
  OVIR_TRY(is_model_of(enclosed->what, model.source));
  OVIR_ASSIGN(const compute::kernel_set* const kernels, kernels_from(given.how.isa));
  compute_threads runner{given.how.threads};
  OVIR_ASSIGN(const unit_reveal opened, compute::reveal_unit(*enclosed, {given.window, given.layer},
                                                             model.weights, *kernels, runner));
  const auto bytes = encode_reveal(opened);
  OVIR_TRY(write_file(around, given.output, bytes));
  write_note(fmt::format("{} bytes in {}\n", bytes.size(), given.output));
  return exit_code::done;
}

using action = result<exit_code> (*)(const receipt_options&, surroundings&);

std::shared_ptr<receipt_options> add(CLI::App& group, const std::string& name,
                                     const std::string& about, action act, chosen_command& chosen) {
  CLI::App* const command = group.add_subcommand(name, about);
  const auto given = std::make_shared<receipt_options>();
  command->add_option("FILE", given->file, "The receipt")->required();
  command->callback([given, act, &chosen] {
    chosen.as_json = given->as_json;
    chosen.run = [given, act](surroundings& around) { return act(*given, around); };
  });
  return given;
}

void add_reveal(CLI::App& group, chosen_command& chosen) {
  const auto given =
      add(group, "reveal", "Write the integers of one unit of a capsule, for ovir-verify --reveal",
          reveal, chosen);
  CLI::App* const command = group.get_subcommand("reveal");
  command->add_option("OUTPUT", given->output, "File to write")->required();
  command->add_option("-m,--model", given->model, "GGUF file (default: the embedded model)");
  command->add_option("--window", given->window, "Window of 32 positions, from 0")->required();
  command->add_option("--layer", given->layer, "Layer, from 0: where a piece of it begins")
      ->required();
  add_threads(*command, given->how);
  add_isa(*command, given->how);
}

} // namespace

void add_receipt(CLI::App& app, chosen_command& chosen) {
  CLI::App* const group =
      app.add_subcommand("receipt", "Show, check and shorten the receipt of an answer");
  group->require_subcommand(1);
  const auto shown = add(*group, "show", "Print a receipt for people", show, chosen);
  add_json(*group->get_subcommand("show"), shown->as_json);
  const auto checked =
      add(*group, "verify", "Check it without the model (tier T0)", verify, chosen);
  add_signers(*group->get_subcommand("verify"), checked->signers);
  add_json(*group->get_subcommand("verify"), checked->as_json);
  group->get_subcommand("verify")->footer(
      "Exit codes: 0 all is right, 1 something is wrong or the signers are unknown,\n"
      "3 no receipt. ovir-verify does the same, and with --model computes it again.\n"
      "\nExamples:\n"
      "  ovir receipt verify story.receipt --signers nodes.txt\n"
      "  ovir receipt verify story.receipt --any-signer --json");
  const auto brief = add(*group, "compact", "Write its short form", shorten, chosen);
  group->get_subcommand("compact")
      ->add_option("OUTPUT", brief->output, "File to write")
      ->required();
  const auto held =
      add(*group, "capsule", "Write it with the inputs of units, for replay", enclose, chosen);
  CLI::App* const encloses = group->get_subcommand("capsule");
  encloses->add_option("OUTPUT", held->output, "File to write")->required();
  encloses->add_option("-m,--model", held->model, "GGUF file (default: the embedded model)");
  encloses
      ->add_option("--units", held->units,
                   "Layers, and up to which window: 3, 3-5, 3@2; may be given several times "
                   "(default: every stage, whole)")
      ->allow_extra_args(false);
  add_threads(*encloses, held->how);
  add_isa(*encloses, held->how);
  encloses->footer("\nExamples:\n"
                   "  ovir receipt capsule story.receipt story.capsule\n"
                   "  ovir receipt capsule story.receipt unit.capsule -m MODEL.gguf --units 3@2");
  add_reveal(*group, chosen);
  const auto unit =
      add(*group, "open", "Write the proof of one unit for a compact receipt", open, chosen);
  CLI::App* const opens = group->get_subcommand("open");
  opens->add_option("OUTPUT", unit->output, "File to write")->required();
  opens->add_option("--window", unit->window, "Window of 32 positions, from 0")->required();
  opens->add_option("--layer", unit->layer, "Layer, from 0")->required();
}

} // namespace ovir::apps
