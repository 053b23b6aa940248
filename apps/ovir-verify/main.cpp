#include "apps/compute_threads.hpp"
#include "apps/console.hpp"
#include "apps/exit_code.hpp"
#include "apps/interrupt.hpp"
#include "apps/open_model.hpp"
#include "apps/ovir-verify/replay.hpp"
#include "apps/transcript_file.hpp"
#include "messages/limits.hpp"
#include "storage/env.hpp"

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
  std::string model;
  std::string isa;
  std::uint32_t threads{1};
  bool as_json{false};
};

void describe(CLI::App& app, options& given) {
  app.description("Checks a transcript file written by `ovir run --transcript`, without trusting "
                  "whoever wrote it.");
  app.footer("Without --model the root is computed again from the leaves (tier T0). With --model\n"
             "everything is computed again, and the first unit that differs is named (tier T2).\n"
             "\nExamples:\n"
             "  ovir run -p \"Once upon a time\" --transcript story.json\n"
             "  ovir-verify story.json\n"
             "  ovir-verify story.json --model assets/tales-q4_k_m.gguf\n"
             "\nExit codes: 0 all equal, 1 something differs, 2 usage, 3 refused or not found,\n"
             "4 unavailable.");
  app.set_version_flag("--version", std::string{program} + " " + OVIR_VERSION);
  given.threads =
      std::clamp<std::uint32_t>(std::thread::hardware_concurrency(), 1, limits::threads_max);
  app.add_option("FILE", given.file, "The transcript file")->required();
  app.add_option("-m,--model", given.model, "The GGUF model it was made with: replay everything");
  app.add_option("-t,--threads", given.threads, "Compute threads")
      ->check(CLI::Range(std::uint32_t{1}, limits::threads_max))
      ->capture_default_str();
  app.add_option("--isa", given.isa, "Kernels to compute with: reference, avx2 or avx512")
      ->envname("OVIR_ISA");
  app.add_flag("--json", given.as_json, "Print one JSON document");
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

result<exit_code> verify(const options& given, storage::env& environment,
                         const std::atomic<bool>& interrupted) {
  auto text = environment.read(given.file, limits::transcript_file_bytes_max);
  if (!text) {
    error e = text.error();
    e.code = e.code == errc::invalid_argument ? errc::unsupported : e.code;
    return e;
  }
  const auto file = parse_transcript_file(*text);
  if (!file) {
    return in_context(given.file, file.error());
  }
  std::vector<failure> failures = check_root(*file);
  if (failures.empty() && !given.model.empty()) {
    OVIR_ASSIGN(auto mapped, map_file(environment, given.model));
    OVIR_ASSIGN(const ready_model model, prepare_model(given.model, std::move(mapped)));
    OVIR_ASSIGN(const compute::kernel_set* const kernels, kernels_from(given.isa));
    compute_threads runner{given.threads};
    progress shown{environment, "replaying"};
    OVIR_ASSIGN(failures, replay(*file, model, *kernels, runner, shown, interrupted));
  }
  OVIR_TRY(report(given, *file, failures));
  return failures.empty() ? exit_code::done : exit_code::wrong;
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
  const auto environment = storage::make_env_posix();
  const auto done = verify(given, *environment, interrupted);
  if (!done) {
    write_error(program, done.error(), given.as_json);
    return static_cast<int>(exit_code_of(done.error().code));
  }
  return static_cast<int>(*done);
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
