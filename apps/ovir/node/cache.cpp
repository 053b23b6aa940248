#include "apps/ovir/base/command.hpp"
#include "apps/ovir/base/size_text.hpp"
#include "apps/state_folder.hpp"
#include "storage/store/content_store.hpp"

#include <algorithm>
#include <array>
#include <memory>

namespace ovir::apps {

namespace {

using storage::content_kind;
using storage::content_kinds;
using storage::content_store;

struct options {
  std::string folder; ///< empty: the state folder's
  std::string kind;
  std::vector<std::string> names;
  std::vector<std::string> limits;
  std::uint64_t entries_max{1'000};
  bool as_json{false};
};

using open_store = std::unique_ptr<content_store>;

/// The store, which must be there: looking at nothing would make a folder.
result<open_store> open(const options& given, surroundings& around,
                        const storage::store_options& how = {}) {
  std::string folder = given.folder;
  if (folder.empty()) {
    OVIR_ASSIGN(const std::string state, state_folder());
    folder = store_path_in(state);
  }
  OVIR_ASSIGN(const std::vector<std::string> files, around.environment.list(folder));
  if (!std::binary_search(files.begin(), files.end(), "index.mdb")) {
    return fail(errc::not_found,
                "{}: there is no store; a node makes one when it first keeps something, or name "
                "another folder with --store",
                folder);
  }
  OVIR_ASSIGN(open_store store, content_store::open(around.environment, folder, how));
  if (const auto warning = store->take_warning()) {
    write_note("note: " + *warning + "\n");
  }
  return store;
}

result<content_kind> kind_from(std::string_view text) {
  if (const auto kind = storage::content_kind_from(text)) {
    return *kind;
  }
  return fail(errc::invalid_argument,
              "'{}' is no kind; the kinds are weights, inputs, boundaries, kv, logits and results",
              text);
}

result<storage::store_options> limits_from(const std::vector<std::string>& texts) {
  storage::store_options out;
  for (const std::string& text : texts) {
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos) {
      return fail(errc::invalid_argument, "--limit is '{}'; give KIND=SIZE, such as kv=20G", text);
    }
    OVIR_ASSIGN(const content_kind kind, kind_from(std::string_view{text}.substr(0, equals)));
    OVIR_ASSIGN(out.limits.bytes[storage::index_of(kind)],
                bytes_from(std::string_view{text}.substr(equals + 1)));
  }
  return out;
}

json counters_of(const storage::kind_counters& c) {
  return {{"hits", c.hits},        {"misses", c.misses},   {"stored", c.stored},
          {"evicted", c.evicted},  {"damaged", c.damaged}, {"bytes_served", c.bytes_served},
          {"saved_us", c.saved_us}};
}

json usage_of(const storage::kind_usage& u) {
  return {{"entries", u.entries},
          {"bytes", u.bytes},
          {"bytes_taken", u.bytes_taken},
          {"pinned", u.pinned},
          {"unverified", u.unverified}};
}

/// What keeping things was good for so far, over all kinds.
struct store_savings {
  std::uint64_t units{0}; ///< blocks found that were not computed again
  std::uint64_t bytes{0}; ///< read from the disk instead
  double seconds{0};      ///< what computing all that was found took once
};
store_savings savings_of(const content_store& store) {
  store_savings out;
  out.units = store.counters(content_kind::kv).hits;
  for (const content_kind kind : content_kinds) {
    out.bytes += store.counters(kind).bytes_served;
    out.seconds += static_cast<double>(store.counters(kind).saved_us) / 1e6;
  }
  return out;
}

result<exit_code> stats(const options& given, surroundings& around) {
  OVIR_ASSIGN(const open_store store, open(given, around));
  const store_savings saved = savings_of(*store);
  if (given.as_json) {
    json kinds = json::object();
    for (const content_kind kind : content_kinds) {
      json one = usage_of(store->usage(kind));
      one.update(counters_of(store->counters(kind)));
      kinds[std::string{to_string(kind)}] = std::move(one);
    }
    OVIR_TRY(write_document(json{{"bytes_on_disk", store->bytes_on_disk()},
                                 {"rebuilt", store->report().rebuilt},
                                 {"units_avoided", saved.units},
                                 {"bytes_moved", saved.bytes},
                                 {"seconds_saved", saved.seconds},
                                 {"kinds", std::move(kinds)}}));
    return exit_code::done;
  }
  std::string text =
      fmt::format("{:<11}{:>10}{:>11}{:>9}{:>10}{:>10}{:>9}{:>9}{:>12}{:>12}\n", "kind", "entries",
                  "size", "pinned", "hits", "misses", "evicted", "damaged", "served", "saved");
  for (const content_kind kind : content_kinds) {
    const storage::kind_usage& u = store->usage(kind);
    const storage::kind_counters& c = store->counters(kind);
    text += fmt::format("{:<11}{:>10}{:>11}{:>9}{:>10}{:>10}{:>9}{:>9}{:>12}{:>10.1f} s\n",
                        to_string(kind), u.entries, bytes_text(u.bytes), u.pinned, c.hits, c.misses,
                        c.evicted, c.damaged, bytes_text(c.bytes_served),
                        static_cast<double>(c.saved_us) / 1e6);
  }
  text += fmt::format("{} units were not computed again: {} read instead, {:.1f} s saved\n",
                      saved.units, bytes_text(saved.bytes), saved.seconds);
  OVIR_TRY(
      write_output(text + fmt::format("{} on the disk\n", bytes_text(store->bytes_on_disk()))));
  return exit_code::done;
}

json entry_document(const storage::entry& e) {
  return {
      {"kind", to_string(e.kind)},
      {"name", to_hex(e.name)},
      {"cid", to_cid(e.content)},
      {"bytes", e.size},
      {"stored_unix", e.stored},
      {"last_use_unix", e.last_use},
      {"uses", e.uses},
      {"cost_us", e.cost_us},
      {"keys", e.keys.size()},
      {"pinned", e.pinned},
      {"private", e.is_private},
      {"verified", e.from.verified},
      {"author", e.from.author.empty() ? json(nullptr) : json(to_hex(e.from.author))},
      {"statement", e.from.statement == digest{} ? json(nullptr) : json(to_hex(e.from.statement))}};
}

std::string line_of(const storage::entry& e, std::uint64_t now) {
  return fmt::format("{:<11}{}{:>11}{:>7}{:>11} s ago  {}{}{}\n", to_string(e.kind), to_hex(e.name),
                     bytes_text(e.size), e.uses, now - std::min(now, e.last_use),
                     e.pinned ? "pinned " : "", e.is_private ? "private " : "",
                     e.from.verified ? "verified" : "claimed");
}

result<exit_code> list(const options& given, surroundings& around) {
  std::optional<content_kind> only;
  if (!given.kind.empty()) {
    OVIR_ASSIGN(only, kind_from(given.kind));
  }
  OVIR_ASSIGN(const open_store store, open(given, around));
  const std::uint64_t now = around.environment.unix_seconds();
  json entries = json::array();
  std::string text;
  std::uint64_t seen = 0;
  OVIR_TRY(store->visit([&](const storage::entry& e) {
    if ((only && e.kind != *only) || ++seen > given.entries_max) {
      return;
    }
    if (given.as_json) {
      entries.push_back(entry_document(e));
    } else {
      text += line_of(e, now);
    }
  }));
  if (given.as_json) {
    OVIR_TRY(write_document(json{{"entries", std::move(entries)}, {"count", seen}}));
    return exit_code::done;
  }
  OVIR_TRY(write_output(text));
  if (seen > given.entries_max) {
    write_note(fmt::format("{} of {} entries; --max shows more\n", given.entries_max, seen));
  }
  return exit_code::done;
}

// Reads everything. What is damaged is dropped, so that nobody waits for it later.
result<exit_code> verify(const options& given, surroundings& around) {
  OVIR_ASSIGN(const open_store store, open(given, around));
  std::vector<storage::key_target> all;
  OVIR_TRY(store->visit([&](const storage::entry& e) { all.push_back({e.kind, e.name}); }));
  const storage::store_reader reader = store->reader();
  json damaged = json::array();
  std::vector<storage::store_change> drops;
  std::uint64_t bytes = 0;
  for (const storage::key_target& target : all) {
    if (around.interrupted) {
      return fail(errc::cancelled, "interrupted; what was looked at so far was left as it is");
    }
    const storage::lookup_answer answer = reader.read(target);
    bytes += answer.bytes.size();
    if (answer.outcome != storage::lookup_outcome::hit) {
      store->note(answer, around.environment.unix_seconds());
      damaged.push_back({{"kind", to_string(target.kind)}, {"name", to_hex(target.name)}});
    }
  }
  if (!damaged.empty()) {
    OVIR_TRY(store->commit({}, around.environment.unix_seconds()));
  }
  const storage::index_report& report = store->report();
  const bool sound = damaged.empty() && !report.rebuilt;
  if (given.as_json) {
    OVIR_TRY(write_document(json{{"ok", sound},
                                 {"entries", all.size()},
                                 {"bytes", bytes},
                                 {"damaged", std::move(damaged)},
                                 {"index_rebuilt", report.rebuilt},
                                 {"records_lost", report.records_lost}}));
  } else {
    std::string text;
    for (const json& one : damaged) {
      text += fmt::format("damaged, dropped: {} {}\n", one["kind"].get<std::string>(),
                          one["name"].get<std::string>());
    }
    OVIR_TRY(write_output(text + fmt::format("{} of {} entries are sound ({})\n",
                                             all.size() - damaged.size(), all.size(),
                                             bytes_text(bytes))));
  }
  return sound ? exit_code::done : exit_code::wrong;
}

std::uint64_t entries_in(const content_store& store) {
  std::uint64_t sum = 0;
  for (const content_kind kind : content_kinds) {
    sum += store.usage(kind).entries;
  }
  return sum;
}

result<exit_code> collect(const options& given, surroundings& around) {
  OVIR_ASSIGN(const storage::store_options how, limits_from(given.limits));
  OVIR_ASSIGN(const open_store store, open(given, around, how));
  const std::uint64_t before = store->bytes_on_disk();
  const std::uint64_t entries = entries_in(*store);
  OVIR_TRY(store->commit({}, around.environment.unix_seconds()));
  OVIR_TRY(store->compact());
  const std::uint64_t after = store->bytes_on_disk();
  const std::uint64_t evicted = entries - entries_in(*store);
  if (given.as_json) {
    OVIR_TRY(write_document(json{{"evicted", evicted},
                                 {"entries", entries - evicted},
                                 {"bytes_before", before},
                                 {"bytes_after", after}}));
  } else {
    OVIR_TRY(write_output(fmt::format("{} entries evicted, {} left; {} on the disk, {} before\n",
                                      evicted, entries - evicted, bytes_text(after),
                                      bytes_text(before))));
  }
  return exit_code::done;
}

/// The entries whose name or content is called `text`: hexadecimal digits or a CID.
result<std::vector<storage::key_target>> targets_of(const content_store& store,
                                                    const std::string& text) {
  std::vector<storage::key_target> found;
  OVIR_TRY(store.visit([&](const storage::entry& e) {
    if (to_hex(e.name) == text || to_cid(e.content) == text) {
      found.push_back({e.kind, e.name});
    }
  }));
  if (found.empty()) {
    return fail(errc::not_found, "'{}' names no entry of the store; see ovir cache ls", text);
  }
  return found;
}

result<exit_code> set_pins(const options& given, surroundings& around, bool pinned) {
  OVIR_ASSIGN(const open_store store, open(given, around));
  std::vector<storage::store_change> changes;
  for (const std::string& name : given.names) {
    OVIR_ASSIGN(const std::vector<storage::key_target> found, targets_of(*store, name));
    for (const storage::key_target& target : found) {
      changes.emplace_back(storage::pin_content{target, pinned});
    }
  }
  if (changes.size() > limits::store_changes_max) {
    return fail(errc::over_limit, "{} entries at once are more than the {} allowed; name fewer",
                changes.size(), limits::store_changes_max);
  }
  OVIR_ASSIGN(const auto outcomes, store->commit(changes, around.environment.unix_seconds()));
  if (std::count(outcomes.begin(), outcomes.end(), storage::change_outcome::disk_full) > 0) {
    return fail(errc::io_failed, "{}", store->take_warning().value_or("the disk refused it"));
  }
  const std::string_view what = pinned ? "pinned" : "unpinned";
  if (given.as_json) {
    OVIR_TRY(write_document(json{{std::string{what}, changes.size()}}));
  } else {
    OVIR_TRY(write_output(fmt::format("{} entries {}\n", changes.size(), what)));
  }
  return exit_code::done;
}

using action = std::function<result<exit_code>(const options&, surroundings&)>;

CLI::App* add_action(CLI::App& cache, chosen_command& chosen, const std::shared_ptr<options>& given,
                     const std::string& name, const std::string& what, const action& act) {
  CLI::App* const command = cache.add_subcommand(name, what);
  command->add_option("--store", given->folder,
                      "Folder of the store (default: store in $OVIR_HOME, else "
                      "$XDG_STATE_HOME/ovir, else ~/.local/state/ovir)");
  add_json(*command, given->as_json);
  command->callback([given, act, &chosen] {
    chosen.as_json = given->as_json;
    chosen.run = [given, act](surroundings& around) { return act(*given, around); };
  });
  return command;
}

} // namespace

void add_cache(CLI::App& app, chosen_command& chosen) {
  CLI::App* const cache =
      app.add_subcommand("cache", "Look at what is kept for reuse, check it, make room");
  cache->require_subcommand(1);
  cache->footer("One process at a time may use a store: stop the node first.\n\nExamples:\n"
                "  ovir cache stats\n  ovir cache ls --kind kv --json\n  ovir cache verify\n"
                "  ovir cache gc --limit kv=20G\n  ovir cache pin NAME");
  const auto given = std::make_shared<options>();
  add_action(*cache, chosen, given, "stats", "Entries, bytes, hits and savings of each kind",
             stats);
  CLI::App* const ls = add_action(*cache, chosen, given, "ls", "List entries", list);
  ls->add_option("--kind", given->kind,
                 "Only these: weights, inputs, boundaries, kv, logits or results");
  ls->add_option("--max", given->entries_max, "At most so many")->capture_default_str();
  add_action(*cache, chosen, given, "verify",
             "Read every entry and drop those whose bytes are damaged (exit code 1 if any was)",
             verify);
  CLI::App* const gc =
      add_action(*cache, chosen, given, "gc",
                 "Evict down to limits, write the index anew, free the disk", collect);
  gc->add_option("--limit", given->limits,
                 "KIND=SIZE: evict the least valuable beyond it, such as kv=20G (repeatable)");
  for (const bool pinned : {true, false}) {
    add_action(
        *cache, chosen, given, pinned ? "pin" : "unpin",
        pinned ? "Keep entries from being evicted" : "Let entries be evicted again",
        [pinned](const options& o, surroundings& around) { return set_pins(o, around, pinned); })
        ->add_option("NAME", given->names, "Names or CIDs, as ovir cache ls prints them")
        ->required();
  }
}

} // namespace ovir::apps
