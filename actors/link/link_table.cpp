#include "actors/link/link_table.hpp"

#include "messages/limits/general.hpp"
#include "messages/mutant.hpp"

#include <algorithm>
#include <utility>

namespace ovir::actors {

namespace {

/// After so many ticks the other side knows of every line that we know.
constexpr std::uint32_t ticks_until_known = 2;
/// After so many, it would have closed its own if it knew ours.
constexpr std::uint32_t patient_ticks = 6;

link_effect close(const node_id& node, connection_id connection, std::string reason) {
  return {link_effect::action::close, node, connection, {}, std::move(reason)};
}

} // namespace

bool link_table::wants(const std::string& address, const node_id& expected) const {
  if (!expected.empty() && nodes_.contains(expected)) {
    return false;
  }
  return std::none_of(dials_.begin(), dials_.end(), [&](const auto& d) {
    return d.second.address == address || (!expected.empty() && d.second.expected == expected);
  });
}

void link_table::dialled(connection_id control, const std::string& address,
                         const node_id& expected) {
  dials_[control] = {address, expected};
}

link_table::effects link_table::data_dialled(const node_id& node, connection_id control,
                                             connection_id data) {
  if (const auto found = nodes_.find(node); found != nodes_.end()) {
    for (line& l : found->second.lines) {
      if (l.control == control) {
        l.data = data;
        return {};
      }
    }
  }
  return {close(node, data, "the control channel of the link is gone")};
}

link_table::effects link_table::connected(const peer_info& peer) {
  effects out;
  std::string address;
  if (const auto d = dials_.extract(peer.connection)) {
    address = d.mapped().address;
    if (d.mapped().expected.empty()) {
      found_[address] = peer.node;
    }
  }
  if (is_stale(peer)) {
    return {close(peer.node, peer.connection, "the link was lost meanwhile")};
  }
  drop_lost(peer, nodes_[peer.node], out);
  if (peer.kind == channel::data) {
    add_data(peer, out);
  } else {
    add_control(peer, address, out);
  }
  settle(peer.node, "the link was made anew", out);
  return out;
}

void link_table::add_control(const peer_info& peer, const std::string& address, effects& out) {
  entry& e = nodes_[peer.node];
  if (!peer.incoming) {
    // Dialled under two addresses. One that is complete carries something already.
    const auto mine =
        std::find_if(e.lines.begin(), e.lines.end(), [](const line& l) { return l.ours; });
    if (mine != e.lines.end()) {
      if (mine->complete) {
        out.push_back(close(peer.node, peer.connection, "there is a link already"));
        return;
      }
      out.push_back(close(peer.node, mine->control, "a newer link took its place"));
      if (mine->data) {
        out.push_back(close(peer.node, *mine->data, "a newer link took its place"));
      }
      e.lines.erase(mine);
    }
    e.lines.push_back({peer.connection, true});
    out.push_back({link_effect::action::dial_data, peer.node, peer.connection, address, {}});
    return;
  }
  if (e.lines.size() >= limits::link_lines_max) {
    out.push_back(close(peer.node, peer.connection, "there are links enough between us"));
    return;
  }
  e.lines.push_back({peer.connection, false});
  if (const auto early = std::exchange(e.early_data, {})) {
    e.lines.back().data = early;
    e.lines.back().complete = true;
  }
}

void link_table::add_data(const peer_info& peer, effects& out) {
  entry& e = nodes_[peer.node];
  for (auto l = e.lines.rbegin(); l != e.lines.rend(); ++l) {
    if (peer.incoming ? !l->ours && !l->data : l->data == peer.connection) {
      l->data = peer.connection;
      l->complete = !OVIR_MUTANT("link_forgets_its_data") || l->ours;
      return;
    }
  }
  if (!peer.incoming) {
    out.push_back(close(peer.node, peer.connection, "the control channel of the link is gone"));
    return;
  }
  if (const auto older = std::exchange(e.early_data, peer.connection)) {
    out.push_back(close(peer.node, *older, "a newer link took its place"));
  }
}

link_table::effects link_table::closed(const peer_info& peer, const std::string& reason) {
  effects out;
  if (!OVIR_MUTANT("link_dials_once")) {
    dials_.erase(peer.connection);
  }
  const auto found = nodes_.find(peer.node);
  if (found == nodes_.end()) {
    return out;
  }
  entry& e = found->second;
  if (e.early_data == peer.connection) {
    e.early_data.reset();
  }
  const auto hit = std::find_if(e.lines.begin(), e.lines.end(), [&](const line& l) {
    return l.control == peer.connection || l.data == peer.connection;
  });
  if (hit != e.lines.end()) {
    // Half a line is none: what it would carry must not wait for the other half.
    if (OVIR_MUTANT("link_of_one_half")) {
      hit->complete = hit->control == peer.connection ? false : hit->complete;
      settle(peer.node, reason, out);
      return out;
    }
    if (hit->control != peer.connection) {
      out.push_back(close(peer.node, hit->control, "the other channel of the link is gone"));
    } else if (hit->data) {
      out.push_back(close(peer.node, *hit->data, "the other channel of the link is gone"));
    }
    const bool lost = e.used_control == hit->control;
    e.lines.erase(hit);
    if (lost) {
      lose(peer.node, e, reason, out);
    }
  }
  settle(peer.node, reason, out);
  return out;
}

const link_table::line* link_table::best(const node_id& node, const entry& e) const {
  const bool lower_is_ours = self_ < node;
  const line* found = nullptr;
  for (const line& l : e.lines) {
    if (l.complete &&
        (found == nullptr || l.ours == lower_is_ours || found->ours != lower_is_ours)) {
      found = &l;
    }
  }
  return found;
}

// Brings the link of a node to what its lines allow.
void link_table::settle(const node_id& node, const std::string& reason, effects& out) {
  const auto found = nodes_.find(node);
  if (found == nodes_.end()) {
    return;
  }
  entry& e = found->second;
  const line* const chosen = best(node, e);
  const auto before = e.used_control;
  if (chosen != nullptr && before != chosen->control) {
    const auto old = std::find_if(e.lines.begin(), e.lines.end(),
                                  [&](const line& l) { return l.control == before; });
    // Two that were opened at once are both alive: nothing is lost by changing over. What else was
    // under way on the one before may be.
    if (before && (old == e.lines.end() || old->ours == chosen->ours)) {
      lose(node, e, reason, out);
    } else {
      e.used_control = chosen->control;
      if (!before) {
        out.push_back({link_effect::action::up, node, {}, {}, {}, chosen->ours});
      }
      drop_older(node, e, line{*chosen}, out);
    }
  } else if (chosen == nullptr && before) {
    lose(node, e, reason, out);
  } else if (chosen != nullptr) {
    drop_older(node, e, line{*chosen}, out);
  }
  if (e.lines.empty() && !e.early_data) {
    nodes_.erase(found);
  }
}

// Of two lines of the same side, the older is of no use.
void link_table::drop_older(const node_id& node, entry& e, const line& kept, effects& out) {
  bool passed = false;
  std::erase_if(e.lines, [&](const line& l) {
    passed = passed || l.control == kept.control;
    const bool loses = !passed && l.ours == kept.ours;
    if (loses) {
      close_line(node, l, out);
    }
    return loses;
  });
}

bool link_table::is_stale(const peer_info& peer) const {
  const auto found = nodes_.find(peer.node);
  const bool by_peer = found != nodes_.end() && found->second.life == peer.life &&
                       peer.last_loss < found->second.last_loss;
  return by_peer || peer.told_loss != last_loss(peer.node);
}

void link_table::drop_lost(const peer_info& peer, entry& e, effects& out) {
  const bool again = peer.life != e.life;
  const bool lost = !again && peer.last_loss > e.last_loss;
  e.life = peer.life;
  e.last_loss = peer.last_loss;
  if (!again && !lost) {
    return;
  }
  const auto used = std::find_if(e.lines.begin(), e.lines.end(),
                                 [&](const line& l) { return l.control == e.used_control; });
  if (lost && used != e.lines.end() && used->ours && OVIR_MUTANT("link_changes_over_in_silence")) {
    return;
  }
  const bool told =
      again ? !OVIR_MUTANT("link_outlives_its_peer") : !OVIR_MUTANT("link_renewed_in_silence");
  if (used != e.lines.end() && told) {
    out.push_back({link_effect::action::down,
                   peer.node,
                   {},
                   {},
                   again ? "it was started again" : "it has lost the link"});
  }
  close_all(peer.node, e, out);
}

void link_table::lose(const node_id& node, entry& e, const std::string& reason, effects& out) {
  close_all(node, e, out);
  out.push_back({link_effect::action::down, node, {}, {}, reason});
  losses_[node] = ++last_loss_;
  if (losses_.size() > limits::lost_links_max) {
    auto oldest = losses_.end();
    for (auto l = losses_.begin(); l != losses_.end(); ++l) {
      if (!nodes_.contains(l->first) && (oldest == losses_.end() || l->second < oldest->second)) {
        oldest = l;
      }
    }
    if (oldest != losses_.end()) {
      losses_.erase(oldest);
    }
  }
}

std::uint64_t link_table::last_loss(const node_id& node) const {
  const auto found = losses_.find(node);
  return found == losses_.end() ? 0 : found->second;
}

void link_table::close_all(const node_id& node, entry& e, effects& out) {
  for (const line& l : e.lines) {
    close_line(node, l, out);
  }
  if (const auto early = std::exchange(e.early_data, {})) {
    out.push_back(close(node, *early, "there is another link"));
  }
  e.lines.clear();
  e.used_control.reset();
}

void link_table::close_line(const node_id& node, const line& l, effects& out) {
  out.push_back(close(node, l.control, "there is another link"));
  if (l.data) {
    out.push_back(close(node, *l.data, "there is another link"));
  }
}

link_table::effects link_table::tick() {
  effects out;
  std::vector<node_id> changed;
  for (auto& [node, e] : nodes_) {
    const auto complete = [&lines = e.lines](bool ours) {
      return std::find_if(lines.begin(), lines.end(),
                          [&](const line& l) { return l.ours == ours && l.complete; });
    };
    const auto mine = complete(true);
    if (mine == e.lines.end() || complete(false) == e.lines.end()) {
      e.ticks_beside = 0;
    } else if (++e.ticks_beside >= (self_ < node ? patient_ticks : ticks_until_known)) {
      close_line(node, *mine, out);
      e.lines.erase(mine);
      e.ticks_beside = 0;
      changed.push_back(node);
    }
  }
  for (const node_id& node : changed) {
    settle(node, "the link was made anew", out);
  }
  return out;
}

const link_table::line* link_table::used(const node_id& node) const {
  const auto found = nodes_.find(node);
  if (found == nodes_.end() || !found->second.used_control) {
    return nullptr;
  }
  const entry& e = found->second;
  const auto l = std::find_if(e.lines.begin(), e.lines.end(),
                              [&](const line& one) { return one.control == e.used_control; });
  return l == e.lines.end() ? nullptr : &*l;
}

std::optional<connection_id> link_table::way(const node_id& to, channel kind) const {
  if (const line* const l = used(to)) {
    return kind == channel::data ? l->data : std::optional{l->control};
  }
  const auto found = nodes_.find(to);
  if (kind == channel::control && found != nodes_.end()) {
    const auto& lines = found->second.lines;
    const auto theirs =
        std::find_if(lines.rbegin(), lines.rend(), [](const line& l) { return !l.ours; });
    return theirs == lines.rend() ? std::nullopt : std::optional{theirs->control};
  }
  return std::nullopt;
}

bool link_table::linked(const node_id& node) const { return used(node) != nullptr; }

bool link_table::ours(const node_id& node) const {
  const line* const l = used(node);
  return l != nullptr && l->ours;
}

std::vector<node_id> link_table::linked() const {
  std::vector<node_id> all;
  for (const auto& [node, e] : nodes_) {
    if (e.used_control) {
      all.push_back(node);
    }
  }
  return all;
}

bool link_table::reached(const std::string& address) const {
  const auto found = found_.find(address);
  return found != found_.end() && nodes_.contains(found->second);
}

std::vector<connection_id> link_table::connections(const node_id& node) const {
  std::vector<connection_id> all;
  if (const auto found = nodes_.find(node); found != nodes_.end()) {
    for (const line& l : found->second.lines) {
      all.push_back(l.control);
      if (l.data) {
        all.push_back(*l.data);
      }
    }
    if (found->second.early_data) {
      all.push_back(*found->second.early_data);
    }
  }
  return all;
}

} // namespace ovir::actors
