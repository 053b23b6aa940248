#include "apps/ovir/base/command.hpp"
#include "apps/progress.hpp"
#include "compute/make/synth.hpp"
#include "messages/limits/general.hpp"

namespace ovir::apps {

namespace {

struct synth_options {
  std::string out;
  std::string preset;
  std::string type{"q4_k_m"};
  compute::synth_spec spec;
  bool as_json{false};
};

constexpr std::string_view preset_1_1b = "1.1b";

// The shape of TinyLlama 1.1B.
compute::synth_spec spec_1_1b() {
  compute::synth_spec spec;
  spec.name = "synthetic 1.1B";
  spec.layers = 22;
  spec.dim = 2'048;
  spec.ffn_dim = 5'632;
  spec.heads = 32;
  spec.kv_heads = 4;
  spec.vocabulary = 32'000;
  spec.context = 2'048;
  return spec;
}

result<exit_code> synthesise(const synth_options& given, surroundings& around) {
  compute::synth_spec spec = given.spec;
  OVIR_ASSIGN(spec.quantization, compute::synth_quantization_from(given.type));
  OVIR_ASSIGN(const std::uint64_t size, compute::synth_bytes(spec));
  OVIR_ASSIGN(const auto file, around.environment.stage(given.out));
  progress shown{around.environment, "writing " + given.out};
  const auto sink = [&](std::span<const std::byte> bytes) -> result<void> {
    if (around.interrupted.load()) {
      return fail(errc::cancelled, "interrupted; {} was not written", given.out);
    }
    return file->append(bytes);
  };
  OVIR_TRY(compute::write_synth(
      spec, sink, [&](std::uint64_t done, std::uint64_t total) { shown.update(done, total); }));
  OVIR_TRY(file->commit());
  if (given.as_json) {
    OVIR_TRY(write_document(json{{"file", given.out}, {"bytes", size}, {"type", given.type}}));
  } else {
    OVIR_TRY(write_output(fmt::format("{}: {} layers, {}, {}\n", given.out, spec.layers, given.type,
                                      bytes_text(size))));
  }
  return exit_code::done;
}

// The preset with those members replaced that the user named.
compute::synth_spec changed_preset(const CLI::App& command, const compute::synth_spec& given) {
  compute::synth_spec spec = spec_1_1b();
  const auto keep = [&](const char* name, auto compute::synth_spec::*member) {
    if (command.count(name) > 0) {
      spec.*member = given.*member;
    }
  };
  keep("--layers", &compute::synth_spec::layers);
  keep("--dim", &compute::synth_spec::dim);
  keep("--ffn", &compute::synth_spec::ffn_dim);
  keep("--heads", &compute::synth_spec::heads);
  keep("--kv-heads", &compute::synth_spec::kv_heads);
  keep("--vocab", &compute::synth_spec::vocabulary);
  keep("--context", &compute::synth_spec::context);
  keep("--seed", &compute::synth_spec::seed);
  keep("--tied", &compute::synth_spec::tied);
  return spec;
}

void add_shape(CLI::App& command, compute::synth_spec& spec) {
  const auto number = [&](const std::string& name, std::uint32_t& value, std::uint32_t max,
                          const std::string& meaning) {
    command.add_option(name, value, meaning)
        ->check(CLI::Range(std::uint32_t{1}, max))
        ->capture_default_str();
  };
  number("--layers", spec.layers, limits::layers_max, "Transformer layers");
  number("--dim", spec.dim, limits::embedding_max, "Length of the residual stream");
  number("--ffn", spec.ffn_dim, limits::feed_forward_max, "Inner length of the feed-forward block");
  number("--heads", spec.heads, limits::heads_max, "Query heads");
  number("--kv-heads", spec.kv_heads, limits::heads_max, "Key and value heads");
  number("--vocab", spec.vocabulary, limits::vocabulary_max, "Tokens");
  number("--context", spec.context, limits::context_max, "Positions");
  add_seed(command, "--seed", spec.seed, "Seed of the weights")->capture_default_str();
  command.add_flag("--tied", spec.tied, "The output head is the embedding");
}

} // namespace

void add_model_synth(CLI::App& model, chosen_command& chosen) {
  CLI::App* const command =
      model.add_subcommand("synth", "Write a model of any shape with random weights");
  const auto given = std::make_shared<synth_options>();
  command->footer("Speaks gibberish, at the speed of a real model of its shape. The same options\n"
                  "give the same bytes everywhere.\n"
                  "\nExamples:\n"
                  "  ovir model synth tiny.gguf\n"
                  "  ovir model synth big.gguf --preset 1.1b --type q4_k_m");
  command->add_option("OUT", given->out, "The file to write")->required();
  add_shape(*command, given->spec);
  command->add_option("--preset", given->preset, "Start from a shape: 1.1b")
      ->check(CLI::IsMember({std::string{preset_1_1b}}));
  command
      ->add_option("--type", given->type,
                   "f32, f16, bf16, q8_0, q4_0, q2_k, q3_k, q4_k, q5_k, q6_k, iq4_xs or q4_k_m")
      ->capture_default_str();
  add_json(*command, given->as_json);
  command->callback([given, command, &chosen] {
    chosen.as_json = given->as_json;
    if (!given->preset.empty()) {
      given->spec = changed_preset(*command, given->spec);
    }
    chosen.run = [given](surroundings& around) { return synthesise(*given, around); };
  });
}

} // namespace ovir::apps
