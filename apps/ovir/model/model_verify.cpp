#include "apps/compute_threads.hpp"
#include "apps/ovir/model/model_manifest.hpp"
#include "compute/gguf/manifest.hpp"
#include "messages/limits/manifest.hpp"

#include <algorithm>
#include <optional>
#include <span>
#include <vector>

namespace ovir::apps {

namespace {

struct verify_options {
  std::string file;
  std::string manifest;
  compute_options compute;
  bool as_json{false};
};

/// What the file holds of one tensor, and what is wrong with it; empty when nothing is.
struct tensor_line {
  const compute::gguf_tensor* tensor;
  digest content;
  std::string fault;
};

result<compute::model_manifest> read_manifest(surroundings& around, const std::string& path) {
  OVIR_ASSIGN(const std::string bytes, around.environment.read(path, limits::manifest_bytes_max));
  auto manifest = compute::manifest_from(std::as_bytes(std::span{bytes}));
  if (!manifest) {
    return in_context(path, manifest.error());
  }
  return manifest;
}

/// How a tensor differs from what the manifest wants of it; empty where it does not.
std::string difference(const compute::tensor_manifest& wanted,
                       const compute::tensor_manifest& found) {
  if (wanted.raw_type != found.raw_type || wanted.shape != found.shape ||
      wanted.bytes != found.bytes) {
    return "has another type or shape than the manifest says";
  }
  const auto bad = std::mismatch(wanted.chunks.begin(), wanted.chunks.end(), found.chunks.begin(),
                                 found.chunks.end());
  if (bad.first == wanted.chunks.end()) {
    return {};
  }
  const auto chunk = static_cast<std::uint64_t>(bad.first - wanted.chunks.begin());
  return fmt::format("differs from the manifest within bytes {} to {}",
                     chunk * compute::manifest_chunk_bytes,
                     std::min(wanted.bytes, (chunk + 1) * compute::manifest_chunk_bytes) - 1);
}

/// Faults by comparison, and of tensors that only one of both has.
std::vector<std::string> compare(const compute::model_manifest& wanted,
                                 const compute::model_manifest& found,
                                 std::vector<tensor_line>& lines) {
  std::vector<std::string> faults;
  if (wanted.parameters != found.parameters) {
    faults.emplace_back("the parameters differ from the manifest's");
  }
  if (wanted.tokenizer != found.tokenizer) {
    faults.emplace_back("the tokenizer differs from the manifest's");
  }
  const auto by_name = [](const std::vector<compute::tensor_manifest>& all, std::string_view name) {
    const auto at = std::lower_bound(
        all.begin(), all.end(), name,
        [](const compute::tensor_manifest& t, std::string_view n) { return t.name < n; });
    return at == all.end() || at->name != name ? nullptr : &*at;
  };
  for (const compute::tensor_manifest& t : wanted.tensors) {
    if (by_name(found.tensors, t.name) == nullptr) {
      faults.push_back(fmt::format("the file has no tensor {}", t.name));
    }
  }
  for (tensor_line& line : lines) {
    const auto* const mine = by_name(found.tensors, line.tensor->name);
    const auto* const theirs = by_name(wanted.tensors, line.tensor->name);
    line.fault = theirs == nullptr ? "is not in the manifest" : difference(*theirs, *mine);
    if (!line.fault.empty()) {
      faults.push_back(fmt::format("tensor {} {}", line.tensor->name, line.fault));
    }
  }
  return faults;
}

result<void> report(const verify_options& given, const digest& name,
                    const std::vector<tensor_line>& lines, const std::vector<std::string>& faults) {
  if (given.as_json) {
    json tensors = json::array();
    for (const tensor_line& line : lines) {
      tensors.push_back({{"name", line.tensor->name},
                         {"cid", to_cid(line.content)},
                         {"bytes", line.tensor->data.size()},
                         {"fault", line.fault}});
    }
    return write_document(json{{"model", to_cid(name)}, {"tensors", tensors}, {"faults", faults}});
  }
  std::string text;
  for (const tensor_line& line : lines) {
    text += fmt::format("{}  {}{}{}\n", to_cid(line.content), line.tensor->name,
                        line.fault.empty() ? "" : "  ", line.fault);
  }
  return write_output(text + fmt::format("{}  model\n", to_cid(name)));
}

result<exit_code> verify(const verify_options& given, surroundings& around) {
  OVIR_ASSIGN(const open_model model, open_model_at(around.environment, given.file));
  std::optional<compute::model_manifest> wanted;
  if (!given.manifest.empty()) {
    OVIR_ASSIGN(wanted, read_manifest(around, given.manifest));
  }
  OVIR_ASSIGN(const compute::model_manifest found, compute::manifest_of(model.metadata));
  std::vector<tensor_line> lines;
  for (const compute::gguf_tensor& tensor : model.metadata.tensors()) {
    lines.push_back({&tensor, hash_plain(tensor.data), {}});
  }
  std::vector<std::string> faults;
  if (wanted) {
    faults = compare(*wanted, found, lines);
  }
  OVIR_TRY(report(given, compute::name_of(found), lines, faults));
  if (!faults.empty()) {
    return fail(errc::digest_mismatch, "{}: {}{}", given.file, faults.front(),
                faults.size() == 1 ? "" : fmt::format(", and {} more faults", faults.size() - 1));
  }
  // Sound in itself: what it says of its shape fits its tensors, and no scale is infinite.
  compute_threads runner{given.compute.threads};
  auto bound = compute::bind_model(model.metadata);
  auto checked = bound ? compute::check_weights(*bound, {0, bound->config.layers}, runner)
                       : result<void>{bound.error()};
  if (!checked) {
    return in_context(given.file, checked.error());
  }
  write_note(fmt::format("{} tensors, {}{}\n", lines.size(), bound->config.architecture,
                         wanted ? ": what the manifest names" : ""));
  return exit_code::done;
}

} // namespace

void add_model_verify(CLI::App& model, chosen_command& chosen) {
  CLI::App* const command =
      model.add_subcommand("verify", "Check a model file, and that it is what a manifest names");
  const auto given = std::make_shared<verify_options>();
  command->footer(
      "Prints the CID of every tensor's bytes, and of the model. Refuses a file that contradicts\n"
      "itself; with --manifest, names what differs, to the chunk.\n\n"
      "Example:\n  ovir model verify MODEL.gguf --manifest MODEL.manifest");
  command->add_option("FILE", given->file, "The GGUF file")->required();
  command->add_option("--manifest", given->manifest, "What ovir model manifest -o wrote");
  add_threads(*command, given->compute);
  add_json(*command, given->as_json);
  command->callback([given, &chosen] {
    chosen.as_json = given->as_json;
    chosen.run = [given](surroundings& around) { return verify(*given, around); };
  });
}

} // namespace ovir::apps
