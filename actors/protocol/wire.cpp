#include "actors/protocol/wire.hpp"

#include "actors/protocol/wire_write.hpp"
#include "compute/base/printable.hpp"
#include "messages/limits/constraint.hpp"
#include "messages/limits/general.hpp"

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <kj/exception.h>

#include <algorithm>
#include <bit>
#include <cstring>

// message = segments words segment
// segments = u32              ; 0: one segment
// words = u32                 ; of the segment
// segment = Cap'n Proto, messages/wire/wire.capnp, objects in the order in which write_message
// makes them All numbers are little-endian. docs/formats/wire.md

namespace ovir::actors {

static_assert(std::endian::native == std::endian::little, "digests are read as words");

namespace {

using wire_schema::Drawn;
using wire_schema::DrawnAt;
using wire_schema::Failed;
using wire_schema::Leaf;
using wire_schema::Names;
using wire_schema::Open;
using wire_schema::OpenedExplained;
using wire_schema::OpenedReusing;
using wire_schema::OpenReusing;
using wire_schema::Progress;
using wire_schema::Replay;
using wire_schema::RequestLog;
using wire_schema::WireMessage;

/// Root, an open that may reuse, the open in it, log, stop strings, a string.
constexpr int nesting_max = 6;

// Reading. All of it runs inside `read_message`, which catches what Cap'n Proto throws.

template <class Reader> // Bytes32, Drawn, Leaf
bytes32 read_bytes32(const Reader& from) {
  return std::bit_cast<bytes32>(
      std::array<std::uint64_t, 4>{from.getW0(), from.getW1(), from.getW2(), from.getW3()});
}

drawn_token read_drawn(const Drawn::Reader& from) {
  return {from.getToken(), digest{read_bytes32(from)}};
}

/// A list states how long it is; its elements must be there before room is made for them.
template <class List>
result<void> all_there(const List& list, std::size_t element_bytes, std::size_t bytes_present) {
  if (list.size() > bytes_present / element_bytes) {
    return fail(errc::malformed, "a list of {} elements in a message of {} bytes", list.size(),
                bytes_present);
  }
  return {};
}

std::string text_of(capnp::Data::Reader data) {
  return {reinterpret_cast<const char*>(data.begin()), data.size()};
}

result<request_log> read_log(const RequestLog::Reader& from, request_id id, std::size_t present) {
  request_log log;
  log.id = id;
  log.generation = from.getGeneration();
  log.max_tokens = from.getMaxTokens();
  log.sampling.temperature = from.getTemperature();
  log.sampling.top_k = from.getTopK();
  log.sampling.top_p = from.getTopP();
  log.sampling.min_p = from.getMinP();
  log.sampling.repeat_penalty = from.getRepeatPenalty();
  log.sampling.seed = from.getSeed();
  const auto constraint = from.getConstraint();
  if (constraint.size() > limits::constraint_bytes_max) {
    return fail(errc::over_limit,
                "a request's log with a constraint of {} bytes; at most {} are "
                "allowed",
                constraint.size(), limits::constraint_bytes_max);
  }
  log.sampling.constraint = text_of(constraint);
  if (from.getLogprobs() > 0) {
    log.logprobs = from.getLogprobs() - 1;
  }
  if (from.getEmbedding() > 0) {
    log.embedding = static_cast<pooling>(from.getEmbedding());
  }
  log.receipt = from.getReceipt();
  log.model.bytes = read_bytes32(from.getModel());
  const auto prompt = from.getPrompt();
  OVIR_TRY(all_there(prompt, wire_token_bytes, present));
  log.prompt.reserve(prompt.size());
  for (const token_id token : prompt) {
    log.prompt.push_back(token);
  }
  const auto stop = from.getStop();
  if (stop.size() > limits::stop_strings_max) {
    return fail(errc::over_limit, "a request's log with {} stop strings; at most {} are allowed",
                stop.size(), limits::stop_strings_max);
  }
  for (const capnp::Data::Reader text : stop) {
    log.stop.push_back(text_of(text));
  }
  const auto drawn = from.getDrawn();
  OVIR_TRY(all_there(drawn, wire_drawn_bytes, present));
  log.drawn.reserve(drawn.size());
  for (const Drawn::Reader one : drawn) {
    log.drawn.push_back(read_drawn(one));
  }
  return log;
}

result<std::vector<digest>> read_names(const capnp::List<wire_schema::Bytes32>::Reader& from,
                                       std::size_t present) {
  OVIR_TRY(all_there(from, wire_name_bytes, present));
  std::vector<digest> names;
  names.reserve(from.size());
  for (const wire_schema::Bytes32::Reader name : from) {
    names.push_back(digest{read_bytes32(name)});
  }
  return names;
}

result<wire_open> read_open(const Open::Reader& from, request_id id, std::size_t present) {
  wire_open m;
  m.layers = {from.getFirst(), from.getLast()};
  m.positions = from.getPositions();
  m.keep = from.getKeep();
  m.answers = from.getHidden()
                  ? stage_answers::hidden
                  : (from.getHighest() ? stage_answers::highest : stage_answers::logits);
  m.signs = from.getSigns();
  m.traces = from.getTraces();
  m.next.lead = from.getNextIsLead();
  m.next.layers = {from.getNextFirst(), from.getNextLast()};
  m.model.bytes = read_bytes32(from.getModel());
  m.next.node.key = read_bytes32(from.getNextNode());
  m.previous.key = read_bytes32(from.getPrevious());
  if (from.hasLog()) {
    OVIR_ASSIGN(m.log, read_log(from.getLog(), id, present));
  }
  return m;
}

result<wire_body> read_open_body(const Open::Reader& from, request_id id, std::size_t present) {
  OVIR_ASSIGN(wire_open m, read_open(from, id, present));
  return wire_body{std::move(m)};
}

result<wire_body> read_open_reusing(const OpenReusing::Reader& from, bool explain, request_id id,
                                    std::size_t present) {
  OVIR_ASSIGN(wire_open m, read_open(from.getOpen(), id, present));
  wire_reuse& reuse = m.reuse.emplace();
  reuse.explain = explain;
  reuse.windows = from.getWindows();
  OVIR_ASSIGN(reuse.prefixes, read_names(from.getPrefixes(), present));
  return wire_body{std::move(m)};
}

result<wire_body> read_names_body(const Names::Reader& from, std::size_t present) {
  wire_names m;
  m.first = from.getFirst();
  OVIR_ASSIGN(m.prefixes, read_names(from.getPrefixes(), present));
  return wire_body{std::move(m)};
}

result<std::vector<compute::unit_leaf>> read_leaves(const capnp::List<Leaf>::Reader& from,
                                                    std::size_t present) {
  OVIR_TRY(all_there(from, wire_leaf_bytes, present));
  std::vector<compute::unit_leaf> leaves;
  leaves.reserve(from.size());
  for (const Leaf::Reader leaf : from) {
    leaves.push_back(
        {{leaf.getWindow(), leaf.getLayer()}, leaf.getPositions(), digest{read_bytes32(leaf)}});
  }
  return leaves;
}

template <class Body> // opened, step, finished
result<wire_body> read_progress(const Progress::Reader& from, std::size_t present) {
  Body m;
  m.length = from.getLength();
  if constexpr (requires { m.units; }) {
    m.units = from.getUnits();
  }
  if constexpr (requires { m.kv_bytes; }) {
    m.kv_bytes = from.getKvBytes();
  }
  if constexpr (requires { m.compute_us; }) {
    m.compute_us = from.getComputeUs();
  }
  OVIR_ASSIGN(m.leaves, read_leaves(from.getLeaves(), present));
  return wire_body{std::move(m)};
}

result<wire_opened> read_opened_reusing(const OpenedReusing::Reader& from, std::size_t present) {
  const Progress::Reader progress = from.getProgress();
  wire_opened m;
  m.length = progress.getLength();
  OVIR_ASSIGN(m.leaves, read_leaves(progress.getLeaves(), present));
  m.replays_from = from.getReplaysFrom();
  m.reused = {from.getMemory(), from.getDisk(), from.getPeer()};
  return m;
}

result<wire_body> read_opened_explained(const OpenedExplained::Reader& from, std::size_t present) {
  OVIR_ASSIGN(wire_opened m, read_opened_reusing(from.getOpened(), present));
  reuse_told& told = m.told.emplace();
  told.wanted = from.getWanted();
  told.found = from.getFound();
  told.end = static_cast<reuse_end>(from.getEnd());
  told.others = {static_cast<fetch_choice>(from.getChoice()),
                 from.getWindows(),
                 from.getBlocks(),
                 from.getWindowsGot(),
                 from.getFetchUs(),
                 from.getComputeUs(),
                 from.getTookUs()};
  return wire_body{std::move(m)};
}

result<wire_body> read_opened_body(const OpenedReusing::Reader& from, std::size_t present) {
  OVIR_ASSIGN(wire_opened m, read_opened_reusing(from, present));
  return wire_body{std::move(m)};
}

wire_body read_replay(const Replay::Reader& from) {
  return wire_replay{from.getFirst(), from.getCount(), from.getLogitRows()};
}

wire_body read_drawn_at(const DrawnAt::Reader& from) {
  return wire_drawn{from.getIndex(), read_drawn(from.getDrawn())};
}

error read_reason(const Failed::Reader& from) {
  return error{static_cast<errc>(from.getCode()), text_of(from.getText())};
}

wire_body read_load(const wire_schema::Load::Reader& from) {
  return wire_load{digest{read_bytes32(from.getModel())}, {from.getFirst(), from.getLast()}};
}

wire_body read_load_failed(const wire_schema::LoadFailed::Reader& from) {
  return wire_load_failed{digest{read_bytes32(from.getModel())}, read_reason(from.getReason())};
}

/// Null where a message gives no reason.
error* reason_in(wire_body& body) {
  if (auto* const failed = std::get_if<wire_failed>(&body)) {
    return &failed->reason;
  }
  auto* const load = std::get_if<wire_load_failed>(&body);
  return load == nullptr ? nullptr : &load->reason;
}

result<wire_body> read_adopt(const RequestLog::Reader& from, request_id id, std::size_t present) {
  OVIR_ASSIGN(request_log log, read_log(from, id, present));
  return wire_body{wire_adopt{std::move(log)}};
}

wire_body read_sign(const wire_schema::Sign::Reader& from, request_id id) {
  wire_sign m;
  m.order.terms.request = id;
  m.order.terms.content.bytes = read_bytes32(from.getContent());
  m.order.terms.model.bytes = read_bytes32(from.getModel());
  m.order.terms.profile = compute::profile_name;
  m.order.terms.layers = from.getLayers();
  m.order.deadline_unix = from.getDeadline();
  return m;
}

// 0 is said by `finish`: each message has one form.
result<wire_body> read_finish_at(std::uint32_t at) {
  if (at == 0) {
    return fail(errc::malformed, "a stage is to finish at position 0");
  }
  return wire_body{wire_finish{at}};
}

result<wire_body> read_body(const WireMessage::Reader& root, request_id id, std::size_t present) {
  switch (root.which()) {
  case WireMessage::OPEN: return read_open_body(root.getOpen(), id, present);
  case WireMessage::REPLAY: return read_replay(root.getReplay());
  case WireMessage::RESEND: return wire_body{wire_resend{root.getResend()}};
  case WireMessage::FINISH: return wire_body{wire_finish{}};
  case WireMessage::CLOSE: return wire_body{wire_close{}};
  case WireMessage::DRAWN: return read_drawn_at(root.getDrawn());
  case WireMessage::OPENED: return read_progress<wire_opened>(root.getOpened(), present);
  case WireMessage::STEP: return read_progress<wire_step>(root.getStep(), present);
  case WireMessage::FINISHED: return read_progress<wire_finished>(root.getFinished(), present);
  case WireMessage::FAILED: return wire_body{wire_failed{read_reason(root.getFailed())}};
  case WireMessage::LOAD: return read_load(root.getLoad());
  case WireMessage::LOAD_FAILED: return read_load_failed(root.getLoadFailed());
  case WireMessage::ADOPT: return read_adopt(root.getAdopt(), id, present);
  case WireMessage::ADOPTED: return wire_body{wire_adopted{}};
  case WireMessage::SIGN: return read_sign(root.getSign(), id);
  case WireMessage::NAMES: return read_names_body(root.getNames(), present);
  case WireMessage::OPEN_REUSING:
    return read_open_reusing(root.getOpenReusing(), false, id, present);
  case WireMessage::OPENED_REUSING: return read_opened_body(root.getOpenedReusing(), present);
  case WireMessage::FINISH_AT: return read_finish_at(root.getFinishAt());
  case WireMessage::OPEN_EXPLAINING:
    return read_open_reusing(root.getOpenExplaining(), true, id, present);
  case WireMessage::OPENED_EXPLAINED:
    return read_opened_explained(root.getOpenedExplained(), present);
  }
  return fail(errc::unsupported, "a message of kind {}, which this version does not know",
              static_cast<unsigned>(root.which()));
}

result<wire_message> read_root(const WireMessage::Reader& root, std::size_t present) {
  if (root.getVersion() != wire_version) {
    return fail(errc::unsupported, "a message of version {}; this build reads version {}",
                root.getVersion(), wire_version);
  }
  wire_message message;
  message.request = request_id{root.getRequest()};
  message.driver = epoch{root.getEpoch()};
  message.stage = root.getStage();
  OVIR_ASSIGN(message.body, read_body(root, message.request, present));
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
  if (bytes.size() < wire_prefix_bytes + wire_word_bytes) {
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
  if (more_segments != 0 ||
      wire_prefix_bytes + std::uint64_t{words} * wire_word_bytes != bytes.size()) {
    return fail(errc::malformed, "a message of {} bytes is not one segment of {} words",
                bytes.size(), words);
  }
  return {};
}

} // namespace

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
