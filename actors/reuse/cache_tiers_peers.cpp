#include "actors/reuse/cache_tiers.hpp"
#include "compute/forward/prefix.hpp"
#include "messages/limits/blocks.hpp"

#include <algorithm>
#include <utility>

// What the tiers do for other nodes, and with what comes from them.

namespace ovir::actors {

using storage::content_kind;
using storage::lookup_outcome;

std::vector<wanted_window> cache_tiers::missing(const find_units& wanted,
                                                std::uint32_t first) const {
  std::vector<wanted_window> windows;
  const unit_scope& scope = wanted.scope;
  const std::size_t block_bytes = compute::kv_block_bytes(scope.shape);
  std::size_t bytes = 0;
  for (std::uint32_t window = first; window < wanted.last; ++window) {
    wanted_window lacks;
    for (layer_index layer = scope.layers.first; layer < scope.layers.last; ++layer) {
      const digest& name = (*wanted.prefixes)[window];
      const digest place = compute::unit_key(scope.model, layer, name);
      if (spent_.contains(place)) {
        return windows; // to be computed, and all behind it with it
      }
      if (!holds({}, place)) {
        lacks.push_back({place, name, layer, window, scope.shape, layer + 1 == scope.model_layers});
      }
    }
    bytes += lacks.size() * block_bytes;
    if (!windows.empty() && bytes > limits::block_fetch_bytes_max) {
      return windows;
    }
    windows.push_back(std::move(lacks));
  }
  return windows;
}

void cache_tiers::take_fetched(const unit_scope& scope, std::vector<fetched_block> blocks) {
  for (fetched_block& block : blocks) {
    const digest place = block.wanted.place;
    if (holds({}, place) || claimed_.size() >= limits::claims_kept_max) {
      continue;
    }
    claimed_[place] = {block.author, 0};
    fresh_.insert(place);
    put({content_kind::kv,
         {},
         place,
         place,
         std::move(block.bytes),
         unit_cost_us(scope.model),
         {block.author, {}, false}});
  }
}

/// Whether nobody here knows it to be right.
bool cache_tiers::is_claim(content_kind kind, const storage::provenance& from) const {
  return !from.verified &&
         (!from.author.empty() || (kind == content_kind::results && answers_are_claims_));
}

/// Counts a use of what other nodes only claim. True: it was used often enough.
bool cache_tiers::claims_spent(content_kind kind, const digest& place, const found& what) {
  if (what.on_disk) {
    const storage::provenance& from = what.on_disk->about.from;
    if (is_claim(kind, from) && !claimed_.contains(place)) {
      if (claimed_.size() >= limits::claims_kept_max) {
        return true; // nothing that is not counted is believed
      }
      claimed_[place] = {from.author, what.on_disk->about.uses};
    }
  }
  const auto known = claimed_.find(place);
  if (known == claimed_.end()) {
    return false;
  }
  if (++known->second.uses > limits::claimed_uses_max) {
    spent_.insert(place);
    return true;
  }
  return false;
}

/// Who computes a window computes those behind it as well: all that is only claimed of them is seen
/// then.
void cache_tiers::spend_rest(const find_units& wanted, std::uint32_t window) {
  const unit_scope& scope = wanted.scope;
  for (; window < wanted.last; ++window) {
    for (layer_index layer = scope.layers.first; layer < scope.layers.last; ++layer) {
      const digest place = compute::unit_key(scope.model, layer, (*wanted.prefixes)[window]);
      if (claimed_.contains(place)) {
        spent_.insert(place);
      }
    }
  }
}

/// What was used often enough has been computed again: was it right? Of an answer that comes out
/// another nobody knows which one is: the later one takes the place, as a claim.
void cache_tiers::recheck(const digest& place, write& fresh) {
  if (spent_.erase(place) == 0) {
    return;
  }
  ++report_.rechecked;
  const auto author = claimed_.extract(place);
  const auto before = look_up(fresh.kind, fresh.owner, fresh.key);
  const bool same = before && (fresh.kind == content_kind::kv
                                   ? compute::same_kv_block(*before->bytes, *fresh.bytes)
                                   : *before->bytes == *fresh.bytes);
  const bool differs = before && !same;
  fresh.from.verified = fresh.kind == content_kind::kv || (before && !differs);
  if (differs) {
    ++report_.refuted;
    if (!author.empty() && !author.mapped().author.empty() &&
        std::find(refuted_.begin(), refuted_.end(), author.mapped().author) == refuted_.end()) {
      refuted_.push_back(author.mapped().author);
    }
  }
}

cache_tiers::bytes_pointer cache_tiers::serve(const digest& place) {
  bytes_pointer bytes = memory_.find(place);
  if (const auto waiting = unwritten_.find(place); !bytes && waiting != unwritten_.end()) {
    bytes = waiting->second;
  }
  if (!bytes && disk_counts() && !doubted_.contains(place)) {
    storage::lookup_answer answer = reader_->find_at(place);
    if (answer.outcome == lookup_outcome::hit && answer.kind == content_kind::kv) {
      bytes = std::make_shared<const std::vector<std::byte>>(std::exchange(answer.bytes, {}));
      note(std::move(answer));
    } else if (answer.outcome == lookup_outcome::damaged && answer.kind == content_kind::kv) {
      ++report_.damaged;
      doubted_.insert(place);
      note(std::move(answer));
    }
  }
  // Only what is a block: answers are looked up under names of another kind, but under names all
  // the same.
  if (!bytes || bytes->size() > limits::kv_block_bytes_max || !compute::kv_block::decode(bytes)) {
    places_.forget(place);
    return nullptr;
  }
  ++report_.served;
  return signed_here(place, bytes);
}

/// Kept in memory as it was signed, so that who asks again costs no signature.
cache_tiers::bytes_pointer cache_tiers::signed_here(const digest& place,
                                                    const bytes_pointer& bytes) {
  if (key_ == nullptr || !compute::author_of_kv_block(*bytes).empty()) {
    return bytes; // of another, who stays its author
  }
  std::vector<std::byte> block = *bytes;
  compute::sign_kv_block(block, *key_);
  auto made = std::make_shared<const std::vector<std::byte>>(std::move(block));
  memory_.add(place, made);
  return made;
}

node_id cache_tiers::author_of(const digest& place) {
  if (const auto known = claimed_.find(place); known != claimed_.end()) {
    return known->second.author;
  }
  if (disk_counts()) {
    if (const auto kept = reader_->describe_by_key({}, place)) {
      return kept->from.author;
    }
  }
  const bytes_pointer bytes = memory_.find(place);
  const auto block = bytes ? compute::kv_block::decode(bytes) : result<compute::kv_block>{error{}};
  return block && !(key_ != nullptr && block->author() == key_->id()) ? block->author() : node_id{};
}

void cache_tiers::claim_kept() {
  if (!store_) {
    return;
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
    return; // nothing is claimed of what an earlier life kept
  }
  std::sort(kept.begin(), kept.end());
  for (const auto& [last_use, place] : kept) {
    places_.touch(place);
  }
}

std::optional<std::vector<digest>> cache_tiers::take_places() {
  return places_.changed() ? std::optional{places_.look()} : std::nullopt;
}

std::vector<node_id> cache_tiers::take_refuted() { return std::exchange(refuted_, {}); }

} // namespace ovir::actors
