#include "actors/protocol/wire.hpp"

#include "actors/protocol/wire_parts.hpp"
#include "compute/base/printable.hpp"
#include "messages/check.hpp"
#include "messages/limits/general.hpp"

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <kj/exception.h>

#include <algorithm>
#include <cstring>

// message = segments words segment
// segments = u32              ; 0: one segment
// words = u32                 ; of the segment
// segment = Cap'n Proto, messages/wire/wire.capnp, objects in the order in which `write_message`
// makes them. All numbers are little-endian. docs/formats/wire.md

namespace ovir::actors {

namespace {

using wire_schema::WireMessage;
using root_builder = WireMessage::Builder;
using root_reader = const WireMessage::Reader&;

constexpr std::uint16_t wire_version = 1;
constexpr std::size_t prefix_bytes = 8;
/// Root, open, log, tiered, ends, nodes, a node.
constexpr int nesting_max = 7;
/// Everything but what lists and texts hold; the largest kind has 45.
constexpr std::size_t fixed_words_max = 60;

/// How a body is written, read and checked; a specialisation for each kind. Both sides check:
/// before a message is sent, and after one was read.
template <class Body>
struct wire_form;

// Lead to stage

template <>
struct wire_form<wire_open> {
  static constexpr auto kind = WireMessage::OPEN;
  static void write(root_builder root, const wire_open& m) {
    auto to = root.initOpen();
    to.setFirst(m.layers.first);
    to.setLast(m.layers.last);
    to.setNextIsLead(m.next.lead);
    to.setNextFirst(m.next.layers.first);
    to.setNextLast(m.next.layers.last);
    write_bytes32(to.initModel(), m.model.bytes);
    write_bytes32(to.initNextNode(), m.next.node.key);
    write_bytes32(to.initPrevious(), m.previous.key);
    write_session_order(to, m);
  }
  static result<wire_open> read(root_reader root, const wire_envelope& around) {
    const auto from = root.getOpen();
    OVIR_ASSIGN(session_order order, read_session_order(from, around));
    return wire_open{std::move(order),
                     digest{read_bytes32(from.getModel())},
                     {from.getFirst(), from.getLast()},
                     {from.getNextIsLead(),
                      node_id{read_bytes32(from.getNextNode())},
                      {from.getNextFirst(), from.getNextLast()}},
                     node_id{read_bytes32(from.getPrevious())}};
  }
  static result<void> check(const wire_open& m, const wire_envelope& around) {
    OVIR_TRY(check_layers(m.layers, "a stage"));
    if (m.layers.first != around.stage) {
      return fail(errc::malformed, "a stage of layers from {} in a message to that from {}",
                  m.layers.first, around.stage);
    }
    if (m.next.layers != layer_range{} || !m.next.lead) {
      OVIR_TRY(check_layers(m.next.layers, "a next stage"));
    }
    if (m.previous.empty() || (m.next.node.empty() && !m.next.lead)) {
      return fail(errc::malformed, "a stage is opened without {} node",
                  m.previous.empty() ? "a previous" : "a next");
    }
    return check_session_order(m, around);
  }
};

template <>
struct wire_form<replay_boundaries> {
  static constexpr auto kind = WireMessage::REPLAY;
  static void write(root_builder root, const replay_boundaries& m) {
    auto to = root.initReplay();
    to.setFirst(m.first);
    to.setCount(m.count);
    to.setLogitRows(m.logit_rows);
  }
  static result<replay_boundaries> read(root_reader root, const wire_envelope&) {
    const auto from = root.getReplay();
    return replay_boundaries{from.getFirst(), from.getCount(), from.getLogitRows()};
  }
  static result<void> check(const replay_boundaries& m, const wire_envelope&) {
    if (m.count == 0 || m.logit_rows > m.count) {
      return fail(errc::malformed, "a replay of {} positions with logits of {}", m.count,
                  m.logit_rows);
    }
    return at_most("the positions of a replay end at", std::uint64_t{m.first} + m.count,
                   limits::context_max);
  }
};

template <>
struct wire_form<resend_logits> {
  static constexpr auto kind = WireMessage::RESEND;
  static void write(root_builder root, const resend_logits& m) { root.setResend(m.at); }
  static result<resend_logits> read(root_reader root, const wire_envelope&) {
    return resend_logits{root.getResend()};
  }
  static result<void> check(const resend_logits& m, const wire_envelope&) {
    return at_most("the position whose logits are wanted is", m.at, limits::context_max - 1);
  }
};

template <>
struct wire_form<finish_session> {
  static constexpr auto kind = WireMessage::FINISH;
  static void write(root_builder root, const finish_session& m) { root.setFinish(m.at); }
  static result<finish_session> read(root_reader root, const wire_envelope&) {
    return finish_session{root.getFinish()};
  }
  static result<void> check(const finish_session& m, const wire_envelope&) {
    return at_most("the positions a stage finishes at are", m.at, limits::context_max);
  }
};

template <>
struct wire_form<close_session> {
  static constexpr auto kind = WireMessage::CLOSE;
  static void write(root_builder root, const close_session&) { root.setClose(); }
  static result<close_session> read(root_reader, const wire_envelope&) { return close_session{}; }
  static result<void> check(const close_session&, const wire_envelope&) { return {}; }
};

template <>
struct wire_form<log_token> {
  static constexpr auto kind = WireMessage::DRAWN;
  static void write(root_builder root, const log_token& m) {
    auto to = root.initDrawn();
    to.setIndex(m.index);
    write_drawn(to.initDrawn(), m.drawn);
  }
  static result<log_token> read(root_reader root, const wire_envelope&) {
    const auto from = root.getDrawn();
    return log_token{from.getIndex(), read_drawn(from.getDrawn())};
  }
  static result<void> check(const log_token& m, const wire_envelope&) {
    OVIR_TRY(at_most("the index of a drawn token is", m.index, limits::context_max - 1));
    return check_drawn(m.drawn);
  }
};

template <>
struct wire_form<withdraw_log> {
  static constexpr auto kind = WireMessage::WITHDRAW;
  static void write(root_builder root, const withdraw_log&) { root.setWithdraw(); }
  static result<withdraw_log> read(root_reader, const wire_envelope&) { return withdraw_log{}; }
  static result<void> check(const withdraw_log&, const wire_envelope&) { return {}; }
};

template <>
struct wire_form<name_windows> {
  static constexpr auto kind = WireMessage::NAMES;
  static void write(root_builder root, const name_windows& m) {
    auto to = root.initNames();
    to.setFirst(m.first);
    write_names(to.initPrefixes(static_cast<unsigned>(m.prefixes.size())), m.prefixes);
  }
  static result<name_windows> read(root_reader root, const wire_envelope& around) {
    const auto from = root.getNames();
    OVIR_ASSIGN(std::vector<digest> names, read_names(from.getPrefixes(), around));
    return name_windows{from.getFirst(), std::move(names)};
  }
  static result<void> check(const name_windows& m, const wire_envelope&) {
    if (m.prefixes.empty()) {
      return fail(errc::malformed, "a list of windows names none");
    }
    return at_most("the windows named end at", std::uint64_t{m.first} + m.prefixes.size(),
                   wire_windows_max);
  }
};

template <>
struct wire_form<sign_evidence> {
  static constexpr auto kind = WireMessage::SIGN;
  static void write(root_builder root, const sign_evidence& m) {
    auto to = root.initSign();
    to.setLayers(m.order.terms.layers);
    to.setDeadline(m.order.deadline_unix);
    to.setStepUs(m.order.step_us);
    write_bytes32(to.initContent(), m.order.terms.content.bytes);
    write_bytes32(to.initModel(), m.order.terms.model.bytes);
  }
  static result<sign_evidence> read(root_reader root, const wire_envelope& around) {
    const auto from = root.getSign();
    sign_evidence m;
    m.order.terms.request = around.request;
    m.order.terms.content.bytes = read_bytes32(from.getContent());
    m.order.terms.model.bytes = read_bytes32(from.getModel());
    m.order.terms.profile = compute::profile_name;
    m.order.terms.layers = from.getLayers();
    m.order.deadline_unix = from.getDeadline();
    m.order.step_us = from.getStepUs();
    return m;
  }
  static result<void> check(const sign_evidence& m, const wire_envelope& around) {
    const evidence_terms& terms = m.order.terms;
    if (terms.request != around.request || terms.profile != compute::profile_name ||
        terms.layers == 0) {
      return fail(errc::malformed,
                  "an order to sign for request {:016x}, profile \"{}\" and {} "
                  "layers in a message about {:016x}",
                  terms.request.value, terms.profile, terms.layers, around.request.value);
    }
    return at_most("the layers of a model are", terms.layers, limits::layers_max);
  }
};

// Stage to lead

/// Of an opened, a step or a finished.
template <class Builder, class News>
void write_progress(Builder to, const News& m) {
  to.setLength(m.length);
  write_leaves(to.initLeaves(static_cast<unsigned>(m.leaves.size())), m.leaves);
}

template <class News>
result<void> check_progress(const News& m) {
  OVIR_TRY(at_most("the positions a stage holds are", m.length, limits::context_max));
  return check_leaves(m.leaves);
}

template <>
struct wire_form<session_opened> {
  static constexpr auto kind = WireMessage::OPENED;
  static void write(root_builder root, const session_opened& m) {
    write_opened(root.initOpened(), m);
  }
  static result<session_opened> read(root_reader root, const wire_envelope& around) {
    return read_opened(root.getOpened(), around);
  }
  static result<void> check(const session_opened& m, const wire_envelope&) {
    OVIR_TRY(check_opened(m));
    return check_progress(m);
  }
};

template <>
struct wire_form<step_done> {
  static constexpr auto kind = WireMessage::STEP;
  static void write(root_builder root, const step_done& m) {
    auto to = root.initStep();
    to.setComputeUs(m.computed.count());
    to.setHeldUs(m.held.count());
    to.setUnits(m.units);
    write_progress(to, m);
  }
  static result<step_done> read(root_reader root, const wire_envelope& around) {
    const auto from = root.getStep();
    OVIR_ASSIGN(auto leaves, read_leaves(from.getLeaves(), around));
    return step_done{from.getLength(), from.getUnits(), std::move(leaves),
                     step_time{from.getComputeUs()}, step_time{from.getHeldUs()}};
  }
  static result<void> check(const step_done& m, const wire_envelope&) { return check_progress(m); }
};

template <>
struct wire_form<session_finished> {
  static constexpr auto kind = WireMessage::FINISHED;
  static void write(root_builder root, const session_finished& m) {
    auto to = root.initFinished();
    to.setUnits(m.units);
    to.setKvBytes(m.kv_bytes);
    write_progress(to, m);
  }
  static result<session_finished> read(root_reader root, const wire_envelope& around) {
    const auto from = root.getFinished();
    OVIR_ASSIGN(auto leaves, read_leaves(from.getLeaves(), around));
    return session_finished{from.getLength(), from.getUnits(), from.getKvBytes(),
                            std::move(leaves)};
  }
  static result<void> check(const session_finished& m, const wire_envelope&) {
    return check_progress(m);
  }
};

template <>
struct wire_form<stage_failed> {
  static constexpr auto kind = WireMessage::FAILED;
  static void write(root_builder root, const stage_failed& m) {
    write_reason(root.initFailed(), m.reason);
  }
  static result<stage_failed> read(root_reader root, const wire_envelope&) {
    return stage_failed{read_reason(root.getFailed())};
  }
  static result<void> check(const stage_failed& m, const wire_envelope&) {
    return check_reason(m.reason);
  }
};

// Between nodes

template <>
struct wire_form<wire_adopt> {
  static constexpr auto kind = WireMessage::ADOPT;
  static void write(root_builder root, const wire_adopt& m) { write_log(root.initAdopt(), m.log); }
  static result<wire_adopt> read(root_reader root, const wire_envelope& around) {
    OVIR_ASSIGN(request_log log, read_log(root.getAdopt(), around));
    return wire_adopt{std::move(log)};
  }
  static result<void> check(const wire_adopt& m, const wire_envelope& around) {
    return check_log(m.log, around);
  }
};

template <>
struct wire_form<wire_adopted> {
  static constexpr auto kind = WireMessage::ADOPTED;
  static void write(root_builder root, const wire_adopted&) { root.setAdopted(); }
  static result<wire_adopted> read(root_reader, const wire_envelope&) { return wire_adopted{}; }
  static result<void> check(const wire_adopted&, const wire_envelope&) { return {}; }
};

/// For `wire_load` and `wire_unload`, which say the same of layers.
template <class Order>
void write_layers(wire_schema::Load::Builder to, const Order& m) {
  write_bytes32(to.initModel(), m.model.bytes);
  to.setFirst(m.layers.first);
  to.setLast(m.layers.last);
}
template <class Order>
result<void> check_layers_of(const Order& m, const wire_envelope& around, std::string_view what) {
  OVIR_TRY(check_layers(m.layers, what));
  return m.layers.first == around.stage ? result<void>{}
                                        : fail(errc::malformed, "{} layers from {} for stage {}",
                                               what, m.layers.first, around.stage);
}

template <>
struct wire_form<wire_load> {
  static constexpr auto kind = WireMessage::LOAD;
  static void write(root_builder root, const wire_load& m) {
    write_layers(root.initLoad(), m);
    root.getLoad().setSpare(m.spare);
  }
  static result<wire_load> read(root_reader root, const wire_envelope&) {
    const auto from = root.getLoad();
    return wire_load{
        digest{read_bytes32(from.getModel())}, {from.getFirst(), from.getLast()}, from.getSpare()};
  }
  static result<void> check(const wire_load& m, const wire_envelope& around) {
    return check_layers_of(m, around, "an order to fetch");
  }
};

template <>
struct wire_form<wire_unload> {
  static constexpr auto kind = WireMessage::UNLOAD;
  static void write(root_builder root, const wire_unload& m) { write_layers(root.initUnload(), m); }
  static result<wire_unload> read(root_reader root, const wire_envelope&) {
    const auto from = root.getUnload();
    return wire_unload{digest{read_bytes32(from.getModel())}, {from.getFirst(), from.getLast()}};
  }
  static result<void> check(const wire_unload& m, const wire_envelope& around) {
    return check_layers_of(m, around, "an order to drop");
  }
};

template <>
struct wire_form<wire_asked> {
  static constexpr auto kind = WireMessage::ASKED;
  static void write(root_builder root, const wire_asked& m) {
    write_bytes32(root.initAsked(), m.model.bytes);
  }
  static result<wire_asked> read(root_reader root, const wire_envelope&) {
    return wire_asked{digest{read_bytes32(root.getAsked())}};
  }
  static result<void> check(const wire_asked&, const wire_envelope&) { return {}; }
};

template <>
struct wire_form<wire_load_failed> {
  static constexpr auto kind = WireMessage::LOAD_FAILED;
  static void write(root_builder root, const wire_load_failed& m) {
    auto to = root.initLoadFailed();
    write_bytes32(to.initModel(), m.model.bytes);
    write_reason(to.initReason(), m.reason);
  }
  static result<wire_load_failed> read(root_reader root, const wire_envelope&) {
    const auto from = root.getLoadFailed();
    return wire_load_failed{digest{read_bytes32(from.getModel())}, read_reason(from.getReason())};
  }
  static result<void> check(const wire_load_failed& m, const wire_envelope&) {
    return check_reason(m.reason);
  }
};

// The message around a body

/// Words of lists and texts.
template <class Body>
std::size_t words_beyond(const Body& m) {
  std::size_t words = 0;
  if constexpr (requires { m.leaves; }) {
    words += list_words(m.leaves);
  }
  if constexpr (requires { m.prefixes; }) {
    words += list_words(m.prefixes);
  }
  if constexpr (requires { m.inputs; }) {
    words += list_words(m.inputs);
  }
  if constexpr (requires { m.reason; }) {
    words += list_words(m.reason);
  }
  if constexpr (std::is_same_v<Body, wire_adopt>) {
    words += list_words(m.log);
  }
  if constexpr (std::is_base_of_v<session_order, Body>) {
    words += list_words(static_cast<const session_order&>(m));
  }
  return words;
}

/// The one encoding of a message that is right.
std::vector<std::byte> write_message(const wire_message& message) {
  std::vector<std::byte> out(wire_bytes(message));
  capnp::FlatMessageBuilder builder(
      kj::arrayPtr(reinterpret_cast<capnp::word*>(out.data() + prefix_bytes),
                   (out.size() - prefix_bytes) / wire_word_bytes));
  auto root = builder.initRoot<WireMessage>();
  root.setVersion(wire_version);
  root.setEpoch(message.driver.value);
  root.setRequest(message.request.value);
  root.setStage(message.stage);
  std::visit([&]<class Body>(const Body& m) { wire_form<Body>::write(root, m); }, message.body);
  const auto segments = builder.getSegmentsForOutput();
  OVIR_CHECK(segments.size() == 1, segments.size());
  const auto words = static_cast<std::uint32_t>(segments[0].size());
  std::memcpy(out.data() + 4, &words, sizeof(words));
  out.resize(prefix_bytes + words * wire_word_bytes);
  return out;
}

/// Null where a message gives no reason.
error* reason_in(wire_body& body) {
  return std::visit(
      [](auto& m) -> error* {
        if constexpr (requires { m.reason; }) {
          return &m.reason;
        } else {
          return nullptr;
        }
      },
      body);
}

template <class Body>
result<void> read_as(wire_body& out, root_reader root, const wire_envelope& around) {
  OVIR_ASSIGN(out, wire_form<Body>::read(root, around));
  return {};
}

template <class... Bodies>
result<void> read_body(std::variant<Bodies...>& out, root_reader root,
                       const wire_envelope& around) {
  result<void> read =
      fail(errc::unsupported, "a message of kind {}, which this version does not know",
           static_cast<unsigned>(root.which()));
  const auto reads = [&]<class Body>(std::type_identity<Body>) {
    if (root.which() == wire_form<Body>::kind) {
      read = read_as<Body>(out, root, around);
    }
  };
  (reads(std::type_identity<Bodies>{}), ...);
  return read;
}

result<wire_message> read_root(root_reader root, std::size_t bytes) {
  if (root.getVersion() != wire_version) {
    return fail(errc::unsupported, "a message of version {}; this build reads version {}",
                root.getVersion(), wire_version);
  }
  wire_message message{request_id{root.getRequest()}, epoch{root.getEpoch()}, root.getStage(), {}};
  OVIR_TRY(read_body(message.body, root, {message.request, message.stage, bytes}));
  return message;
}

// Cap'n Proto reports malformed bytes by an exception of its own; this is the edge where it ends.
result<wire_message> read_message(std::span<const std::byte> bytes) {
  const std::size_t words = bytes.size() / wire_word_bytes;
  result<wire_message> message{error{}};
  const auto failed = kj::runCatchingExceptions([&bytes, &message, words] {
    capnp::ReaderOptions options;
    options.traversalLimitInWords = words; // each word once
    options.nestingLimit = nesting_max;
    capnp::FlatArrayMessageReader reader(
        kj::arrayPtr(reinterpret_cast<const capnp::word*>(bytes.data()), words), options);
    message = read_root(reader.getRoot<WireMessage>(), bytes.size());
  });
  KJ_IF_MAYBE (problem, failed) {
    return fail(errc::malformed, "these bytes are not a Cap'n Proto message: {}",
                problem->getDescription().cStr());
  }
  return message;
}

result<void> check_prefix(std::span<const std::byte> bytes) {
  if (bytes.size() < prefix_bytes + wire_word_bytes) {
    return fail(errc::malformed, "a message of {} bytes is shorter than any", bytes.size());
  }
  if (bytes.size() > limits::wire_bytes_max) {
    return fail(errc::over_limit, "a message of {} bytes; at most {} are allowed", bytes.size(),
                limits::wire_bytes_max);
  }
  std::uint32_t more_segments = 0;
  std::uint32_t words = 0;
  std::memcpy(&more_segments, bytes.data(), sizeof(more_segments));
  std::memcpy(&words, bytes.data() + 4, sizeof(words));
  if (more_segments != 0 || prefix_bytes + std::uint64_t{words} * wire_word_bytes != bytes.size()) {
    return fail(errc::malformed, "a message of {} bytes is not one segment of {} words",
                bytes.size(), words);
  }
  return {};
}

} // namespace

std::size_t wire_bytes(const wire_message& message) {
  const std::size_t beyond =
      std::visit([](const auto& m) { return words_beyond(m); }, message.body);
  return prefix_bytes + (fixed_words_max + beyond) * wire_word_bytes;
}

result<void> check(const wire_message& message) {
  OVIR_TRY(at_most("the first layer of a stage is", message.stage, limits::layers_max - 1));
  OVIR_TRY(at_most("the bytes of a message are", wire_bytes(message), limits::wire_bytes_max));
  return std::visit(
      [&]<class Body>(const Body& m) {
        return wire_form<Body>::check(m, {message.request, message.stage});
      },
      message.body);
}

std::vector<std::byte> encode_wire(const wire_message& message) {
  const auto good = check(message);
  OVIR_CHECK(good.has_value(), good.has_value() ? std::string{} : good.error().message);
  wire_message cut = message;
  if (error* const reason = reason_in(cut.body);
      reason != nullptr && reason->message.size() > limits::error_text_bytes_max) {
    reason->message.resize(limits::error_text_bytes_max);
    return write_message(cut);
  }
  return write_message(message);
}

result<wire_message> decode_wire(std::span<const std::byte> bytes) {
  OVIR_CHECK(reinterpret_cast<std::uintptr_t>(bytes.data()) % wire_word_bytes == 0);
  OVIR_TRY(check_prefix(bytes));
  OVIR_ASSIGN(wire_message message, read_message(bytes));
  OVIR_TRY(check(message));
  const std::vector<std::byte> canonical = write_message(message);
  if (!std::equal(canonical.begin(), canonical.end(), bytes.begin(), bytes.end())) {
    return fail(errc::malformed, "a message is not in its one canonical form");
  }
  if (error* const reason = reason_in(message.body)) {
    reason->message = compute::printable(reason->message, limits::error_text_bytes_max);
  }
  return message;
}

} // namespace ovir::actors
