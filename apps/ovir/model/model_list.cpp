#include "apps/download_url.hpp"
#include "apps/ovir/base/command.hpp"
#include "apps/ovir/model/model_files.hpp"
#include "apps/state_folder.hpp"
#include "compute/gguf/manifest.hpp"

#include <algorithm>
#include <filesystem>
#include <map>

namespace ovir::apps {

namespace {

struct list_options {
  std::string folder;
  bool digests{false};
  bool as_json{false};
};

/// One line of the list; `fault` says why a file is no model that can be used.
struct listed {
  std::string name;
  std::uint64_t bytes{0};
  std::string architecture;
  std::string type;  ///< of most bytes
  std::string model; ///< the manifest's name; empty where it was not asked for
  std::string fault;
};

/// The tensor type that most bytes of a file are in.
std::string main_type(const compute::gguf& file) {
  std::map<std::uint32_t, std::uint64_t> bytes;
  for (const compute::gguf_tensor& t : file.tensors()) {
    bytes[t.raw_type] += t.data.size();
  }
  const auto most = std::max_element(
      bytes.begin(), bytes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == bytes.end() ? std::string{} : std::string{compute::name_of_raw_type(most->first)};
}

listed look_at(const std::string& folder, const std::string& name, bool digests,
               surroundings& around) {
  const std::string path = (std::filesystem::path{folder} / name).string();
  listed out{name, 0, {}, {}, {}, {}};
  const auto model = open_model_at(around.environment, path);
  if (!model) {
    std::error_code unknown;
    const auto size = std::filesystem::file_size(path, unknown);
    out.bytes = unknown ? 0 : size;
    out.fault = model.error().message;
    return out;
  }
  out.bytes = bytes_of(*model);
  const auto family = model->metadata.text_at("general.architecture");
  out.architecture = family ? std::string{*family} : std::string{};
  out.type = main_type(model->metadata);
  if (digests) {
    const auto manifest = compute::manifest_of(model->metadata);
    out.model = manifest ? to_cid(compute::name_of(*manifest)) : std::string{};
    out.fault = manifest ? std::string{} : manifest.error().message;
  }
  return out;
}

/// Files of models, of several only the first.
bool is_model_name(const std::string& name) {
  const auto split = split_name_of(name);
  return name.ends_with(".gguf") && (!split || split->number == 1);
}

result<exit_code> list(const list_options& given, surroundings& around) {
  std::string folder = given.folder;
  if (folder.empty()) {
    OVIR_ASSIGN(const std::string state, state_folder());
    folder = models_path_in(state);
  }
  OVIR_ASSIGN(const std::vector<std::string> names, around.environment.list(folder));
  json models = json::array();
  std::string text;
  for (const std::string& name : names) {
    if (around.interrupted.load()) {
      return fail(errc::cancelled, "interrupted");
    }
    if (name.ends_with(".part")) {
      std::error_code unknown;
      const auto size = std::filesystem::file_size(std::filesystem::path{folder} / name, unknown);
      const std::uint64_t bytes = unknown ? 0 : size;
      models.push_back({{"name", name}, {"bytes", bytes}, {"fault", "not whole yet"}});
      text += fmt::format("{}  {}  not whole yet: ovir model pull continues\n", name,
                          bytes_text(bytes));
    }
    if (!is_model_name(name)) {
      continue;
    }
    const listed one = look_at(folder, name, given.digests, around);
    models.push_back({{"name", one.name},
                      {"bytes", one.bytes},
                      {"architecture", one.architecture},
                      {"type", one.type},
                      {"model", one.model},
                      {"fault", one.fault}});
    text += fmt::format("{}  {}  {}\n", one.name, bytes_text(one.bytes),
                        one.fault.empty() ? fmt::format("{} {}{}{}", one.architecture, one.type,
                                                        one.model.empty() ? "" : "  ", one.model)
                                          : one.fault);
  }
  OVIR_TRY(given.as_json ? write_document(json{{"folder", folder}, {"models", models}})
                         : write_output(text));
  write_note(fmt::format("{} in {}\n", models.size(), folder));
  return exit_code::done;
}

} // namespace

void add_model_list(CLI::App& model, chosen_command& chosen) {
  CLI::App* const command = model.add_subcommand("list", "What models there are");
  const auto given = std::make_shared<list_options>();
  command->footer(
      "Every model in the folder that ovir model pull writes to, or another: its size,\n"
      "architecture and type, or what is wrong with it. --digests reads all of them\n"
      "and says by which name a manifest knows each.\n\n"
      "Example:\n  ovir model list --digests");
  command->add_option("FOLDER", given->folder, "Another folder");
  command->add_flag("--digests", given->digests, "The names of their manifests");
  add_json(*command, given->as_json);
  command->callback([given, &chosen] {
    chosen.as_json = given->as_json;
    chosen.run = [given](surroundings& around) { return list(*given, around); };
  });
}

} // namespace ovir::apps
