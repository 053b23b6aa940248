#include "actors/audit/shown_parts_actor.hpp"

#include "actors/audit/conviction_news_actor.hpp"
#include "actors/audit/verifier_parts_actor.hpp"
#include "actors/group/part_shelf.hpp"
#include "messages/limits/parts.hpp"

#include <algorithm>
#include <utility>

namespace ovir::actors {

namespace {

bool is_about(const conviction& draft, const conviction& c) {
  return draft.kind == conviction_kind::replay && draft.place == c.place && !c.receipts.empty() &&
         draft.receipts.front() == c.receipts.front();
}

/// The first of the statements, one for each content, under which another operator's member was
/// wrong.
std::optional<std::pair<part_shelf::statement, compute::part_author>>
first_author(verifier_pointer self, std::span<const part_shelf::statement> kept,
             compute::parts_examiner& examiner) {
  const operator_of operators = operators_of(self);
  const std::string own = operators(self->state.environment.key->id());
  std::vector<const compute::part_run*> right;
  for (const part_shelf::statement& s : kept) {
    const bool known = std::ranges::any_of(right, [&](const auto* run) { return *run == s->run; });
    const auto found = known ? compute::examined_parts{} : examiner.examine(*s);
    if (!found || found->what == compute::parts_finding::other_inputs) {
      continue;
    }
    if (found->author && operators(found->author->node) != own) {
      return std::pair{s, *found->author};
    }
    right.push_back(&s->run);
  }
  return std::nullopt;
}

} // namespace

bool show_parts(verifier_pointer self, const verifier_state::accusation& a, const receipt& r,
                const known_inputs& inputs) {
  const auto& around = self->state.environment;
  const auto at = compute::window_of(r, a.what.what.place);
  if (around.parts == nullptr || !at || !a.what.what.place.of_layer() ||
      a.what.what.kind != conviction_kind::replay) {
    return false;
  }
  const auto kept =
      around.parts->find(r.asked.model, r.stages[at->stage].signer.layers, at->window);
  if (kept.empty()) {
    return false;
  }
  std::optional<std::pair<part_shelf::statement, compute::part_author>> found;
  const auto looked = examine_window(self, r, *at, inputs, [&](compute::parts_examiner& examiner) {
    found = first_author(self, kept, examiner);
  });
  if (!looked || !found) {
    return false;
  }
  conviction c = a.what.what;
  c.kind = conviction_kind::parts;
  c.guilty = found->second.node;
  c.receipts.push_back(compute::encode_statement(*found->first));
  if (const auto holds = compute::check_conviction(c); !holds) {
    around.journal->say(log_level::error, std::nullopt,
                        "what members of a group of this node signed convicts none: {}",
                        holds.error().message);
    return false;
  }
  around.journal->say(log_level::error, std::nullopt,
                      "accused by {} of what a member of its group computed: {} sent other {} of "
                      "layer {} than its part {} makes of them",
                      short_name(a.from), short_name(c.guilty),
                      compute::words_for(found->second.lane), found->second.layer,
                      to_hex(found->second.part).substr(0, 8));
  send_conviction(self, a.from, c);
  return true;
}

bool is_said_in_hearing(verifier_pointer self, const node_id& from, const conviction& c) {
  const auto heard = self->state.hearings.find(from);
  if (c.kind != conviction_kind::parts || heard == self->state.hearings.end() ||
      heard->second.shown || !is_about(heard->second.mind.draft(), c)) {
    return false;
  }
  heard->second.shown = true;
  heard->second.until = self->state.environment.env->now() + limits::second_opinion_wait;
  return true;
}

void excuse_leader(verifier_pointer self, const conviction& c) {
  auto& hearings = self->state.hearings;
  const auto heard = std::ranges::find_if(hearings, [&](const auto& entry) {
    return c.kind == conviction_kind::parts && is_about(entry.second.mind.draft(), c);
  });
  if (heard == hearings.end()) {
    return;
  }
  const operator_of operators = operators_of(self);
  if (operators(heard->first) == operators(c.guilty)) {
    return; // one party, which chose who of it was wrong
  }
  self->state.environment.journal->say(
      log_level::warn, std::nullopt,
      "{} is not convicted: {}, of the group that it leads, was wrong", short_name(heard->first),
      short_name(c.guilty));
  hearings.erase(heard);
}

} // namespace ovir::actors
