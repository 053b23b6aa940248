#include "actors/reuse/cache_tiers.hpp"

#include "actors/reuse/unit_header.hpp"
#include "compute/forward/prefix.hpp"
#include "messages/check.hpp"
#include "messages/limits/blocks.hpp"
#include "messages/limits/cache.hpp"

#include <algorithm>
#include <utility>

namespace ovir::actors {

namespace {

using storage::content_kind;
using storage::content_owner;
using storage::lookup_outcome;

content_owner owner_of(const digest& salt) { return content_owner{salt}; }

} // namespace

cache_tiers::cache_tiers(std::size_t memory_bytes_max,
                         std::unique_ptr<storage::content_store> store, storage::env& environment,
                         bool answers_are_claims)
    : memory_(memory_bytes_max), claims_(answers_are_claims), back_(std::move(store), environment) {
  if (const storage::content_store* const kept = back_.store()) {
    reader_ = kept->reader();
    report_.disk_bytes = kept->bytes_on_disk();
  }
}

void cache_tiers::note(storage::lookup_answer answer) {
  if (notes_.size() < limits::store_notes_max) {
    answer.bytes.clear();
    notes_.push_back(std::move(answer));
  }
}

std::optional<cache_tiers::found>
cache_tiers::look_up(content_kind kind, const content_owner& owner, const digest& key) {
  const digest place = storage::lookup_key(owner, key);
  if (bytes_pointer bytes = memory_.find(place)) {
    return found{std::move(bytes), std::nullopt};
  }
  if (const auto waiting = unwritten_.find(place); waiting != unwritten_.end()) {
    return found{waiting->second, std::nullopt};
  }
  if (!disk_counts() || doubted_.contains(place)) {
    return std::nullopt;
  }
  storage::lookup_answer answer = reader_->find_by_key(owner, key);
  const bool of_kind = !answer.kind || *answer.kind == kind;
  answer.kind = answer.kind.value_or(kind);
  if (answer.outcome == lookup_outcome::damaged) {
    ++report_.damaged;
    doubted_.insert(place);
    note(std::move(answer));
    return std::nullopt;
  }
  if (answer.outcome != lookup_outcome::hit || !of_kind) {
    note(std::move(answer));
    return std::nullopt;
  }
  auto bytes = std::make_shared<const std::vector<std::byte>>(std::exchange(answer.bytes, {}));
  memory_.add(place, bytes);
  return found{std::move(bytes), std::move(answer)};
}

void cache_tiers::distrust(const digest& place, const found& what) {
  ++report_.damaged;
  memory_.remove(place);
  unwritten_.erase(place);
  claims_.forget(place);
  places_.forget(place);
  if (reader_) {
    doubted_.insert(place);
  }
  if (what.on_disk) {
    storage::lookup_answer answer = *what.on_disk;
    answer.outcome = lookup_outcome::damaged;
    note(std::move(answer));
  }
}

// All layers of a window, or nothing of it.
bool cache_tiers::find_window(const find_units& wanted, std::uint32_t window, units_found& out) {
  const unit_scope& scope = wanted.scope;
  const content_owner owner{}; // whose they are is in their names
  std::vector<compute::kv_block> blocks;
  units_reused from;
  for (layer_index layer = scope.layers.first; layer < scope.layers.last; ++layer) {
    const digest& name = (*wanted.prefixes)[window];
    const digest place = compute::unit_key(scope.model, layer, name);
    const auto hit = look_up(content_kind::kv, owner, place);
    if (!hit) {
      ++report_.missed;
      out.end = doubted_.contains(place) ? reuse_end::damaged : reuse_end::missing;
      return false;
    }
    auto block = compute::kv_block::decode(hit->bytes);
    const bool right = block && block->header().key == place && block->header().layer == layer &&
                       block->header().window == window && block->header().shape == scope.shape &&
                       block->is_sealed(name);
    const bool stated =
        right && block->header().model == scope.model &&
        (layer + 1 < scope.model_layers || block->header().output == block->header().kv);
    if (!stated) {
      distrust(place, *hit);
      out.end = reuse_end::damaged;
      return false;
    }
    if (claims_.use(place, content_kind::kv, hit->disk_answer())) {
      out.end = reuse_end::rechecked;
      spend_rest(wanted, window);
      return false;
    }
    blocks.push_back(std::move(*block));
    places_.touch(place);
    (claims_.take_fresh(place) ? from.peer : hit->on_disk ? from.disk : from.memory) += 1;
    if (hit->on_disk) {
      learn_cost(scope.model, hit->on_disk->about.cost_us);
      note(*hit->on_disk);
    }
  }
  report_.saved_us += unit_cost_us(scope.model) * blocks.size();
  std::move(blocks.begin(), blocks.end(), std::back_inserter(out.blocks));
  out.from.memory += from.memory;
  out.from.disk += from.disk;
  out.from.peer += from.peer;
  report_.from_memory += from.memory;
  report_.from_disk += from.disk;
  report_.from_peer += from.peer;
  return true;
}

units_found cache_tiers::find(const find_units& wanted) {
  units_found out;
  out.first = wanted.first;
  OVIR_CHECK(wanted.prefixes && wanted.last <= wanted.prefixes->size() &&
                 wanted.scope.layers.size() > 0,
             wanted.last);
  const std::size_t window_bytes =
      wanted.scope.layers.size() * compute::kv_block_bytes(wanted.scope.shape);
  std::size_t bytes = 0;
  for (std::uint32_t window = wanted.first; window < wanted.last; ++window) {
    if (bytes > 0 && bytes + window_bytes > limits::cache_lookup_bytes_max) {
      out.more = true;
      break;
    }
    if (!find_window(wanted, window, out)) {
      break;
    }
    bytes += window_bytes;
  }
  return out;
}

bool cache_tiers::holds(const content_owner& owner, const digest& key) const {
  const digest place = storage::lookup_key(owner, key);
  return memory_.contains(place) || unwritten_.contains(place) ||
         (disk_counts() && !doubted_.contains(place) && reader_->describe_by_key(owner, key));
}

void cache_tiers::learn_cost(const digest& model, std::uint64_t cost_us) {
  if (cost_us == 0 ||
      (!unit_costs_.contains(model) && unit_costs_.size() >= limits::unit_costs_max)) {
    return;
  }
  std::uint64_t& known = unit_costs_[model];
  known = known == 0 ? cost_us : (7 * known + cost_us) / 8;
}

std::uint64_t cache_tiers::unit_cost_us(const digest& model) const {
  const auto known = unit_costs_.find(model);
  return known == unit_costs_.end() ? 0 : known->second;
}

void cache_tiers::put(write entry) {
  memory_.add(entry.place, entry.bytes);
  if (entry.kind == content_kind::kv) {
    places_.touch(entry.place);
  }
  if (!reader_) {
    ++report_.kept;
    return;
  }
  if (queue_bytes_ + entry.bytes->size() > limits::cache_write_queue_bytes_max) {
    ++report_.not_kept;
    return;
  }
  queue_bytes_ += entry.bytes->size();
  unwritten_.insert_or_assign(entry.place, entry.bytes);
  queue_.push_back(std::move(entry));
}

void cache_tiers::keep(const keep_units& units) {
  const unit_scope& scope = units.scope;
  learn_cost(scope.model, units.cost_us);
  if (is_tainted(units.era)) {
    return;
  }
  for (std::uint32_t i = 0; i < units.prefixes->size(); ++i) {
    for (layer_index layer = scope.layers.first; layer < scope.layers.last; ++layer) {
      const digest& window = (*units.prefixes)[i];
      const digest place = compute::unit_key(scope.model, layer, window);
      if (holds({}, place) && !claims_.is_spent(place)) {
        continue;
      }
      const auto header = header_of(units, units.first + i, layer);
      if (!header) { // the stage computed it before it kept units
        ++report_.not_kept;
        continue;
      }
      auto block = compute::encode_kv_block(*units.kv, *header);
      compute::seal_kv_block(block, window);
      write fresh{content_kind::kv,
                  {},
                  place,
                  place,
                  std::make_shared<const std::vector<std::byte>>(std::move(block)),
                  units.cost_us};
      recheck(place, fresh);
      put(std::move(fresh));
    }
  }
}

void cache_tiers::refuse(const find_units& which) {
  const unit_scope& scope = which.scope;
  for (std::uint32_t window = which.first; window < which.last; ++window) {
    for (layer_index layer = scope.layers.first; layer < scope.layers.last; ++layer) {
      const digest place = compute::unit_key(scope.model, layer, (*which.prefixes)[window]);
      memory_.remove(place); // so that the disk is asked
      unwritten_.erase(place);
      std::erase_if(queue_, [&](const write& w) {
        queue_bytes_ -= w.place == place ? w.bytes->size() : 0;
        return w.place == place;
      });
      const auto on_disk = look_up(content_kind::kv, {}, place);
      distrust(place, on_disk ? *on_disk : found{});
    }
  }
}

std::optional<answer_record> cache_tiers::answer_at(const content_owner& owner, const digest& key,
                                                    request_entered& out) {
  const auto hit = look_up(content_kind::results, owner, key);
  if (!hit) {
    return std::nullopt;
  }
  const digest place = storage::lookup_key(owner, key);
  auto record = answer_from(*hit->bytes);
  if (!record || record->key != key) {
    distrust(place, *hit);
    return std::nullopt;
  }
  if (claims_.use(place, content_kind::results, hit->disk_answer())) {
    return std::nullopt;
  }
  out.from_disk = hit->on_disk.has_value();
  if (hit->on_disk) {
    note(*hit->on_disk);
  }
  return std::move(*record);
}

request_entered cache_tiers::find_answer(const enter_request& wanted) {
  request_entered out;
  const content_owner owner = owner_of(wanted.salt);
  if (wanted.finished_key) {
    out.finished = answer_at(owner, *wanted.finished_key, out);
    if (out.finished && !out.finished->finished) {
      out.finished.reset();
    }
  }
  if (out.finished) {
    ++report_.answers;
  }
  const bool again =
      wanted.finished_key && claims_.is_spent(storage::lookup_key(owner, *wanted.finished_key));
  if (out.finished || again || !wanted.request_name) {
    return out;
  }
  for (std::uint32_t window = 0; out.drawn.size() < limits::answer_draws_max; ++window) {
    const auto record = answer_at(owner, draws_key(*wanted.request_name, window), out);
    if (!record || record->finished) {
      break;
    }
    out.drawn.insert(out.drawn.end(), record->drawn.begin(), record->drawn.end());
  }
  return out;
}

void cache_tiers::keep(const keep_answer& answer) {
  if (is_tainted(answer.era)) {
    return;
  }
  const content_owner owner = owner_of(answer.salt);
  const digest place = storage::lookup_key(owner, answer.record.key);
  if (holds(owner, answer.record.key) && !claims_.is_spent(place)) {
    return;
  }
  auto bytes = std::make_shared<const std::vector<std::byte>>(to_bytes(answer.record));
  if (bytes->size() > limits::answer_bytes_max) {
    ++report_.not_kept;
    return;
  }
  write fresh{content_kind::results, owner,         answer.record.key, place,
              std::move(bytes),      answer.cost_us};
  recheck(place, fresh);
  if (claims_.is_claim(fresh.kind, fresh.from)) {
    claims_.add_answer(place);
  }
  put(std::move(fresh));
}

std::optional<cache_tiers::batch> cache_tiers::take_batch() {
  if (!reader_ || (queue_.empty() && notes_.empty() && !quarantines_ && !inputs_.waiting())) {
    return std::nullopt;
  }
  batch out;
  inputs_.take_batch(out.writes);
  out.quarantine = quarantine_taken_ = quarantines_;
  std::size_t bytes = 0;
  while (!queue_.empty() && out.writes.size() < limits::store_changes_max &&
         bytes <= limits::cache_batch_bytes_max) {
    bytes += queue_.front().bytes->size();
    out.writes.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  queue_bytes_ -= bytes;
  out.notes = std::exchange(notes_, {});
  dropped_.insert(doubted_.begin(), doubted_.end());
  return out;
}

std::vector<std::string> cache_tiers::take(committed done) {
  for (const digest& place : done.places) {
    unwritten_.erase(place);
  }
  for (const digest& place : std::exchange(dropped_, {})) {
    doubted_.erase(place);
  }
  inputs_.take(done);
  report_.kept += done.kept;
  report_.not_kept += done.not_kept;
  report_.quarantined += done.quarantined;
  end_quarantine(done.quarantine);
  report_.disk_bytes = done.disk_bytes;
  reader_ = std::move(done.reader);
  if (!reader_) { // memory alone from here on
    queue_.clear();
    queue_bytes_ = 0;
    unwritten_.clear();
    inputs_.lose_disk();
    notes_.clear();
    doubted_.clear();
  }
  return std::move(done.warnings);
}

const cache_report& cache_tiers::report() {
  report_.memory_bytes = memory_.bytes();
  report_.unwritten = unwritten_.size() + inputs_.unwritten();
  report_.memory_entries = memory_.entries();
  report_.memory_evicted = memory_.evicted();
  report_.inputs_kept = inputs_.kept();
  report_.inputs_not_kept = inputs_.not_kept();
  report_.inputs_bytes = inputs_.bytes();
  return report_;
}

// For other nodes, and from them

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
      if (claims_.is_spent(place)) {
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
    if (holds({}, place) || claims_.full()) {
      continue;
    }
    claims_.add_fetched(place, block.author);
    put({content_kind::kv,
         {},
         place,
         place,
         std::move(block.bytes),
         unit_cost_us(scope.model),
         {block.author, {}, false}});
  }
}

/// Who computes a window computes those behind it as well: all that is only claimed of them is seen
/// then.
void cache_tiers::spend_rest(const find_units& wanted, std::uint32_t window) {
  const unit_scope& scope = wanted.scope;
  for (; window < wanted.last; ++window) {
    for (layer_index layer = scope.layers.first; layer < scope.layers.last; ++layer) {
      claims_.spend(compute::unit_key(scope.model, layer, (*wanted.prefixes)[window]));
    }
  }
}

/// Compares an entry that was used often enough with what was computed again. Where two answers
/// differ, it is not known which is right: the later one takes the place, as a claim.
void cache_tiers::recheck(const digest& place, write& fresh) {
  node_id author;
  if (!claims_.take_spent(place, author)) {
    return;
  }
  ++report_.rechecked;
  const auto before = look_up(fresh.kind, fresh.owner, fresh.key);
  const bool same = before && (fresh.kind == content_kind::kv
                                   ? compute::same_kv_block(*before->bytes, *fresh.bytes)
                                   : *before->bytes == *fresh.bytes);
  const bool differs = before && !same;
  fresh.from.verified = fresh.kind == content_kind::kv || (before && !differs);
  if (differs) {
    ++report_.refuted;
    claims_.refute(author);
  }
}

std::optional<cache_tiers::placed> cache_tiers::read_at(const digest& place) {
  if (!reader_ || doubted_.contains(place)) {
    return std::nullopt;
  }
  storage::lookup_answer answer = reader_->find_at(place);
  // A quarantine is about blocks, not about inputs.
  const bool counts = answer.kind && (is_input(*answer.kind) ||
                                      (*answer.kind == content_kind::kv && disk_counts()));
  if (!counts || answer.outcome == lookup_outcome::miss) {
    return std::nullopt;
  }
  std::optional<placed> out;
  if (answer.outcome == lookup_outcome::hit) {
    out = {*answer.kind,
           std::make_shared<const std::vector<std::byte>>(std::exchange(answer.bytes, {}))};
  } else {
    ++report_.damaged;
    doubted_.insert(place);
  }
  note(std::move(answer));
  return out;
}

cache_tiers::bytes_pointer cache_tiers::serve(const digest& place) {
  placed what{content_kind::kv, memory_.find(place)};
  if (const auto waiting = unwritten_.find(place); !what.bytes && waiting != unwritten_.end()) {
    what.bytes = waiting->second;
  }
  if (!what.bytes) {
    what = {content_kind::inputs, inputs_.find(place)};
  }
  if (!what.bytes) {
    what = read_at(place).value_or(placed{});
  }
  // Only what is an input or a block: answers are looked up under names of another kind, but under
  // names all the same.
  const bool fits = what.bytes && what.bytes->size() <= limits::kv_block_bytes_max;
  if (fits && is_input(what.kind)) {
    ++report_.inputs_served;
    return what.bytes;
  }
  if (!fits || !compute::kv_block::decode(what.bytes)) {
    places_.forget(place);
    return nullptr;
  }
  ++report_.served;
  return signed_here(place, what.bytes);
}

cache_tiers::bytes_pointer cache_tiers::serve_input(const digest& name) {
  bytes_pointer found = input_at(name);
  report_.inputs_served += found ? 1 : 0;
  return found;
}

cache_tiers::bytes_pointer cache_tiers::input_at(const digest& name) {
  if (bytes_pointer bytes = inputs_.find(name)) {
    return bytes;
  }
  const auto on_disk = read_at(name);
  return on_disk && is_input(on_disk->kind) ? on_disk->bytes : nullptr;
}

void cache_tiers::keep(const keep_inputs& inputs) {
  inputs_.keep(inputs, reader_.has_value(), [this](const digest& name) {
    return reader_ && !doubted_.contains(name) && reader_->describe_by_key({}, name);
  });
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
  if (const node_id* const author = claims_.author_of(place)) {
    return *author;
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
  for (const digest& place : back_.places_of_blocks()) {
    places_.touch(place);
  }
}

std::optional<std::vector<digest>> cache_tiers::take_places() {
  return places_.changed() ? std::optional{places_.look()} : std::nullopt;
}

// After a conviction (docs/adr/0012-reuse.md)

std::uint64_t cache_tiers::quarantine(std::function<void()> done) {
  // Of a store, what it holds is counted when it is removed.
  report_.quarantined += reader_ ? queue_.size() : memory_.entries();
  memory_.clear();
  queue_.clear();
  queue_bytes_ = 0;
  unwritten_.clear(); // a batch under way is on the disk when that is emptied
  claims_.clear();
  places_.clear();
  ++era_;
  if (!reader_) {
    done();
    return era_;
  }
  quarantines_ = true;
  quarantine_taken_ = false; // one that is under way began before this
  quarantine_done_.push_back(std::move(done));
  return era_;
}

bool cache_tiers::is_tainted(std::uint64_t era) {
  report_.tainted += era == era_ ? 0 : 1;
  return era != era_;
}

void cache_tiers::end_quarantine(bool removed) {
  if (!std::exchange(quarantine_taken_, false) || !removed) {
    return;
  }
  quarantines_ = false;
  for (const std::function<void()>& done : std::exchange(quarantine_done_, {})) {
    done();
  }
}

} // namespace ovir::actors
