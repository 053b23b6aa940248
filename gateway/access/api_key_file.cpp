#include "gateway/access/api_key_file.hpp"

#include "messages/limits/gateway.hpp"

#include <algorithm>
#include <memory>

namespace ovir::gateway {

namespace {

std::string secret_path(const std::string& path) { return path + ".secret"; }

result<hash_key> load_secret(storage::env& environment, const std::string& path) {
  std::array<std::byte, sizeof(hash_key) + 1> room{};
  OVIR_ASSIGN(const std::size_t size, environment.read_secret_file(secret_path(path), room));
  if (size != sizeof(hash_key)) {
    return fail(errc::malformed, "{} must have {} bytes; it has {}", secret_path(path),
                sizeof(hash_key), size);
  }
  hash_key key{};
  std::copy_n(room.begin(), key.size(), key.begin());
  return key;
}

result<known_keys> make_keys(storage::env& environment, const std::string& path) {
  known_keys keys;
  environment.random(keys.with);
  OVIR_ASSIGN(const bool made, environment.make_secret_file(secret_path(path), keys.with));
  if (!made) { // of an earlier try that ended before there was a key
    OVIR_ASSIGN(keys.with, load_secret(environment, path));
  }
  return keys;
}

} // namespace

result<known_keys> load_api_keys(storage::env& environment, const std::string& path) {
  OVIR_ASSIGN(const std::string text, environment.read(path, limits::api_keys_file_bytes_max));
  auto table = api_key_table::parse(text);
  if (!table) {
    return in_context(path, table.error());
  }
  OVIR_ASSIGN(const hash_key with, load_secret(environment, path));
  return known_keys{std::move(*table), with};
}

result<void> change_api_keys(storage::env& environment, const std::string& path, bool may_make,
                             const std::function<result<void>(known_keys&)>& change) {
  if (may_make) {
    OVIR_TRY(environment.make_folder(path + ".lock"));
  }
  std::unique_ptr<storage::held_lock> alone;
  auto keys = load_api_keys(environment, path);
  if (keys || may_make) {
    OVIR_ASSIGN(alone, environment.lock(path + ".lock"));
    keys = load_api_keys(environment, path); // as it is now that nobody else changes it
  }
  if (!keys && keys.error().code == errc::not_found && may_make) {
    keys = make_keys(environment, path);
  }
  if (!keys) {
    return keys.error();
  }
  OVIR_TRY(change(*keys));
  const std::string text = keys->table.text();
  OVIR_ASSIGN(const auto file, environment.stage(path));
  OVIR_TRY(file->append(std::as_bytes(std::span{text})));
  return file->commit();
}

} // namespace ovir::gateway
