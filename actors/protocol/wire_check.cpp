#include "actors/protocol/wire.hpp"
#include "messages/limits/constraint.hpp"
#include "messages/limits/general.hpp"
#include "messages/limits/logprobs.hpp"

#include <algorithm>
#include <type_traits>

// What a message may say, whoever made it: asked before one is sent and after one is read.

namespace ovir::actors {

namespace {

constexpr std::uint64_t units_max =
    std::uint64_t{limits::layers_max} * (limits::context_max / limits::window_positions);
constexpr std::uint32_t windows_max = limits::context_max / limits::window_positions;

result<void> check_layers(layer_range layers, std::string_view what) {
  if (layers.first >= layers.last) {
    return fail(errc::malformed, "{} of layers [{}, {}) holds none", what, layers.first,
                layers.last);
  }
  if (layers.last > limits::layers_max) {
    return fail(errc::over_limit, "{} of layers up to {}; at most {} are allowed", what,
                layers.last, limits::layers_max);
  }
  return {};
}

result<void> at_most(std::string_view what, std::uint64_t value, std::uint64_t most) {
  if (value > most) {
    return fail(errc::over_limit, "{} {}; at most {} is allowed", what, value, most);
  }
  return {};
}

result<void> check_drawn(const drawn_token& drawn) {
  return at_most("a drawn token is", drawn.token, limits::vocabulary_max - 1);
}

result<void> check_log(const request_log& log, request_id request) {
  if (log.id != request) {
    return fail(errc::malformed, "the log of request {:016x} in a message about {:016x}",
                log.id.value, request.value);
  }
  OVIR_TRY(at_most("the positions of a request's log are", log.prompt.size() + log.drawn.size(),
                   limits::context_max));
  OVIR_TRY(at_most("the leads a request had are", log.generation, limits::generations_max));
  OVIR_TRY(at_most("the tokens a request may draw are", log.max_tokens, limits::context_max));
  OVIR_TRY(at_most("the tokens a request has drawn are", log.drawn.size(), log.max_tokens));
  for (const token_id token : log.prompt) {
    OVIR_TRY(at_most("a token of a prompt is", token, limits::vocabulary_max - 1));
  }
  for (const drawn_token& drawn : log.drawn) {
    OVIR_TRY(check_drawn(drawn));
  }
  OVIR_TRY(at_most("the bytes of a constraint are", log.sampling.constraint.size(),
                   limits::constraint_bytes_max));
  if (const auto terms = check(static_cast<const request_terms&>(log)); !terms) {
    return fail(terms.error().code == errc::over_limit ? errc::over_limit : errc::malformed,
                "a request's log: {}", terms.error().message);
  }
  return {};
}

result<void> check_leaves(const std::vector<compute::unit_leaf>& leaves) {
  for (const compute::unit_leaf& leaf : leaves) {
    OVIR_TRY(at_most("the window of a leaf is", leaf.unit.window, windows_max - 1));
    OVIR_TRY(at_most("the layer of a leaf is", leaf.unit.layer, limits::layers_max - 1));
    OVIR_TRY(at_most("the positions of a leaf are", leaf.positions, limits::window_positions));
    if (leaf.positions == 0) {
      return fail(errc::malformed, "a leaf covers no position");
    }
  }
  return {};
}

result<void> check_told(const reuse_told& told) {
  if (to_string(told.end).empty() || to_string(told.others.choice).empty()) {
    return fail(errc::unsupported,
                "a lookup that ended as {}, {}, which this version does not know",
                static_cast<unsigned>(told.end), static_cast<unsigned>(told.others.choice));
  }
  OVIR_TRY(at_most("the windows a stage looked for are", told.wanted, windows_max));
  OVIR_TRY(at_most("the windows a stage found are", told.found, told.wanted));
  OVIR_TRY(at_most("the windows that others claim are", told.others.windows, windows_max));
  OVIR_TRY(at_most("the windows fetched are", told.others.windows_got, told.others.windows));
  return at_most("the blocks that others claim are", told.others.blocks, units_max);
}

/// The rules of each kind.
struct body_check {
  request_id request;
  layer_index stage{0};

  result<void> operator()(const wire_open& m) const {
    OVIR_TRY(check_layers(m.layers, "a stage"));
    if (m.layers.first != stage) {
      return fail(errc::malformed, "a stage of layers from {} in a message to that from {}",
                  m.layers.first, stage);
    }
    if (m.positions == 0) {
      return fail(errc::malformed, "a stage is opened for no position");
    }
    OVIR_TRY(at_most("the positions of a stage are", m.positions, limits::context_max));
    OVIR_TRY(at_most("the positions kept of a stage are", m.keep, limits::context_max));
    if (m.next.layers != layer_range{} || !m.next.lead) {
      OVIR_TRY(check_layers(m.next.layers, "a next stage"));
    }
    if (m.previous.empty() || (m.next.node.empty() && !m.next.lead)) {
      return fail(errc::malformed, "a stage is opened without {} node",
                  m.previous.empty() ? "a previous" : "a next");
    }
    if (m.reuse) {
      OVIR_TRY(at_most("the windows named are", m.reuse->prefixes.size(), windows_max));
      OVIR_TRY(at_most("the windows that may be reused are", m.reuse->windows,
                       m.reuse->prefixes.size()));
    }
    return m.log ? check_log(*m.log, request) : result<void>{};
  }
  result<void> operator()(const wire_replay& m) const {
    if (m.count == 0 || m.logit_rows > m.count) {
      return fail(errc::malformed, "a replay of {} positions with logits of {}", m.count,
                  m.logit_rows);
    }
    return at_most("the positions of a replay end at", std::uint64_t{m.first} + m.count,
                   limits::context_max);
  }
  result<void> operator()(const wire_resend& m) const {
    return at_most("the position whose logits are wanted is", m.at, limits::context_max - 1);
  }
  result<void> operator()(const wire_finish& m) const {
    return at_most("the positions a stage finishes at are", m.at, limits::context_max);
  }
  result<void> operator()(const wire_drawn& m) const {
    OVIR_TRY(at_most("the index of a drawn token is", m.index, limits::context_max - 1));
    return check_drawn(m.drawn);
  }
  result<void> operator()(const wire_names& m) const { return check_names(m.first, m.prefixes); }
  result<void> operator()(const wire_opened& m) const {
    if (m.replays_from > m.length) {
      return fail(errc::malformed, "a stage of {} positions replays from {} on", m.length,
                  m.replays_from);
    }
    for (const std::uint64_t units : {m.reused.memory, m.reused.disk, m.reused.peer}) {
      OVIR_TRY(at_most("the units a stage reused are", units, units_max));
    }
    if (m.told) {
      OVIR_TRY(check_told(*m.told));
    }
    return progress(m.length, m.leaves);
  }
  result<void> operator()(const wire_step& m) const { return progress(m.length, m.leaves); }
  result<void> operator()(const wire_finished& m) const { return progress(m.length, m.leaves); }
  result<void> operator()(const wire_failed& m) const { return check_reason(m.reason); }
  result<void> operator()(const wire_load& m) const {
    OVIR_TRY(check_layers(m.layers, "an order to fetch"));
    if (m.layers.first != stage) {
      return fail(errc::malformed, "an order to fetch layers from {} in a message about stage {}",
                  m.layers.first, stage);
    }
    return {};
  }
  result<void> operator()(const wire_load_failed& m) const { return check_reason(m.reason); }
  result<void> operator()(const wire_adopt& m) const { return check_log(m.log, request); }
  result<void> operator()(const wire_sign& m) const {
    const evidence_terms& terms = m.order.terms;
    if (terms.request != request || terms.profile != compute::profile_name || terms.layers == 0) {
      return fail(errc::malformed,
                  "an order to sign for request {:016x}, profile \"{}\" and {} "
                  "layers in a message about {:016x}",
                  terms.request.value, terms.profile, terms.layers, request.value);
    }
    return at_most("the layers of a model are", terms.layers, limits::layers_max);
  }
  template <class Empty> // finish, close, adopted
  result<void> operator()(const Empty& m) const {
    static_assert(std::is_empty_v<Empty>);
    static_cast<void>(m);
    return {};
  }

private:
  static result<void> check_reason(const error& reason) {
    if (to_string(reason.code) == "unknown") {
      return fail(errc::unsupported,
                  "a stage failed with code {}, which this version does not know",
                  static_cast<unsigned>(reason.code));
    }
    return {};
  }

  static result<void> check_names(std::uint32_t first, const std::vector<digest>& names) {
    if (names.empty()) {
      return fail(errc::malformed, "a list of windows names none");
    }
    return at_most("the windows named end at", std::uint64_t{first} + names.size(), windows_max);
  }

  static result<void> progress(position length, const std::vector<compute::unit_leaf>& leaves) {
    OVIR_TRY(at_most("the positions a stage holds are", length, limits::context_max));
    return check_leaves(leaves);
  }
};

} // namespace

result<void> check(const wire_message& message) {
  OVIR_TRY(at_most("the first layer of a stage is", message.stage, limits::layers_max - 1));
  OVIR_TRY(at_most("the bytes of a message are", wire_bytes(message), limits::wire_bytes_max));
  return std::visit(body_check{message.request, message.stage}, message.body);
}

} // namespace ovir::actors
