#include "apps/ovir/node/node_config_link.hpp"

#include "messages/limits/general.hpp"
#include "messages/limits/shared.hpp"

#include <fmt/ranges.h>

namespace ovir::apps {

result<void> read_link(const config_reader& in, const toml::table& root,
                       supervision::node_options& out) {
  OVIR_ASSIGN(const toml::table* const table, in.section(root, "link"));
  if (table == nullptr) {
    return {};
  }
  OVIR_TRY(in.known_keys(*table, "[link]", link_keys));
  OVIR_ASSIGN(out.link.shared_memory, in.boolean(*table, "shared_memory", out.link.shared_memory));
  constexpr whole_range range{0, static_cast<std::uint64_t>(limits::busy_read_max.count())};
  OVIR_ASSIGN(const std::uint64_t busy,
              in.whole(*table, "busy_read_us", range,
                       static_cast<std::uint64_t>(out.link.busy_read.count())));
  out.link.busy_read = std::chrono::microseconds{busy};
  OVIR_ASSIGN(const std::string word,
              in.text(*table, "transport", {"word", limits::node_name_bytes_max},
                      std::string{to_string(out.transport)}));
  const auto transport = actors::link_transport_from(word);
  if (!transport) {
    return in.refuse(table->get("transport")->source(), "'transport' is none of {}",
                     fmt::join(actors::link_transport_words, ", "));
  }
  out.transport = *transport;
  return {};
}

} // namespace ovir::apps
