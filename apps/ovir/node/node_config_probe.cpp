#include "apps/ovir/node/node_config_probe.hpp"

#include "messages/limits/general.hpp"

namespace ovir::apps {

namespace {

result<std::chrono::milliseconds> probe_time(const config_reader& in, const toml::table& table,
                                             std::string_view key,
                                             std::chrono::milliseconds otherwise) {
  constexpr whole_range range{static_cast<std::uint64_t>(limits::probe_time_min.count()),
                              static_cast<std::uint64_t>(limits::probe_time_max.count())};
  OVIR_ASSIGN(const std::uint64_t time,
              in.whole(table, key, range, static_cast<std::uint64_t>(otherwise.count())));
  return std::chrono::milliseconds{time};
}

} // namespace

result<void> read_probe(const config_reader& in, const toml::table& root,
                        supervision::node_options& out) {
  OVIR_ASSIGN(const toml::table* const table, in.section(root, "probe"));
  if (table == nullptr) {
    return {};
  }
  OVIR_TRY(in.known_keys(*table, "[probe]", probe_keys));
  OVIR_ASSIGN(out.probe_interval, probe_time(in, *table, "interval_ms", out.probe_interval));
  OVIR_ASSIGN(out.probe_timeout, probe_time(in, *table, "timeout_ms", out.probe_timeout));
  OVIR_ASSIGN(out.suspect_timeout, probe_time(in, *table, "suspect_ms", out.suspect_timeout));
  // One of the two keys is set where they contradict each other: the defaults do not.
  if (out.probe_timeout < out.probe_interval) {
    const std::string_view at = table->contains("timeout_ms") ? "timeout_ms" : "interval_ms";
    return in.refuse(table->get(at)->source(),
                     "'timeout_ms' is {}, shorter than the {} of 'interval_ms': a probe must be "
                     "given as long as the pause between two",
                     out.probe_timeout.count(), out.probe_interval.count());
  }
  if (out.suspect_timeout < out.probe_timeout) {
    const std::string_view at = table->contains("suspect_ms") ? "suspect_ms" : "timeout_ms";
    return in.refuse(table->get(at)->source(),
                     "'suspect_ms' is {}, shorter than the {} of 'timeout_ms': a suspect must "
                     "have time to answer once more",
                     out.suspect_timeout.count(), out.probe_timeout.count());
  }
  return {};
}

} // namespace ovir::apps
