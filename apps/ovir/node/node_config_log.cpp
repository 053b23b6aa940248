#include "apps/ovir/node/node_config_log.hpp"

#include "actors/runtime/log.hpp"
#include "messages/limits/general.hpp"

namespace ovir::apps {

namespace {

constexpr text_rule word_rule{"word", limits::node_name_bytes_max};

} // namespace

result<void> read_log(const config_reader& in, const toml::table& table,
                      const std::function<result<std::string>(std::string_view key)>& file_path,
                      supervision::node_options& out) {
  OVIR_TRY(in.known_keys(table, "[log]", log_keys));
  OVIR_ASSIGN(out.log_level, in.text(table, "level", word_rule, out.log_level));
  const result<actors::log_level> level = actors::log_level_from_text(out.log_level);
  if (!level) {
    return in.refuse(table.get("level")->source(), "'level': {}", level.error().message);
  }
  OVIR_ASSIGN(out.log_format, in.text(table, "format", word_rule, out.log_format));
  if (out.log_format != "text" && out.log_format != "json") {
    return in.refuse(table.get("format")->source(), "'format' is none of text, json");
  }
  OVIR_ASSIGN(out.log_file, file_path("file"));
  OVIR_ASSIGN(const std::uint64_t mib,
              in.whole(table, "max_mib", {1, limits::log_file_mib_max}, out.log_bytes_max >> 20U));
  out.log_bytes_max = mib << 20U;
  OVIR_ASSIGN(const std::uint64_t files,
              in.whole(table, "files", {1, limits::log_files_max}, out.log_files_max));
  out.log_files_max = static_cast<std::uint32_t>(files);
  return {};
}

} // namespace ovir::apps
