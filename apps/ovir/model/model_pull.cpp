#include "apps/ovir/base/download.hpp"
#include "apps/ovir/model/model_files.hpp"
#include "apps/state_folder.hpp"
#include "compute/gguf/gguf.hpp"
#include "messages/limits/pull.hpp"

#include <cstdlib>
#include <filesystem>
#include <vector>

namespace ovir::apps {

namespace {

struct pull_options {
  std::string from;
  std::string out;
  std::vector<std::string> digests;
  bool as_json{false};
};

constexpr const char* hub = "https://huggingface.co";

/// $HF_ENDPOINT is what other programs call a mirror of the hub, too.
std::string hub_address() {
  const char* const given = std::getenv("HF_ENDPOINT");
  std::string out = given == nullptr || *given == '\0' ? hub : given;
  while (out.ends_with('/')) {
    out.pop_back();
  }
  return out;
}

/// Its file, where nothing else is said: in the folder of models.
result<std::string> target_of(const pull_options& given, const download_url& url,
                              surroundings& around) {
  OVIR_ASSIGN(const std::string name, file_name_of(url));
  if (given.out.empty()) {
    OVIR_ASSIGN(const std::string state, state_folder());
    const std::string folder = models_path_in(state);
    OVIR_TRY(around.environment.make_folder(folder));
    return (std::filesystem::path{folder} / name).string();
  }
  std::error_code unknown;
  return std::filesystem::is_directory(given.out, unknown)
             ? (std::filesystem::path{given.out} / name).string()
             : given.out;
}

result<void> is_gguf(surroundings& around, const std::string& path) {
  OVIR_ASSIGN(const auto file, around.environment.map(path));
  const auto parsed = compute::gguf::parse(file->bytes());
  return parsed ? result<void>{} : result<void>{parsed.error()};
}

/// All files of the model of which `first` is one, in order.
result<std::vector<download_order>> orders_of(const pull_options& given, const download_url& first,
                                              surroundings& around) {
  OVIR_ASSIGN(const std::string target, target_of(given, first, around));
  const std::filesystem::path place{target};
  OVIR_ASSIGN(const std::string name, file_name_of(first));
  const auto split = split_name_of(name);
  std::vector<download_order> orders;
  if (!split || split->count == 1) {
    orders.push_back({first, target, {}, {}});
  } else {
    if (place.filename() != name) {
      return fail(errc::invalid_argument,
                  "{} is one of {} files, which are found by their names; give --out a folder",
                  name, split->count);
    }
    if (split->count > limits::pull_split_files_max) {
      return fail(errc::over_limit, "{} is one of {} files, more than the {} allowed", name,
                  split->count, limits::pull_split_files_max);
    }
    for (std::uint32_t i = 1; i <= split->count; ++i) {
      const std::string part = split_file_name(*split, i);
      orders.push_back(
          {with_file_name(first, part), (place.parent_path() / part).string(), {}, {}});
    }
  }
  if (!given.digests.empty() && given.digests.size() != orders.size()) {
    return fail(errc::invalid_argument, "the model has {} files, and --sha256 names {}",
                orders.size(), given.digests.size());
  }
  for (std::size_t i = 0; i < orders.size(); ++i) {
    if (!given.digests.empty()) {
      orders[i].expected = sha256_from(given.digests[i]);
      if (!orders[i].expected) {
        return fail(errc::invalid_argument, "--sha256 {} has not 64 hexadecimal digits",
                    given.digests[i]);
      }
    }
    orders[i].check = [&around](const std::string& path) { return is_gguf(around, path); };
    if (std::filesystem::exists(orders[i].target) && i + 1 == orders.size() && i == 0) {
      return fail(errc::invalid_argument,
                  "{} is there already; remove it or choose another place by --out",
                  orders[i].target);
    }
  }
  return orders;
}

result<exit_code> pull(const pull_options& given, surroundings& around) {
  auto url = download_url_from(given.from, hub_address());
  if (!url) {
    return in_context(given.from, url.error());
  }
  if (!url->tls && given.digests.empty()) {
    return fail(errc::invalid_argument,
                "{} is fetched without TLS, so anybody between may change it; name its digest by "
                "--sha256",
                given.from);
  }
  OVIR_ASSIGN(const std::vector<download_order> orders, orders_of(given, *url, around));
  json files = json::array();
  std::string text;
  for (const download_order& order : orders) {
    if (std::filesystem::exists(order.target)) {
      write_note(fmt::format("{} is there already\n", order.target));
      continue; // of several: an earlier run has fetched it
    }
    OVIR_ASSIGN(const downloaded done, download(order, around));
    files.push_back({{"file", order.target},
                     {"bytes", done.bytes},
                     {"bytes_before", done.bytes_before},
                     {"sha256", text_of(done.digest)}});
    text += fmt::format("{}: {}, sha256 {}\n", order.target, bytes_text(done.bytes),
                        text_of(done.digest));
  }
  OVIR_TRY(given.as_json ? write_document(json{{"model", orders.front().target}, {"files", files}})
                         : write_output(text));
  return exit_code::done;
}

} // namespace

bool is_model_url(std::string_view text) {
  return text.starts_with("hf:") || text.starts_with("https://");
}

result<std::string> pulled_model(const std::string& from, surroundings& around) {
  auto url = download_url_from(from, hub_address());
  if (!url) {
    return in_context(from, url.error());
  }
  if (!url->tls) { // a mirror of the hub
    return fail(errc::invalid_argument,
                "{} is fetched without TLS, so anybody between may change it; fetch it by `ovir "
                "model pull` with --sha256",
                from);
  }
  const pull_options usual;
  OVIR_ASSIGN(const std::string target, target_of(usual, *url, around));
  if (std::filesystem::exists(target) &&
      !split_name_of(std::filesystem::path{target}.filename().string())) {
    return target;
  }
  OVIR_ASSIGN(const std::vector<download_order> orders, orders_of(usual, *url, around));
  for (const download_order& order : orders) {
    if (!std::filesystem::exists(order.target)) {
      OVIR_TRY(download(order, around));
    }
  }
  return orders.front().target;
}

void add_model_pull(CLI::App& model, chosen_command& chosen) {
  CLI::App* const command = model.add_subcommand("pull", "Fetch a model file");
  const auto given = std::make_shared<pull_options>();
  command->footer(
      "URL is https://..., http://... with --sha256, or hf:OWNER/REPO/FILE; of a model in several\n"
      "files any of them. What an interruption or a broken connection leaves is kept in FILE.part\n"
      "and continued by the same command. The file appears under its name once it is whole, is a\n"
      "GGUF file, and has the digest asked for.\n\n"
      "Example:\n  ovir model pull hf:OWNER/REPO/MODEL-Q4_K_M.gguf");
  command->add_option("URL", given->from, "Where it is")->required();
  command->add_option("-o,--out", given->out, "A file or a folder (default: the folder of models)");
  command->add_option("--sha256", given->digests,
                      "What the file must have; of several files one for each, in order");
  add_json(*command, given->as_json);
  command->callback([given, &chosen] {
    chosen.as_json = given->as_json;
    chosen.run = [given](surroundings& around) { return pull(*given, around); };
  });
}

} // namespace ovir::apps
