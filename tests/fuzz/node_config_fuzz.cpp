#include "apps/ovir/node/node_config.hpp"
#include "messages/limits/general.hpp"

#include <cstdint>
#include <cstdlib>
#include <string_view>

namespace {

void expect(bool promise) {
  if (!promise) {
    std::abort();
  }
}

/// What the parser promises of options it hands out.
void check(const ovir::supervision::node_options& o) {
  namespace limits = ovir::limits;
  expect(!o.name.empty() && !o.cluster.empty() && !o.roles.empty());
  expect(o.roles.within(ovir::member_roles));
  expect(!o.listen.empty() || (!o.admin_listen.empty() && o.seeds.empty()));
  expect(o.seeds.size() <= limits::seeds_max && o.admins.size() <= limits::admins_max);
  expect(o.access.size() <= limits::access_entries_max);
  for (const auto& entry : o.access) {
    expect(!entry.key.empty() && !entry.roles.empty());
    expect(entry.roles.within(ovir::member_roles) || entry.roles.within(ovir::admin_roles));
  }
  expect(o.models.size() <= limits::node_models_max);
  expect(!o.models.empty() || !o.roles.has(ovir::role::worker));
  for (const auto& model : o.models) {
    expect(!model.path.empty());
    expect(!model.layers || (model.layers->size() > 0 && model.layers->last <= limits::layers_max));
  }
  expect(o.prefill_chunk > 0 && o.prefill_chunk <= limits::prefill_chunk_max);
  expect(o.probe_interval <= o.probe_timeout && o.probe_timeout <= o.suspect_timeout);
  expect(o.log_files_max > 0 && o.log_bytes_max > 0);
}

} // namespace

// Reads any bytes as the configuration of a node. What is refused names the file; what is accepted
// keeps the promises above and can be shown.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text{reinterpret_cast<const char*>(data), size};
  const auto options = ovir::apps::parse_node_config("folder/node.toml", text);
  if (!options) {
    expect(options.error().message.starts_with("folder/node.toml:"));
    return 0;
  }
  check(*options);
  expect(!ovir::apps::describe(*options).empty());
  expect(ovir::apps::document_of(*options).dump().size() > 2);
  return 0;
}
