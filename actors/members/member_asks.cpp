#include "actors/members/member_asks.hpp"

#include "actors/members/member_latest.hpp"

#include <algorithm>
#include <utility>

namespace ovir::actors {

void vouch_for_heard(member_table& m, const summary& theirs, const node_id& to,
                     membership_effects& out) {
  if (!m.lists()) {
    return;
  }
  latest_answer answer{m.random(), {}, {}, {}};
  for (const known_node& line : theirs.nodes) {
    const member_entry* const e = line.counted ? nullptr : m.look_up(line.node);
    if (e != nullptr && e->where == member_standing::alive &&
        e->newest->incarnation == line.incarnation &&
        answer.counted.size() < limits::latest_marks_max) {
      answer.counted.push_back(latest_mark(answer.salt, line.node, line.incarnation));
    }
  }
  if (!answer.counted.empty()) {
    m.send(to, std::move(answer), out);
  }
}

void ask_for_lines(member_table& m, const summary& theirs, const node_id& from,
                   membership_effects& out) {
  latest_answer answer{m.random(), {}, {}, {}};
  for (const known_node& line : theirs.nodes) {
    const member_entry* const e = m.look_up(line.node);
    if (line.counted && line.node != m.self.node &&
        (e == nullptr ? m.allowed(line.node).has_value() : line.incarnation > e->reached())) {
      if (answer.wanted.size() < limits::latest_answer_max) {
        answer.wanted.push_back(latest_mark(answer.salt, line.node, line.incarnation));
      }
    }
  }
  if (!answer.wanted.empty()) {
    m.send(from, std::move(answer), out);
  }
}

bool ask_for_vouchers(member_table& m, const node_id& to, membership_effects& out) {
  latest list{m.random(), {}};
  for (const node_id& node : m.told.unreached) {
    const member_entry& e = *m.look_up(node);
    const auto known = [&](const heard_words& w) {
      return std::find(w.vouchers.begin(), w.vouchers.end(), to) != w.vouchers.end();
    };
    if (list.marks.size() < limits::latest_marks_max && (e.words == nullptr || !known(*e.words))) {
      list.marks.push_back(latest_mark(list.salt, node, e.newest->incarnation));
    }
  }
  if (list.marks.empty()) {
    return false;
  }
  m.send(to, std::move(list), out);
  return true;
}

} // namespace ovir::actors
