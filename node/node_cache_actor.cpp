#include "messages/limits/audit_inputs.hpp"
#include "messages/limits/cache.hpp"
#include "node/node_cache.hpp"
#include "storage/store/content_store.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <span>
#include <utility>

namespace ovir::supervision {

namespace {

using storage::content_kind;
using storage::content_store;

constexpr std::size_t owner_key_bytes_min = 32;
constexpr std::size_t owner_key_bytes_max = 4'096;

result<digest> secret_of(const node_options& options, const secret_key& key,
                         storage::env& environment) {
  const std::string& path = options.cache.owner_key_file;
  if (path.empty()) {
    return actors::cache_secret(std::as_bytes(key.seed()));
  }
  std::array<std::byte, owner_key_bytes_max> text{};
  OVIR_ASSIGN(const std::size_t size, environment.read_secret_file(path, text));
  const std::span<std::byte> bytes = std::span{text}.first(size);
  if (bytes.size() < owner_key_bytes_min) {
    return fail(errc::invalid_argument,
                "{}: has {} bytes; the file of cache.owner_key_file needs at least {} secret ones",
                path, bytes.size(), owner_key_bytes_min);
  }
  const digest secret = actors::cache_secret(bytes);
  wipe(bytes);
  return secret;
}

std::unique_ptr<content_store> open_store(const node_options& options, storage::env& environment,
                                          actors::log& journal) {
  const cache_option& cache = options.cache;
  if (cache.disk_bytes == 0) {
    return nullptr;
  }
  storage::store_options how;
  how.limits.bytes[storage::index_of(content_kind::kv)] = cache.disk_bytes;
  how.limits.bytes[storage::index_of(content_kind::results)] = limits::answers_disk_bytes;
  how.limits.bytes[storage::index_of(content_kind::inputs)] =
      std::min(limits::audit_inputs_disk_bytes, cache.disk_bytes);
  how.limits.bytes[storage::index_of(content_kind::boundaries)] =
      std::min(limits::audit_rows_disk_bytes, cache.disk_bytes);
  const std::string folder = cache.folder.empty() ? options.state + "/store" : cache.folder;
  auto store = content_store::open(environment, folder, how);
  if (!store) {
    journal.say(actors::log_level::warn, std::nullopt, "keeps things in memory alone: {}",
                store.error().message);
    return nullptr;
  }
  while (const auto warning = (*store)->take_warning()) {
    journal.say(actors::log_level::warn, std::nullopt, "{}", *warning);
  }
  return std::move(*store);
}

} // namespace

node_cache::node_cache(machine& on)
    : handle_(std::make_shared<actors::cache_handle>()),
      front_(on.make_executor(job_kind::cache_front, 1)),
      back_(on.make_executor(job_kind::cache_back, 1)) {}

result<std::unique_ptr<node_cache>> node_cache::open(const node_options& options,
                                                     const secret_key& key,
                                                     storage::env& environment,
                                                     actors::log& journal, machine& on) {
  const cache_option& cache = options.cache;
  std::unique_ptr<node_cache> made{new node_cache{on}};
  if (cache.enabled) {
    OVIR_ASSIGN(const digest secret, secret_of(options, key, environment));
    made->policy_ = {true, cache.share, secret};
  }
  made->around_.tiers = std::make_shared<actors::cache_tiers>(
      cache.enabled ? cache.memory_bytes : 0, open_store(options, environment, journal),
      environment, true);
  made->around_.tiers->sign_with(key);
  if (cache.enabled && cache.peers) {
    made->around_.tiers->claim_kept();
  }
  made->around_.front = made->front_.get();
  made->around_.back = made->back_.get();
  made->around_.env = &environment;
  made->around_.warn = [&journal](const std::string& text) {
    journal.say(actors::log_level::warn, std::nullopt, "{}", text);
  };
  return made;
}

void node_cache::quarantine(std::function<void()> done) {
  front_->post([tiers = around_.tiers, handle = handle_,
                done = std::move(done)](compute::parallel_runner&) mutable {
    handle->begin_era(tiers->quarantine(std::move(done)));
    if (const caf::actor cache = handle->get()) {
      caf::anon_send(cache, actors::write_quarantine{});
    }
  });
}

void node_cache::finish() {
  handle_->set({}); // no handle may outlive the actor system
  // A commit may be under way: front, back and front.
  for (actors::compute_executor* const executor :
       std::initializer_list<actors::compute_executor*>{front_.get(), back_.get(), front_.get()}) {
    executor->run([](compute::parallel_runner&) {});
  }
  for (const std::string& warning : actors::flush(*around_.tiers)) {
    around_.warn(warning);
  }
}

} // namespace ovir::supervision
