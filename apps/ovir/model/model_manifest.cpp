#include "apps/ovir/model/model_manifest.hpp"

#include "compute/gguf/manifest.hpp"

#include <set>
#include <span>

namespace ovir::apps {

namespace {

struct manifest_options {
  std::string file;
  std::string output;
  bool as_json{false};
};

struct totals {
  std::uint64_t bytes{0};
  std::size_t chunks{0};
  std::size_t different_chunks{0};
};

totals totals_of(const compute::model_manifest& manifest) {
  totals sum;
  std::set<digest> different;
  for (const compute::tensor_manifest& t : manifest.tensors) {
    sum.bytes += t.bytes;
    sum.chunks += t.chunks.size();
    different.insert(t.chunks.begin(), t.chunks.end());
  }
  sum.different_chunks = different.size();
  return sum;
}

result<exit_code> write_manifest(const manifest_options& given, surroundings& around) {
  OVIR_ASSIGN(const open_model model, open_model_at(around.environment, given.file));
  OVIR_ASSIGN(const compute::model_manifest manifest, compute::manifest_of(model.metadata));
  const std::string bytes = compute::to_bytes(manifest);
  if (!given.output.empty()) {
    OVIR_ASSIGN(const auto staged, around.environment.stage(given.output));
    OVIR_TRY(staged->append(std::as_bytes(std::span{bytes})));
    OVIR_TRY(staged->commit());
  }
  const digest name = compute::name_of(manifest);
  const totals sum = totals_of(manifest);
  if (given.as_json) {
    OVIR_TRY(write_document(json{{"model", to_cid(name)},
                                 {"digest", to_hex(name)},
                                 {"tokenizer", to_cid(manifest.tokenizer)},
                                 {"manifest_bytes", bytes.size()},
                                 {"tensors", manifest.tensors.size()},
                                 {"tensor_bytes", sum.bytes},
                                 {"chunks", sum.chunks},
                                 {"different_chunks", sum.different_chunks}}));
    return exit_code::done;
  }
  OVIR_TRY(write_output(to_cid(name) + "\n"));
  write_note(fmt::format("{} tensors, {} in {} chunks; the manifest has {}\n",
                         manifest.tensors.size(), bytes_text(sum.bytes), sum.chunks,
                         bytes_text(bytes.size())));
  return exit_code::done;
}

} // namespace

void add_model_manifest(CLI::App& model, chosen_command& chosen) {
  CLI::App* const command =
      model.add_subcommand("manifest", "Name a model by what it computes, whatever file it is in");
  const auto given = std::make_shared<manifest_options>();
  command->footer(
      "The name is the CID of the manifest: parameters, tokenizer and tensors by their\n"
      "digests.\n\nExample:\n  ovir model manifest MODEL.gguf -o MODEL.manifest");
  command->add_option("FILE", given->file, "The GGUF file")->required();
  command->add_option("-o,--output", given->output, "Write the manifest there");
  add_json(*command, given->as_json);
  command->callback([given, &chosen] {
    chosen.as_json = given->as_json;
    chosen.run = [given](surroundings& around) { return write_manifest(*given, around); };
  });
}

} // namespace ovir::apps
