#include "ledger/rules/voucher_book.hpp"

#include <algorithm>

namespace ovir::ledger {

namespace {

template <class Owner>
std::vector<digest> names_of_owner(const std::set<std::pair<Owner, digest>>& in,
                                   const Owner& owner) {
  std::vector<digest> names;
  for (auto at = in.lower_bound({owner, digest{}}); at != in.end() && at->first == owner; ++at) {
    names.push_back(at->second);
  }
  return names;
}

} // namespace

bool voucher_record::may_reserve(const node_id& scheduler) const {
  return std::binary_search(schedulers.begin(), schedulers.end(), scheduler);
}

voucher_record* voucher_book::find(const digest& name) {
  const auto found = all_.find(name);
  return found == all_.end() ? nullptr : &found->second;
}

const voucher_record* voucher_book::find(const digest& name) const {
  const auto found = all_.find(name);
  return found == all_.end() ? nullptr : &found->second;
}

std::vector<digest> voucher_book::of_account(const node_id& account) const {
  return names_of_owner(of_, account);
}

std::vector<digest> voucher_book::for_key(const digest& key) const {
  return names_of_owner(for_, key);
}

void voucher_book::put(const digest& name, voucher_record v) {
  erase(name);
  of_.emplace(v.account, name);
  for_.emplace(v.key, name);
  all_.emplace(name, std::move(v));
}

void voucher_book::erase(const digest& name) {
  const auto found = all_.find(name);
  if (found != all_.end()) {
    of_.erase({found->second.account, name});
    for_.erase({found->second.key, name});
    all_.erase(found);
  }
}

} // namespace ovir::ledger
