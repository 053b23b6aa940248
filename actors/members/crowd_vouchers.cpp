#include "actors/members/crowd_vouchers.hpp"

#include "actors/members/member_crowd.hpp"
#include "actors/members/member_latest.hpp"
#include "messages/mutant.hpp"

#include <algorithm>
#include <utility>

namespace ovir::actors {

namespace {

/// Whether there are enough then. Strangers count beside one that has leave, which takes the place
/// of one of them; strangers alone make no member.
bool add_voucher(const member_table& m, std::vector<node_id>& vouchers, const node_id& by) {
  const auto trusted = [&m](const node_id& one) { return !m.is_stranger(one); };
  const bool known = std::find(vouchers.begin(), vouchers.end(), by) != vouchers.end();
  if (!known && vouchers.size() < limits::vouchers_min && !m.speaks_for(vouchers, by)) {
    vouchers.push_back(by);
  } else if (!known && trusted(by) && std::none_of(vouchers.begin(), vouchers.end(), trusted)) {
    vouchers.back() = by;
  }
  return vouchers.size() >= (OVIR_MUTANT("crowd_takes_one_word") ? 1 : limits::vouchers_min) &&
         std::any_of(vouchers.begin(), vouchers.end(), trusted);
}

} // namespace

void hear_counted(member_table& m, const known_node& line, const node_id& from, membership_time now,
                  membership_effects& out) {
  if (!m.crowded() || !line.counted || line.node == m.self.node || line.node == from) {
    return;
  }
  member_entry* const e = m.look_up(line.node);
  const bool known = e != nullptr && line.incarnation <= e->reached();
  if (known &&
      (e->where != member_standing::heard_of || line.incarnation != e->newest->incarnation)) {
    return;
  }
  const member_entry* const by = m.look_up(from);
  if (by == nullptr || !m.counts(by->where) || !m.linked(from)) {
    return;
  }
  if (known) {
    if (add_voucher(m, m.words(*e).vouchers, from)) {
      const bool accused = m.lists() && had_case(m, line.node, line.incarnation);
      m.found_alive(*e, now, out);
      if (accused) { // its accusers came before its vouchers, and do not come again
        look_at(m, *e, now, out);
      }
    }
    return;
  }
  gossip_link& l = m.links.at(from);
  if (!m.crowd.claims.contains(line.node) &&
      (m.crowd.claims.size() >= limits::claims_max || l.claims >= limits::peer_claims_max)) {
    return;
  }
  ++l.claims;
  early_claim& claim = m.crowd.claims[line.node];
  if (claim.incarnation < line.incarnation) {
    claim = {line.incarnation, {}};
  }
  if (claim.incarnation == line.incarnation) {
    (void)add_voucher(m, claim.vouchers, from);
  }
}

void take_claims(member_table& m, member_entry& e, membership_time now, membership_effects& out) {
  const auto claim = m.crowd.claims.find(e.shown.node);
  if (claim == m.crowd.claims.end() || e.where != member_standing::heard_of ||
      claim->second.incarnation != e.newest->incarnation) {
    return;
  }
  const auto vouchers = std::move(claim->second.vouchers);
  m.crowd.claims.erase(claim);
  for (const node_id& by : vouchers) {
    hear_counted(m, {e.shown.node, e.newest->incarnation, true}, by, now, out);
  }
}

} // namespace ovir::actors
