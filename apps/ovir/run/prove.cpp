#include "apps/capsule_file.hpp"
#include "apps/commitment_trees.hpp"
#include "apps/compute_threads.hpp"
#include "apps/ovir/base/command.hpp"
#include "apps/receipt_report.hpp"
#include "messages/limits/proofs.hpp"
#include "verify/units/unit_prover.hpp"

#include <algorithm>
#include <charconv>
#include <memory>

namespace ovir::apps {

namespace {

struct prove_options {
  std::string file;
  std::string output;
  std::string model;
  std::string roots;
  std::string trees;
  std::vector<std::string> units;
  compute_options how;
  bool as_json{false};
};

/// "3", "3-5", "3@2" (window 2 alone), "3@0-2".
result<proofs::unit_choice> parse_choice(std::string_view text, const receipt& r) {
  const std::uint32_t windows = windows_of(r.positions);
  const auto range = [](std::string_view part, std::uint32_t& first, std::uint32_t& last) {
    const auto number = [](std::string_view digits, std::uint32_t& value) {
      const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), value);
      return read.ec == std::errc{} && read.ptr == digits.data() + digits.size();
    };
    const std::size_t dash = part.find('-');
    const bool one = number(part.substr(0, dash), first);
    last = first;
    return one && (dash == std::string_view::npos || number(part.substr(dash + 1), last));
  };
  const std::size_t at = text.find('@');
  std::uint32_t layers[2] = {};
  std::uint32_t over[2] = {0, windows - 1};
  if (!range(text.substr(0, at), layers[0], layers[1]) ||
      (at != std::string_view::npos && !range(text.substr(at + 1), over[0], over[1])) ||
      layers[1] < layers[0] || layers[1] >= r.asked.layers || over[1] < over[0] ||
      over[1] >= windows) {
    return fail(errc::invalid_argument,
                "\"{}\" names no units: give a layer from 0 to {} or a range such as 3-5, and "
                "behind it @ and windows from 0 to {}, such as 3@2 or 3-5@0-2",
                text, r.asked.layers - 1, windows - 1);
  }
  return proofs::unit_choice{{layers[0], layers[1] + 1}, over[0], over[1] + 1};
}

result<receipt> sound_receipt(const std::string& path, std::string_view text) {
  auto read = parse_receipt(text);
  if (!read) {
    return in_context(path, read.error());
  }
  auto* const whole = std::get_if<receipt>(&*read);
  if (whole == nullptr) {
    return fail(errc::invalid_argument, "{} is compact; give the whole receipt", path);
  }
  const auto found = compute::check_receipt(*whole, {compute::signer_policy::kind::any, {}});
  if (!found.empty()) {
    return fail(errc::digest_mismatch, "{} does not hold: {}", path, found.front().what);
  }
  return std::move(*whole);
}

proofs::tree_source trees_for(const prove_options& given, surroundings& around,
                              compute::parallel_runner& runner) {
  proofs::tree_source again = proofs::committed_again(runner);
  return [&given, &around, again](const proofs::committed_tensor& tensor, const compute::weight& w,
                                  std::string_view name) -> result<proofs::column_tree> {
    if (!given.trees.empty()) {
      if (auto kept = read_tree(around.environment, given.trees, tensor)) {
        return std::move(*kept);
      }
    }
    return again(tensor, w, name);
  };
}

result<void> report_proof(const prove_options& given, const proofs::unit_proof& proof,
                          std::size_t bytes) {
  std::uint32_t units = 0;
  for (const proofs::proven_piece& piece : proof.pieces) {
    units += piece.last - piece.first;
  }
  if (given.as_json) {
    return write_document(json{{"units", units},
                               {"layers", proof.pieces.size()},
                               {"bytes", bytes},
                               {"statement_bytes", proof.statement.size()},
                               {"proof_bytes", proof.proof.size()}});
  }
  write_note(fmt::format("{} units proven; {} bytes in {}, of which {} are sums and inputs and {} "
                         "the proof of the products\n",
                         units, bytes, given.output, proof.statement.size(), proof.proof.size()));
  return {};
}

result<exit_code> prove(const prove_options& given, surroundings& around) {
  OVIR_ASSIGN(const std::string text,
              around.environment.read(given.file, limits::receipt_bytes_max));
  OVIR_ASSIGN(const receipt r, sound_receipt(given.file, text));
  OVIR_ASSIGN(const std::string published,
              around.environment.read(given.roots, limits::roots_bytes_max));
  const auto roots = proofs::decode_roots(std::as_bytes(std::span{published}));
  if (!roots) {
    return in_context(given.roots, roots.error());
  }
  OVIR_ASSIGN(const ready_model model, load_model(around, given.model));
  OVIR_TRY(is_model_of(r, model.source));
  std::vector<proofs::unit_choice> choices;
  for (const std::string& units : given.units) {
    OVIR_ASSIGN(const proofs::unit_choice choice, parse_choice(units, r));
    choices.push_back(choice);
  }
  OVIR_ASSIGN(const compute::kernel_set* const kernels, kernels_from(given.how.isa));
  compute_threads runner{given.how.threads};
  const proofs::proof_material from{
      &r,      hash_plain(std::as_bytes(std::span{text})),      &model.weights,
      &*roots, hash_plain(std::as_bytes(std::span{published})), trees_for(given, around, runner)};
  OVIR_ASSIGN(const proofs::unit_proof proof, proofs::prove_units(from, choices, *kernels, runner));
  const auto bytes = proofs::encode_unit_proof(proof);
  if (bytes.size() > limits::unit_proof_bytes_max) {
    return fail(errc::over_limit, "a proof of {} bytes; it has at most {}: choose fewer units",
                bytes.size(), limits::unit_proof_bytes_max);
  }
  OVIR_ASSIGN(const auto file, around.environment.stage(given.output));
  OVIR_TRY(file->append(bytes));
  OVIR_TRY(file->commit());
  OVIR_TRY(report_proof(given, proof, bytes.size()));
  return exit_code::done;
}

} // namespace

void add_prove(CLI::App& app, chosen_command& chosen) {
  CLI::App* const command =
      app.add_subcommand("prove", "Prove units of a receipt to readers without the model");
  const auto given = std::make_shared<prove_options>();
  command->footer(
      "Computes the units again and proves all their products together. A reader needs the\n"
      "receipt, the proof and the model's roots: ovir-verify --proof checks them.\n"
      "A proof shows activations: it hides nothing of the request.\n"
      "\nExamples:\n"
      "  ovir prove story.receipt --roots MODEL.roots -m MODEL.gguf --units 3@2 -o unit.proof\n"
      "  ovir prove story.receipt --roots MODEL.roots -m MODEL.gguf --units 0-7 -o stage.proof\n"
      "  ovir-verify story.receipt --proof unit.proof --roots MODEL.roots --any-signer");
  command->add_option("RECEIPT", given->file, "The receipt")->required();
  command->add_option("-m,--model", given->model, "GGUF file (default: the embedded model)");
  command->add_option("--roots", given->roots, "What ovir model commit wrote of the model")
      ->required();
  command
      ->add_option("--units", given->units,
                   "Layers, and which windows: 3, 3-5 (all windows), 3@2, 3-5@0-2; may be given "
                   "several times")
      ->required()
      ->allow_extra_args(false);
  command->add_option("-o,--output", given->output, "File to write")->required();
  command->add_option("--trees", given->trees,
                      "Folder that ovir model commit --trees wrote (default: commit again to the "
                      "tensors needed)");
  add_threads(*command, given->how);
  add_isa(*command, given->how);
  add_json(*command, given->as_json);
  command->callback([given, &chosen] {
    chosen.as_json = given->as_json;
    chosen.run = [given](surroundings& around) { return prove(*given, around); };
  });
}

} // namespace ovir::apps
