#include "apps/ovir/run/run_cache.hpp"

#include "actors/operator/admin_json_actor.hpp"
#include "apps/ovir/base/size_text.hpp"
#include "apps/ovir/shell/explain_cache.hpp"
#include "apps/state_folder.hpp"
#include "compute/gguf/manifest.hpp"
#include "storage/store/content_store.hpp"

#include <sys/stat.h>

#include <array>

namespace ovir::apps {

namespace {

using storage::content_kind;
using storage::content_store;

/// Answers and names of models are small; what does not fit is computed again.
constexpr std::uint64_t results_bytes_max = 256U << 20U;
constexpr std::uint64_t inputs_bytes_max = 64U << 20U;

std::uint64_t nanoseconds(const timespec& time) {
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000U +
         static_cast<std::uint64_t>(time.tv_nsec);
}

digest key_of(const file_identity& id) {
  hasher state{"ovir/model-file/v1"};
  for (const std::uint64_t part : {id.device, id.file, id.bytes, id.modified_ns, id.changed_ns}) {
    state.update_u64(part);
  }
  return state.finish();
}

/// Reads the whole file, but only the first time: the manifest is kept under the file's identity.
result<digest> name_model(const ready_model& model, const std::optional<file_identity>& before,
                          content_store& store, storage::env& environment) {
  const std::uint64_t now = environment.unix_seconds();
  // The identity is that of one file.
  const bool known =
      before && model.source.parts.size() == 1 && identity_of(model.source.path) == before;
  if (known) {
    const storage::lookup_answer kept = store.get_by_key({}, key_of(*before), now);
    if (kept.outcome == storage::lookup_outcome::hit && kept.about.kind == content_kind::inputs) {
      return hash_plain(kept.bytes);
    }
  }
  OVIR_ASSIGN(const compute::model_manifest manifest, manifest_of(model.source.metadata));
  const std::string bytes = to_bytes(manifest);
  if (known) {
    const storage::store_change put = storage::put_content{.kind = content_kind::inputs,
                                                           .bytes = std::as_bytes(std::span{bytes}),
                                                           .key = key_of(*before)};
    OVIR_TRY(store.commit(std::span{&put, 1}, now));
  }
  return name_of(manifest);
}

} // namespace

void add_cache_options(CLI::App& command, cache_options& options) {
  command.add_flag("--no-cache", options.off,
                   "Compute everything: neither use nor keep what was computed before");
  command.add_flag("--explain-cache", options.explain,
                   "Say what was reused, where it was, and why the rest was computed");
  command
      .add_option("--cache-memory", options.memory,
                  "Kept in memory at most, in bytes or with K, M, G or T")
      ->capture_default_str();
  command
      .add_option("--cache-disk", options.disk,
                  "Likewise, in the store of the state folder, of prefixes (see ovir cache)")
      ->capture_default_str();
}

std::optional<file_identity> identity_of(const std::string& path) {
  struct stat found {};
  if (path.empty() || ::stat(path.c_str(), &found) != 0 || !S_ISREG(found.st_mode)) {
    return std::nullopt;
  }
  return file_identity{found.st_dev, found.st_ino, static_cast<std::uint64_t>(found.st_size),
                       nanoseconds(found.st_mtim), nanoseconds(found.st_ctim)};
}

result<std::optional<supervision::cluster_cache>>
open_cache(const cache_options& options, const ready_model& model,
           const std::optional<file_identity>& before, surroundings& around) {
  OVIR_ASSIGN(const std::uint64_t memory, bytes_from(options.memory));
  OVIR_ASSIGN(const std::uint64_t disk, bytes_from(options.disk));
  if (options.off) {
    return std::optional<supervision::cluster_cache>{};
  }
  storage::store_options how;
  how.limits.bytes[storage::index_of(content_kind::kv)] = disk;
  how.limits.bytes[storage::index_of(content_kind::results)] = results_bytes_max;
  how.limits.bytes[storage::index_of(content_kind::inputs)] = inputs_bytes_max;
  const auto opened = [&]() -> result<supervision::cluster_cache> {
    OVIR_ASSIGN(const std::string state, state_folder());
    supervision::cluster_cache cache;
    OVIR_ASSIGN(cache.store, content_store::open(around.environment, store_path_in(state), how));
    while (auto warning = cache.store->take_warning()) {
      write_note("note: " + *warning + "\n");
    }
    OVIR_ASSIGN(cache.model, name_model(model, before, *cache.store, around.environment));
    cache.memory_bytes = memory;
    cache.warn = [](const std::string& text) { write_note("note: " + text + "\n"); };
    return cache;
  };
  auto cache = opened();
  if (!cache) {
    write_note(fmt::format("note: nothing is reused or kept: {}\n", cache.error().message));
    return std::optional<supervision::cluster_cache>{};
  }
  return std::optional{std::move(*cache)};
}

std::string explanation_of(const supervision::run_report& run, const actors::cache_report& cache,
                           bool off) {
  if (off) {
    return "cache: nothing is looked up or kept\n";
  }
  if (run.answer_reused) {
    return fmt::format("cache: the whole answer was kept from an earlier time, {}\n",
                       run.reused.disk > 0 ? "on the disk" : "in memory");
  }
  const std::uint64_t found = run.reused.memory + run.reused.disk + run.reused.peer;
  std::string text = fmt::format(
      "cache: {} units found ({} in memory, {} on the disk, {} at other nodes), {} computed\n",
      found, run.reused.memory, run.reused.disk, run.reused.peer, run.units_computed);
  if (cache.saved_us > 0) {
    text += fmt::format("cache: to compute what was found would have taken {:.3f} s\n",
                        static_cast<double>(cache.saved_us) / 1e6);
  }
  if (cache.damaged > 0) {
    text += fmt::format("cache: {} that were there were damaged and are computed again\n",
                        cache.damaged);
  }
  text += cache.missed > 0
              ? fmt::format("cache: {} stages looked for one window more than there was\n",
                            cache.missed)
              : std::string{"cache: every window that may be reused was there\n"};
  text +=
      fmt::format("cache: {} new entries are kept, {} are not; the last window of a prompt, and "
                  "one that is not whole, are always computed\n",
                  cache.kept + cache.unwritten, cache.not_kept);
  actors::json stages = actors::json::array();
  for (std::size_t i = 0; i < run.explained.size() && i < run.stages.size(); ++i) {
    stages.push_back(actors::reuse_json(run.explained[i]));
    stages.back()["first_layer"] = run.stages[i].layers.first;
    stages.back()["last_layer"] = run.stages[i].layers.last - 1;
  }
  text += explained_text(stages);
  return text + "cache: nobody else was asked: a run is a cluster of its own\n";
}

} // namespace ovir::apps
