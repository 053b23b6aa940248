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

/// A member that was wrong, and the statement that shows it.
struct shown_author {
  compute::part_author author;
  std::vector<std::byte> statement;
};

/// Of another operator: one of its own excuses no leader.
bool is_anothers(verifier_pointer self, const compute::part_author& author) {
  const operator_of operators = operators_of(self);
  return operators(author.node) != operators(self->state.environment.key->id());
}

/// The first of the statements, one for each content, under which a member was wrong.
std::optional<shown_author> author_in(verifier_pointer self,
                                      std::span<const part_shelf::statement> kept,
                                      compute::parts_examiner& examiner) {
  std::vector<const compute::part_run*> right;
  for (const part_shelf::statement& s : kept) {
    const bool known = std::ranges::any_of(right, [&](const auto* run) { return *run == s->run; });
    const auto found = known ? compute::examined_parts{} : examiner.examine(*s);
    if (!found || found->what == compute::parts_finding::other_inputs) {
      continue;
    }
    if (found->author && is_anothers(self, *found->author)) {
      return shown_author{*found->author, compute::encode_statement(*s)};
    }
    right.push_back(&s->run);
  }
  return std::nullopt;
}

std::optional<shown_author> author_of_logits(verifier_pointer self, const receipt& r, position at,
                                             compute::parts_examiner& examiner) {
  const auto row = examiner.last_row(at);
  if (!row) {
    return std::nullopt;
  }
  for (const auto& s : self->state.environment.parts->find_heads(r.asked.model, *row)) {
    const auto found = examiner.examine(*s, at);
    if (found && found->author && is_anothers(self, *found->author)) {
      return shown_author{*found->author, compute::encode_head(*s)};
    }
  }
  return std::nullopt;
}

} // namespace

bool show_parts(verifier_pointer self, const verifier_state::accusation& a, const receipt& r,
                const known_inputs& inputs) {
  const auto& around = self->state.environment;
  const audit_place& place = a.what.what.place;
  const auto at = compute::window_of(r, place);
  if (around.parts == nullptr || !at || a.what.what.kind != conviction_kind::replay) {
    return false;
  }
  const auto kept =
      place.of_layer()
          ? around.parts->find(r.asked.model, r.stages[at->stage].signer.layers, at->window)
          : std::vector<part_shelf::statement>{};
  std::optional<shown_author> found;
  if (!kept.empty() || (place.part == audit_part::draw && around.parts->bytes() > 0)) {
    const auto looked =
        examine_window(self, r, *at, inputs, [&](compute::parts_examiner& examiner) {
          found = place.of_layer() ? author_in(self, kept, examiner)
                                   : author_of_logits(self, r, place.at, examiner);
        });
    found = looked ? std::move(found) : std::nullopt;
  }
  if (!found) {
    return false;
  }
  conviction c = a.what.what;
  c.kind = conviction_kind::parts;
  c.guilty = found->author.node;
  c.receipts.push_back(std::move(found->statement));
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
                      compute::words_for(found->author.lane), found->author.layer,
                      to_hex(found->author.part).substr(0, 8));
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
