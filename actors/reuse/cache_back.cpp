#include "actors/reuse/cache_back.hpp"

#include "messages/check.hpp"
#include "messages/limits/cache.hpp"

#include <algorithm>
#include <iterator>
#include <span>
#include <utility>

namespace ovir::actors {

using storage::content_kind;

namespace {

void count(const cache_write& write, bool there, cache_committed& out) {
  if (is_input(write.kind)) {
    (there ? out.inputs_kept : out.inputs_not_kept) += 1;
  } else {
    (there ? out.kept : out.not_kept) += 1;
  }
}

} // namespace

cache_back::cache_back(std::unique_ptr<storage::content_store> store, storage::env& environment)
    : store_(std::move(store)), env_(environment) {}

cache_committed cache_back::commit(cache_batch&& taken) {
  cache_committed out;
  const std::uint64_t now = env_.unix_seconds();
  OVIR_CHECK(store_ != nullptr);
  for (const storage::lookup_answer& answer : taken.notes) {
    store_->note(answer, now);
  }
  if (taken.quarantine) {
    const auto removed = remove_all(now);
    out.quarantine = removed.has_value();
    out.quarantined = removed ? *removed : 0;
    if (!removed) {
      out.warnings.push_back(fmt::format("what a conviction took away could not be removed from "
                                         "the store, which is not used any more: {}",
                                         removed.error().message));
      store_.reset();
      return out;
    }
  }
  std::vector<storage::store_change> changes;
  for (const cache_write& w : taken.writes) {
    out.places.push_back(w.place);
    changes.emplace_back(storage::put_content{.kind = w.kind,
                                              .owner = w.owner,
                                              .bytes = *w.bytes,
                                              .key = w.key,
                                              .cost_us = w.cost_us,
                                              .from = w.from});
  }
  const auto done = store_->commit(changes, now);
  while (auto warning = store_->take_warning()) {
    out.warnings.push_back(std::move(*warning));
  }
  if (!done) {
    for (const cache_write& w : taken.writes) {
      count(w, false, out);
    }
    out.warnings.push_back(
        fmt::format("the store cannot be used any more: {}", done.error().message));
    store_.reset();
    return out;
  }
  for (std::size_t i = 0; i < done->size(); ++i) {
    const storage::change_outcome outcome = (*done)[i];
    const bool there =
        outcome == storage::change_outcome::done || outcome == storage::change_outcome::present;
    count(taken.writes[i], there, out);
  }
  out.reader = store_->reader();
  out.disk_bytes = store_->bytes_on_disk();
  return out;
}

/// Blocks and answers; weights and inputs are checked by their digest and depend on no statement.
result<std::uint64_t> cache_back::remove_all(std::uint64_t now) {
  std::vector<storage::store_change> all;
  OVIR_TRY(store_->visit([&all](const storage::entry& e) {
    if (e.kind == content_kind::kv || e.kind == content_kind::results) {
      all.emplace_back(storage::remove_content{{e.kind, e.name}});
    }
  }));
  for (std::size_t first = 0; first < all.size(); first += limits::store_changes_max) {
    const std::size_t count = std::min(limits::store_changes_max, all.size() - first);
    OVIR_TRY(store_->commit(std::span{all}.subspan(first, count), now));
  }
  return all.size();
}

std::vector<digest> cache_back::places_of_blocks() const {
  std::vector<digest> places;
  if (!store_) {
    return places;
  }
  std::vector<std::pair<std::uint64_t, digest>> kept; // last use, place
  const auto seen = store_->visit([&kept](const storage::entry& e) {
    if (e.kind == content_kind::kv) {
      for (const digest& place : e.keys) {
        kept.emplace_back(e.last_use, place);
      }
    }
  });
  if (!seen) {
    return places;
  }
  std::sort(kept.begin(), kept.end());
  std::transform(kept.begin(), kept.end(), std::back_inserter(places),
                 [](const auto& one) { return one.second; });
  return places;
}

} // namespace ovir::actors
