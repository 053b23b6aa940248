#include "actors/reuse/claim_book.hpp"

#include "messages/limits/blocks.hpp"

#include <algorithm>
#include <utility>

namespace ovir::actors {

using storage::content_kind;

bool claim_book::is_claim(content_kind kind, const storage::provenance& from) const {
  return !from.verified &&
         (!from.author.empty() || (kind == content_kind::results && answers_are_claims_));
}

bool claim_book::full() const noexcept { return claimed_.size() >= limits::claims_kept_max; }

void claim_book::add_fetched(const digest& place, const node_id& author) {
  claimed_[place] = {author, 0};
  fresh_.insert(place);
}

void claim_book::add_answer(const digest& place) {
  if (!full()) {
    claimed_.try_emplace(place);
  }
}

bool claim_book::use(const digest& place, content_kind kind,
                     const storage::lookup_answer* on_disk) {
  if (on_disk != nullptr && is_claim(kind, on_disk->about.from) && !claimed_.contains(place)) {
    if (full()) {
      return true; // nothing that is not counted is believed
    }
    claimed_[place] = {on_disk->about.from.author, on_disk->about.uses};
  }
  const auto known = claimed_.find(place);
  if (known == claimed_.end() || ++known->second.uses <= limits::claimed_uses_max) {
    return false;
  }
  spent_.insert(place);
  return true;
}

void claim_book::spend(const digest& place) {
  if (claimed_.contains(place)) {
    spent_.insert(place);
  }
}

bool claim_book::take_spent(const digest& place, node_id& author) {
  if (spent_.erase(place) == 0) {
    return false;
  }
  const auto taken = claimed_.extract(place);
  author = taken.empty() ? node_id{} : taken.mapped().author;
  return true;
}

void claim_book::refute(const node_id& author) {
  if (!author.empty() && std::find(refuted_.begin(), refuted_.end(), author) == refuted_.end()) {
    refuted_.push_back(author);
  }
}

const node_id* claim_book::author_of(const digest& place) const {
  const auto known = claimed_.find(place);
  return known == claimed_.end() ? nullptr : &known->second.author;
}

void claim_book::clear() {
  claimed_.clear();
  spent_.clear();
  fresh_.clear();
}

std::vector<node_id> claim_book::take_refuted() { return std::exchange(refuted_, {}); }

} // namespace ovir::actors
