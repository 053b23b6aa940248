#include "storage/store/content_store.hpp"

#include "storage/store/store_batch.hpp"

#include <algorithm>
#include <utility>

namespace ovir::storage {

namespace {

std::string blocks_path(const std::string& folder) { return folder + "/blocks"; }

} // namespace

struct content_store::loaded {
  std::vector<extent> places;
  std::array<kind_usage, content_kinds.size()> usage{};
  std::array<kind_counters, content_kinds.size()> counters{};

  /// In the order of the file, where each run only moves the end; any other order would cut a
  /// million runs of free blocks out of each other.
  [[nodiscard]] extent_map extents() {
    std::sort(places.begin(), places.end(),
              [](const extent& a, const extent& b) { return a.offset < b.offset; });
    extent_map map;
    for (const extent& place : places) {
      static_cast<void>(map.take(place));
    }
    return map;
  }

  void add(std::string_view key, std::string_view record) {
    if (const auto e = entry_from(key, record)) {
      places.push_back(e->where());
      kind_usage& of_kind = usage[index_of(e->kind)];
      ++of_kind.entries;
      of_kind.bytes += e->size;
      of_kind.bytes_taken += e->where().bytes;
      of_kind.pinned += e->pinned ? 1 : 0;
      of_kind.unverified += e->from.verified ? 0 : 1;
    } else if (const auto c = counters_from(key, record)) {
      counters[static_cast<std::size_t>(key[1]) - 1] = *c;
    }
  }
};

std::string_view to_string(change_outcome outcome) noexcept {
  switch (outcome) {
  case change_outcome::done: return "done";
  case change_outcome::present: return "present";
  case change_outcome::no_such: return "no_such";
  case change_outcome::too_large: return "too_large";
  case change_outcome::no_room: return "no_room";
  case change_outcome::disk_full: return "disk_full";
  case change_outcome::wrong_digest: return "wrong_digest";
  case change_outcome::disputed: return "disputed";
  }
  return "unknown";
}

content_store::content_store(env& environment, std::string folder, const store_options& options,
                             std::unique_ptr<held_lock> lock)
    : folder_(std::move(folder)), options_(options), lock_(std::move(lock)), draws_(options.seed),
      env_(environment) {}

content_store::~content_store() {
  if (view_) {
    view_->close();
  }
}

result<std::unique_ptr<content_store>>
content_store::open(env& environment, const std::string& folder, const store_options& options) {
  OVIR_TRY(environment.make_folder(folder));
  OVIR_ASSIGN(auto lock, environment.lock(folder));
  std::unique_ptr<content_store> store{
      new content_store{environment, folder, options, std::move(lock)}};
  OVIR_TRY(store->reopen());
  return store;
}

result<void> content_store::reopen() {
  if (view_) {
    view_->close();
  }
  index_.reset();
  blocks_.reset();
  OVIR_ASSIGN(std::shared_ptr<durable_file> blocks,
              env_.open_durable(blocks_path(folder_), durable_use::make));
  loaded state;
  index_report report;
  const index_loader loader{
      .record = [&](std::string_view key, std::string_view record) { state.add(key, record); },
      .restart = [&] { state = loaded{}; }};
  OVIR_ASSIGN(store_index index, store_index::open(env_, folder_, loader, report));
  index_.emplace(std::move(index));
  blocks_ = std::move(blocks);
  view_ = std::make_shared<store_view>(index_->file(), blocks_);
  view_->publish(index_->root());
  extents_ = state.extents();
  usage_ = state.usage;
  counters_ = state.counters;
  counted_.fill(false);
  ++generation_;
  report_.made = report_.made || report.made;
  report_.rebuilt = report_.rebuilt || report.rebuilt;
  report_.damaged_pages += report.damaged_pages;
  report_.records_lost += report.records_lost;
  if (report.rebuilt) {
    warning_ = fmt::format("{}: the index was damaged ({} pages); {} of its records are gone, and "
                           "what they led to will be computed again",
                           folder_, report.damaged_pages, report.records_lost);
  }
  give_back_blocks();
  return {};
}

result<std::vector<change_outcome>> content_store::commit(std::span<const store_change> changes,
                                                          std::uint64_t now) {
  OVIR_CHECK(changes.size() <= limits::store_changes_max, changes.size());
  if (!index_ || std::exchange(suspect_, false)) {
    OVIR_TRY(reopen());
  }
  auto done = try_commit(changes, now);
  if (!done && done.error().code != errc::io_failed) {
    // Damaged pages, or a commit of which nobody knows whether it happened: look at the files.
    OVIR_TRY(reopen());
    done = try_commit(changes, now);
    if (!done) {
      index_.reset();
      view_->close();
    }
  }
  return done;
}

result<std::vector<change_outcome>> content_store::try_commit(std::span<const store_change> changes,
                                                              std::uint64_t now) {
  store_batch b{{*index_, extents_, options_.limits, notes_, leases_, draws_}, now};
  b.usage = usage_;
  b.counters = counters_;
  auto outcomes = plan(b, changes);
  if (!outcomes) {
    give_up(b);
    return outcomes;
  }
  const auto written = write(b);
  if (!written) {
    give_up(b);
    return written.error();
  }
  if (!*written) {
    give_up(b);
    outcomes->assign(changes.size(), change_outcome::disk_full);
    return outcomes;
  }
  settle(b);
  return outcomes;
}

result<std::vector<change_outcome>> content_store::plan(store_batch& b,
                                                        std::span<const store_change> changes) {
  OVIR_TRY(b.apply_notes());
  std::vector<change_outcome> outcomes;
  outcomes.reserve(changes.size());
  for (const store_change& change : changes) {
    OVIR_ASSIGN(const change_outcome outcome,
                std::visit([&](const auto& c) { return b.apply(c); }, change));
    outcomes.push_back(outcome);
  }
  for (const content_kind kind : content_kinds) {
    OVIR_TRY(b.make_room(kind, 0)); // limits may be lower than they were
    if (b.counters[index_of(kind)] != counters_[index_of(kind)] || counted_[index_of(kind)]) {
      b.changes.insert_or_assign(counters_index_key(kind),
                                 to_record(kind, b.counters[index_of(kind)]));
    }
  }
  return outcomes;
}

// False: the disk refused, and nothing has changed.
result<bool> content_store::write(store_batch& b) {
  if (b.changes.empty()) {
    return true;
  }
  if (retry_at_ && b.now < *retry_at_ && !b.writes.empty()) {
    return false;
  }
  result<void> done;
  for (const store_batch::block_write& w : b.writes) {
    done = done ? blocks_->write_at(w.offset, w.bytes) : std::move(done);
  }
  if (done && !b.writes.empty()) {
    done = blocks_->sync();
  }
  if (done) {
    done = index_->commit(b.changes);
  }
  if (done && b.twice) {
    view_->publish(index_->root()); // readers count transactions: none may pass unseen
    // Were the newer of the index's two states damaged, the older one would be used, in which what
    // was removed just now must be gone as well.
    done = index_->commit({});
    if (!done && done.error().code == errc::io_failed) {
      done = result<void>{}; // the removal itself is on the disk
    }
  }
  if (!done && done.error().code == errc::io_failed) {
    disk_refused(done.error(), b.now);
    return false;
  }
  if (!done) {
    return done.error();
  }
  retry_at_.reset();
  return true;
}

void content_store::disk_refused(const error& why, std::uint64_t now) {
  if (!retry_at_) {
    warning_ = fmt::format("nothing is kept in the store for now: {}", why.message);
  }
  retry_at_ = now + limits::store_retry_seconds;
}

void content_store::settle(store_batch& b) {
  view_->publish(index_->root());
  // Only now may the room be used again: readers that still see an entry there find out.
  for (const extent& e : b.freed) {
    extents_.release(e);
  }
  usage_ = b.usage;
  counters_ = b.counters;
  counted_.fill(false);
  notes_.clear();
  std::erase_if(leases_, [](const auto& l) { return l.second.expired(); });
  if (extents_.free_bytes() > limits::store_free_bytes_kept + extents_.end() / 2) {
    give_back_blocks();
  }
}

void content_store::give_up(store_batch& b) {
  for (const extent& e : b.taken) {
    extents_.release(e);
  }
}

// The file keeps its length of addresses but not the disk's blocks behind the free ones.
void content_store::give_back_blocks() {
  if (const auto size = blocks_->size(); size && *size > extents_.end()) {
    static_cast<void>(blocks_->truncate(extents_.end()));
  }
  if (blocks_->bytes_on_disk() <=
      extents_.end() - extents_.free_bytes() + limits::store_free_bytes_kept) {
    return;
  }
  for (const auto& [offset, bytes] : extents_.free_runs()) {
    blocks_->release(offset, bytes);
  }
}

void content_store::note(const lookup_answer& answer, std::uint64_t now) {
  const bool hit = answer.outcome == lookup_outcome::hit;
  if (answer.outcome == lookup_outcome::damaged && answer.about.size == 0) {
    suspect_ = true; // not the content but the way to it
  }
  if (!answer.kind) {
    return;
  }
  kind_counters& of_kind = counters_[index_of(*answer.kind)];
  counted_[index_of(*answer.kind)] = true;
  if (answer.outcome == lookup_outcome::miss) {
    ++of_kind.misses;
    return;
  }
  if (hit) {
    ++of_kind.hits;
    of_kind.bytes_served += answer.about.size;
    of_kind.saved_us += answer.about.cost_us;
  } else {
    ++of_kind.damaged;
    ++of_kind.misses;
  }
  if (answer.about.size == 0) {
    return;
  }
  const entry_place place{answer.about.kind, answer.about.name};
  if (notes_.size() < limits::store_notes_max || notes_.contains(place)) {
    noted_use& n = notes_[place];
    n.uses += hit ? 1 : 0;
    n.last_use = std::max(n.last_use, now);
    if (!hit) {
      n.damaged_at = answer.about.offset;
    }
  }
}

lookup_answer content_store::get(content_kind kind, const content_owner& owner,
                                 const digest& content, std::uint64_t now) {
  lookup_answer answer = reader().find(kind, owner, content);
  note(answer, now);
  return answer;
}

lookup_answer content_store::get_by_key(const content_owner& owner, const digest& key,
                                        std::uint64_t now) {
  lookup_answer answer = reader().find_by_key(owner, key);
  note(answer, now);
  return answer;
}

content_lease content_store::lease(const key_target& target) {
  std::weak_ptr<const int>& known = leases_[{target.kind, target.name}];
  std::shared_ptr<const int> token = known.lock();
  if (!token) {
    token = std::make_shared<const int>(0);
    known = token;
  }
  return content_lease{std::move(token)};
}

std::uint64_t content_store::bytes_on_disk() const noexcept {
  return index_ ? index_->bytes_on_disk() + blocks_->bytes_on_disk() : 0;
}

result<void> content_store::visit(const std::function<void(const entry&)>& visitor) const {
  if (!index_) {
    return fail(errc::io_failed, "{}: the store is closed after an error of the disk", folder_);
  }
  index_pages pages{*index_->file()};
  std::uint64_t damaged = 0;
  const pages_found found =
      pages.visit_all(index_->root(), [&](std::string_view key, std::string_view record) {
        if (const auto e = entry_from(key, record)) {
          visitor(*e);
        } else if (!checked(key, record)) {
          ++damaged;
        }
      });
  if (found.sound && damaged == 0) {
    return {};
  }
  return fail(
      errc::digest_mismatch,
      "{}: {} pages and {} records of the index are damaged; open the store anew to mend it",
      folder_, found.damaged_pages, damaged);
}

std::optional<std::string> content_store::take_warning() {
  return std::exchange(warning_, std::nullopt);
}

result<void> content_store::compact() {
  if (!index_) {
    OVIR_TRY(reopen());
  }
  view_->close();
  index_.reset();
  OVIR_TRY(store_index::rewrite(env_, folder_));
  OVIR_TRY(reopen());
  for (const auto& [offset, bytes] : extents_.free_runs()) {
    blocks_->release(offset, bytes);
  }
  return {};
}

} // namespace ovir::storage
