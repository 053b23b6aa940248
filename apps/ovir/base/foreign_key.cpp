#include "apps/ovir/base/foreign_key.hpp"

#include "apps/key_file.hpp"
#include "messages/limits/general.hpp"

#include <algorithm>
#include <filesystem>

namespace ovir::apps {

namespace {

bool operates(const supervision::node_options& how, const node_id& key) {
  return std::find(how.admins.begin(), how.admins.end(), key) != how.admins.end() ||
         std::any_of(how.access.begin(), how.access.end(),
                     [&](const supervision::access_option& entry) {
                       return entry.key == key && entry.roles.has(role::operate);
                     });
}

/// The public half of the key in a file; none where the file is something else. Its mode does not
/// matter here: a key that others may read is no better.
std::optional<node_id> key_in_file(storage::env& environment, const std::string& path) {
  auto text = environment.read(path, limits::key_file_bytes_max);
  if (!text) {
    return std::nullopt;
  }
  const std::optional<secret_key> key = key_of_text(std::as_bytes(std::span{*text}));
  wipe(std::as_writable_bytes(std::span{*text}));
  return key ? std::optional{key->id()} : std::nullopt;
}

} // namespace

result<void> refuse_operators_keys(storage::env& environment,
                                   const supervision::node_options& how) {
  const auto names = environment.list(how.state);
  if (!names) {
    return {}; // the start itself says what is wrong with the folder
  }
  for (const std::string& name : *names) {
    const std::string path = (std::filesystem::path{how.state} / name).string();
    const std::optional<node_id> key = key_in_file(environment, path);
    if (key && operates(how, *key)) {
      return fail(errc::invalid_argument,
                  "{}: is the secret key of {}..., who operates this cluster, and who takes this "
                  "node would take it; move the file out of the node's folder, to its "
                  "owner's machine, and start again",
                  path, short_name(*key));
    }
  }
  return {};
}

} // namespace ovir::apps
