#include "apps/commitment_trees.hpp"
#include "apps/compute_threads.hpp"
#include "apps/ovir/model/model_manifest.hpp"
#include "apps/progress.hpp"
#include "messages/limits/manifest.hpp"
#include "verify/units/commit_model.hpp"

#include <algorithm>
#include <memory>
#include <span>
#include <vector>

namespace ovir::apps {

namespace {

struct commit_options {
  std::string file;
  std::string output;
  std::string manifest;
  std::string trees;
  std::string verify;
  std::vector<std::string> tensors;
  compute_options how;
  bool as_json{false};
};

/// Of a file that was named, or of the model itself.
result<compute::model_manifest> wanted_manifest(const commit_options& given,
                                                const open_model& model, surroundings& around) {
  if (given.manifest.empty()) {
    return compute::manifest_of(model.metadata);
  }
  OVIR_ASSIGN(const std::string bytes,
              around.environment.read(given.manifest, limits::manifest_bytes_max));
  auto manifest = compute::manifest_from(std::as_bytes(std::span{bytes}));
  return manifest ? std::move(manifest) : in_context(given.manifest, manifest.error());
}

result<void> check_scales(const open_model& model, compute::parallel_runner& runner) {
  auto bound = compute::bind_model(model.metadata);
  auto checked = bound ? compute::check_weights(*bound, {0, bound->config.layers}, runner)
                       : result<void>{bound.error()};
  return checked ? result<void>{} : in_context(model.path, checked.error());
}

std::uint64_t bytes_of_matrices(const proofs::model_roots& roots) {
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < roots.matrices.size(); ++i) {
    bytes += roots.matrices[i].rows > 0 ? roots.manifest.tensors[i].bytes : 0;
  }
  return bytes;
}

result<void> report_roots(const commit_options& given, const proofs::model_roots& roots,
                          std::span<const std::byte> bytes, std::size_t resumed) {
  const std::string model = to_cid(compute::name_of(roots.manifest));
  const std::string cid = to_cid(hash_plain(bytes));
  const auto matrices = std::count_if(roots.matrices.begin(), roots.matrices.end(),
                                      [](const auto& t) { return t.rows > 0; });
  if (given.as_json) {
    return write_document(json{{"model", model},
                               {"roots", cid},
                               {"bytes", bytes.size()},
                               {"matrices", matrices},
                               {"resumed", resumed}});
  }
  OVIR_TRY(write_output(fmt::format("{}  model\n{}  roots\n", model, cid)));
  write_note(fmt::format("{} matrices committed, {} of them before; {} bytes in {}\n", matrices,
                         resumed, bytes.size(), given.output));
  return {};
}

result<exit_code> commit_all(const commit_options& given, const open_model& model,
                             proofs::model_roots& roots, surroundings& around) {
  compute_threads runner{given.how.threads};
  const std::string partial = given.output + ".partial";
  OVIR_ASSIGN(const auto file,
              around.environment.open_durable(partial, storage::durable_use::make));
  OVIR_ASSIGN(proofs::commitment_log log, proofs::commitment_log::open(*file, roots));
  const std::size_t resumed = log.kept();
  if (resumed > 0) {
    write_note(fmt::format("{} matrices are in {} already\n", resumed, partial));
  }
  OVIR_TRY(check_scales(model, runner));
  OVIR_TRY(proofs::fill_vectors(model.metadata, roots, runner));
  progress shown{around.environment, "committing"};
  const std::uint64_t all = bytes_of_matrices(roots);
  std::uint64_t done = 0;
  for (std::size_t i = 0; i < roots.matrices.size(); ++i) {
    if (roots.matrices[i].rows == 0) {
      continue;
    }
    if (around.interrupted) {
      return fail(errc::cancelled, "interrupted; the same command goes on behind {} matrices",
                  log.kept());
    }
    if (!log.has(i)) {
      OVIR_ASSIGN(const proofs::tensor_commitment made,
                  proofs::commit_matrix(model.metadata, roots, i, runner));
      if (!given.trees.empty()) {
        OVIR_TRY(write_tree(around.environment, given.trees, made));
      }
      OVIR_TRY(log.add(i, made.tensor));
    }
    done += roots.manifest.tensors[i].bytes;
    shown.update(done, all);
  }
  const std::vector<std::byte> bytes = proofs::encode_roots(roots);
  OVIR_ASSIGN(const auto staged, around.environment.stage(given.output));
  OVIR_TRY(staged->append(bytes));
  OVIR_TRY(staged->commit());
  OVIR_TRY(around.environment.remove(partial));
  OVIR_TRY(report_roots(given, roots, bytes, resumed));
  return exit_code::done;
}

/// Names of tensors that were asked for; all matrices where none was.
result<std::vector<std::size_t>> chosen_tensors(const commit_options& given,
                                                const proofs::model_roots& roots) {
  std::vector<std::size_t> chosen;
  for (std::size_t i = 0; i < roots.matrices.size(); ++i) {
    const bool wanted =
        given.tensors.empty() || std::find(given.tensors.begin(), given.tensors.end(),
                                           roots.manifest.tensors[i].name) != given.tensors.end();
    if (roots.matrices[i].rows > 0 && wanted) {
      chosen.push_back(i);
    }
  }
  if (!given.tensors.empty() && chosen.size() != given.tensors.size()) {
    return fail(errc::invalid_argument,
                "{} of the {} tensors named are matrices of the model; ovir model inspect lists "
                "all",
                chosen.size(), given.tensors.size());
  }
  return chosen;
}

result<exit_code> verify_roots(const commit_options& given, const open_model& model,
                               const proofs::model_roots& shape, surroundings& around) {
  OVIR_ASSIGN(const std::string text,
              around.environment.read(given.verify, limits::roots_bytes_max));
  const auto published = proofs::decode_roots(std::as_bytes(std::span{text}));
  if (!published) {
    return in_context(given.verify, published.error());
  }
  if (compute::name_of(published->manifest) != compute::name_of(shape.manifest)) {
    return fail(errc::digest_mismatch, "{} is about model {}, {} is {}", given.verify,
                to_cid(compute::name_of(published->manifest)), given.file,
                to_cid(compute::name_of(shape.manifest)));
  }
  OVIR_ASSIGN(const std::vector<std::size_t> chosen, chosen_tensors(given, shape));
  compute_threads runner{given.how.threads};
  OVIR_TRY(check_scales(model, runner));
  proofs::model_roots computed = shape;
  OVIR_TRY(proofs::fill_vectors(model.metadata, computed, runner));
  if (computed.embedding != published->embedding) {
    return fail(errc::digest_mismatch, "{}: the root of embeddings is not that of {}", given.verify,
                given.file);
  }
  progress shown{around.environment, "verifying"};
  for (std::size_t done = 0; done < chosen.size(); ++done) {
    const std::size_t i = chosen[done];
    OVIR_ASSIGN(const proofs::tensor_commitment made,
                proofs::commit_matrix(model.metadata, shape, i, runner));
    if (made.tensor != published->matrices[i]) {
      return fail(errc::digest_mismatch, "{}: tensor {} has the root {}, computed {}", given.verify,
                  shape.manifest.tensors[i].name, to_hex(published->matrices[i].root),
                  to_hex(made.tensor.root));
    }
    if (around.interrupted) {
      return fail(errc::cancelled, "interrupted behind {} of {} tensors", done + 1, chosen.size());
    }
    shown.update(done + 1, chosen.size());
  }
  if (given.as_json) {
    OVIR_TRY(write_document(json{{"ok", true}, {"verified", chosen.size()}}));
  } else {
    OVIR_TRY(write_output(
        fmt::format("equal: {} tensors have the roots of {}\n", chosen.size(), given.verify)));
  }
  return exit_code::done;
}

result<exit_code> commit_model(const commit_options& given, surroundings& around) {
  if (given.output.empty() == given.verify.empty()) {
    return fail(errc::invalid_argument, "give either -o ROOTS to write or --verify ROOTS; see ovir "
                                        "model commit --help");
  }
  OVIR_ASSIGN(const open_model model, open_model_at(around.environment, given.file));
  OVIR_ASSIGN(compute::model_manifest manifest, wanted_manifest(given, model, around));
  auto roots = proofs::shape_of(std::move(manifest));
  if (!roots) {
    return in_context(given.file, roots.error());
  }
  return given.verify.empty() ? commit_all(given, model, *roots, around)
                              : verify_roots(given, model, *roots, around);
}

} // namespace

void add_model_commit(CLI::App& model, chosen_command& chosen) {
  CLI::App* const command =
      model.add_subcommand("commit", "Commit to a model's tensors, so that proofs about it can be "
                                     "checked without it");
  const auto given = std::make_shared<commit_options>();
  command->footer(
      "Each tensor is compared with its manifest first. What is done is kept in ROOTS.partial:\n"
      "the same command goes on after the last tensor, however it ended. Everyone with the model\n"
      "computes the same roots; --verify compares all of them, or those of --tensor.\n"
      "\nExamples:\n"
      "  ovir model commit -m MODEL.gguf -o MODEL.roots\n"
      "  ovir model commit -m MODEL.gguf --verify MODEL.roots --tensor blk.0.attn_q.weight");
  command->add_option("-m,--model", given->file, "The GGUF file")->required();
  command->add_option("-o,--output", given->output, "Write the roots there");
  command->add_option("--manifest", given->manifest,
                      "What ovir model manifest -o wrote (default: of the file)");
  command->add_option("--trees", given->trees,
                      "Folder for the trees, from which ovir prove opens columns: some 4 MiB for "
                      "each tensor");
  command->add_option("--verify", given->verify, "Compare these roots with the model's");
  command
      ->add_option("--tensor", given->tensors,
                   "With --verify: one tensor; may be given several times")
      ->allow_extra_args(false);
  add_threads(*command, given->how);
  add_json(*command, given->as_json);
  command->callback([given, &chosen] {
    chosen.as_json = given->as_json;
    chosen.run = [given](surroundings& around) { return commit_model(*given, around); };
  });
}

} // namespace ovir::apps
