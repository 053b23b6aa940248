#include "apps/ovir/node/node_config_cache.hpp"

#include "messages/limits/general.hpp"

namespace ovir::apps {

result<supervision::cache_option>
read_cache(const config_reader& in, const toml::table& table,
           const std::function<result<std::string>(std::string_view key)>& file_path) {
  OVIR_TRY(in.known_keys(table, "[cache]", cache_keys));
  supervision::cache_option out;
  OVIR_ASSIGN(out.enabled, in.boolean(table, "enabled", out.enabled));
  OVIR_ASSIGN(out.folder, file_path("folder"));
  const auto mib = [&](std::string_view key, std::uint64_t otherwise) {
    return in.whole(table, key, {0, limits::node_memory_mib_max}, otherwise >> 20U);
  };
  OVIR_ASSIGN(const std::uint64_t memory, mib("memory_mib", out.memory_bytes));
  out.memory_bytes = memory << 20U;
  OVIR_ASSIGN(const std::uint64_t disk, mib("disk_mib", out.disk_bytes));
  out.disk_bytes = disk << 20U;
  OVIR_ASSIGN(out.share, in.boolean(table, "share", out.share));
  OVIR_ASSIGN(out.peers, in.boolean(table, "peers", out.peers));
  OVIR_ASSIGN(out.owner_key_file, file_path("owner_key_file"));
  return out;
}

} // namespace ovir::apps
