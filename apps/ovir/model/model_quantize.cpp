#include "apps/compute_threads.hpp"
#include "apps/ovir/base/command.hpp"
#include "apps/progress.hpp"
#include "compute/make/quantize_model.hpp"

namespace ovir::apps {

namespace {

struct quantize_options {
  std::string from;
  std::string out;
  std::string type{"q4_k_m"};
  compute_options how;
  bool as_json{false};
};

result<exit_code> quantize(const quantize_options& given, surroundings& around) {
  OVIR_ASSIGN(const compute::quantize_recipe recipe, compute::quantize_recipe_from(given.type));
  OVIR_ASSIGN(const open_model model, open_model_at(around.environment, given.from));
  const auto planned = compute::plan_quantized(model.metadata, recipe);
  if (!planned) {
    return in_context(given.from, planned.error());
  }
  OVIR_ASSIGN(const auto file, around.environment.stage(given.out));
  compute_threads runner{given.how.threads};
  progress shown{around.environment, "writing " + given.out};
  const auto sink = [&](std::span<const std::byte> bytes) -> result<void> {
    if (around.interrupted.load()) {
      return fail(errc::cancelled, "interrupted; {} was not written", given.out);
    }
    return file->append(bytes);
  };
  const auto written = compute::write_quantized(
      *planned, sink, [&](std::uint64_t done, std::uint64_t total) { shown.update(done, total); },
      runner);
  if (!written) {
    return in_context(given.from, written.error());
  }
  OVIR_TRY(file->commit());
  if (given.as_json) {
    OVIR_TRY(write_document(json{{"file", given.out},
                                 {"bytes", planned->bytes},
                                 {"bytes_before", bytes_of(model)},
                                 {"type", given.type}}));
  } else {
    OVIR_TRY(write_output(fmt::format("{}: {}, {} of {}\n", given.out, given.type,
                                      bytes_text(planned->bytes), bytes_text(bytes_of(model)))));
  }
  return exit_code::done;
}

} // namespace

void add_model_quantize(CLI::App& model, chosen_command& chosen) {
  CLI::App* const command =
      model.add_subcommand("quantize", "Write a model with its matrices in fewer bits");
  const auto given = std::make_shared<quantize_options>();
  command->footer("From F32, F16 or BF16. The same file gives the same bytes for any number of\n"
                  "threads. Norms, biases and routers stay as they are; rows that are no whole\n"
                  "blocks take a larger type. f32 writes out what quantised weights mean.\n"
                  "\nExample:\n"
                  "  ovir model quantize MODEL-f16.gguf MODEL-q4_k_m.gguf --type q4_k_m");
  command->add_option("FILE", given->from, "The GGUF file")->required();
  command->add_option("OUT", given->out, "The file to write")->required();
  command->add_option("--type", given->type, "q8_0, q4_0, q4_k_m, q6_k or f32")
      ->capture_default_str();
  add_threads(*command, given->how);
  add_json(*command, given->as_json);
  command->callback([given, &chosen] {
    chosen.as_json = given->as_json;
    chosen.run = [given](surroundings& around) { return quantize(*given, around); };
  });
}

} // namespace ovir::apps
