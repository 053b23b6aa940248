#include "actors/wire.hpp"

#include "compute/printable.hpp"
#include "messages/limits.hpp"
#include "messages/limits_constraint.hpp"
#include "wire.capnp.h"

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <kj/exception.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <type_traits>

// message = segments words segment
// segments = u32              ; 0: one segment
// words = u32                 ; of the segment
// segment = Cap'n Proto, messages/wire.capnp, objects in the order in which write_message makes
// them All numbers are little-endian. docs/formats/wire.md

namespace ovir::actors {

static_assert(std::endian::native == std::endian::little, "digests are read as words");

namespace {

using wire_schema::Drawn;
using wire_schema::DrawnAt;
using wire_schema::Failed;
using wire_schema::Leaf;
using wire_schema::Names;
using wire_schema::Open;
using wire_schema::OpenedReusing;
using wire_schema::OpenReusing;
using wire_schema::Progress;
using wire_schema::Replay;
using wire_schema::RequestLog;
using wire_schema::WireMessage;

constexpr std::uint16_t wire_version = 2;
constexpr std::size_t word_bytes = sizeof(capnp::word);
constexpr std::size_t prefix_bytes = 8;
/// Everything but what lists and texts hold; the largest kind has 51.
constexpr std::size_t fixed_words_max = 60;
/// Root, an open that may reuse, the open in it, log, stop strings, a string.
constexpr int nesting_max = 6;

// Bytes of one element in the lists of the schema; no element can be shorter in any message.
constexpr std::size_t token_bytes = 4;
constexpr std::size_t text_pointer_bytes = 8;
constexpr std::size_t drawn_bytes = 40;
constexpr std::size_t leaf_bytes = 48;
constexpr std::size_t name_bytes = 32;

std::size_t words_of(std::size_t bytes) { return (bytes + word_bytes - 1) / word_bytes; }

std::size_t list_words(const request_log& log) {
  std::size_t words = words_of(log.prompt.size() * token_bytes);
  words += words_of(log.drawn.size() * drawn_bytes);
  words += words_of(log.sampling.constraint.size());
  for (const std::string& text : log.stop) {
    words += words_of(text_pointer_bytes) + words_of(text.size());
  }
  return words;
}

std::size_t list_words(const wire_body& body) {
  return std::visit(
      [](const auto& m) -> std::size_t {
        if constexpr (requires { m.leaves; }) {
          return words_of(m.leaves.size() * leaf_bytes);
        } else if constexpr (std::is_same_v<decltype(m), const wire_open&>) {
          return (m.log ? list_words(*m.log) : 0) +
                 (m.reuse ? words_of(m.reuse->prefixes.size() * name_bytes) : 0);
        } else if constexpr (std::is_same_v<decltype(m), const wire_names&>) {
          return words_of(m.prefixes.size() * name_bytes);
        } else if constexpr (std::is_same_v<decltype(m), const wire_adopt&>) {
          return list_words(m.log);
        } else if constexpr (std::is_same_v<decltype(m), const wire_failed&>) {
          return words_of(m.reason.message.size());
        } else {
          return 0;
        }
      },
      body);
}

// Writing

using bytes32 = std::array<std::uint8_t, 32>;
static_assert(digest::size == sizeof(bytes32) && node_id::size == sizeof(bytes32));

std::array<std::uint64_t, 4> words_from(const bytes32& bytes) {
  return std::bit_cast<std::array<std::uint64_t, 4>>(bytes);
}

template <class Builder> // Bytes32, Drawn, Leaf
void write(Builder to, const bytes32& bytes) {
  const auto words = words_from(bytes);
  to.setW0(words[0]);
  to.setW1(words[1]);
  to.setW2(words[2]);
  to.setW3(words[3]);
}

void write(Drawn::Builder to, const drawn_token& drawn) {
  to.setToken(drawn.token);
  write(to, drawn.logits.bytes);
}

capnp::Data::Reader data_of(std::string_view text) {
  return {reinterpret_cast<const kj::byte*>(text.data()), text.size()};
}

void write(RequestLog::Builder to, const request_log& log) {
  to.setGeneration(log.generation);
  to.setMaxTokens(log.max_tokens);
  to.setTemperature(log.sampling.temperature);
  to.setTopK(log.sampling.top_k);
  to.setTopP(log.sampling.top_p);
  to.setMinP(log.sampling.min_p);
  to.setRepeatPenalty(log.sampling.repeat_penalty);
  to.setSeed(log.sampling.seed);
  to.setConstraint(data_of(log.sampling.constraint));
  write(to.initModel(), log.model.bytes);
  auto prompt = to.initPrompt(static_cast<unsigned>(log.prompt.size()));
  for (unsigned i = 0; i < prompt.size(); ++i) {
    prompt.set(i, log.prompt[i]);
  }
  auto stop = to.initStop(static_cast<unsigned>(log.stop.size()));
  for (unsigned i = 0; i < stop.size(); ++i) {
    stop.set(i, data_of(log.stop[i]));
  }
  auto drawn = to.initDrawn(static_cast<unsigned>(log.drawn.size()));
  for (unsigned i = 0; i < drawn.size(); ++i) {
    write(drawn[i], log.drawn[i]);
  }
}

void write(Open::Builder to, const wire_open& m) {
  to.setFirst(m.layers.first);
  to.setLast(m.layers.last);
  to.setPositions(m.positions);
  to.setKeep(m.keep);
  to.setHighest(m.highest);
  to.setSigns(m.signs);
  to.setNextIsLead(m.next.lead);
  to.setNextFirst(m.next.layers.first);
  to.setNextLast(m.next.layers.last);
  write(to.initModel(), m.model.bytes);
  write(to.initNextNode(), m.next.node.key);
  write(to.initPrevious(), m.previous.key);
  if (m.log) {
    write(to.initLog(), *m.log);
  }
}

template <class Body> // opened, step, finished
void write(Progress::Builder to, const Body& m) {
  to.setLength(m.length);
  if constexpr (requires { m.units; }) {
    to.setUnits(m.units);
  }
  if constexpr (requires { m.kv_bytes; }) {
    to.setKvBytes(m.kv_bytes);
  }
  auto leaves = to.initLeaves(static_cast<unsigned>(m.leaves.size()));
  for (unsigned i = 0; i < leaves.size(); ++i) {
    const compute::unit_leaf& leaf = m.leaves[i];
    leaves[i].setWindow(leaf.unit.window);
    leaves[i].setLayer(leaf.unit.layer);
    leaves[i].setPositions(leaf.positions);
    write(leaves[i], leaf.boundary.bytes);
  }
}

void write(capnp::List<wire_schema::Bytes32>::Builder to, const std::vector<digest>& names) {
  for (unsigned i = 0; i < to.size(); ++i) {
    write(to[i], names[i].bytes);
  }
}

void write(OpenReusing::Builder to, const wire_open& m) {
  to.setWindows(m.reuse->windows);
  write(to.initOpen(), m);
  write(to.initSalt(), m.reuse->salt.bytes);
  write(to.initPrefixes(static_cast<unsigned>(m.reuse->prefixes.size())), m.reuse->prefixes);
}

void write(OpenedReusing::Builder to, const wire_opened& m) {
  to.setReplaysFrom(m.replays_from);
  to.setMemory(m.reused.memory);
  to.setDisk(m.reused.disk);
  to.setPeer(m.reused.peer);
  write(to.initProgress(), m);
}

/// Whether it says more than the plain kind can.
bool reuses(const wire_opened& m) { return m.replays_from > 0 || m.reused != units_reused{}; }

struct body_writer {
  WireMessage::Builder root;

  void operator()(const wire_open& m) {
    if (m.reuse) {
      write(root.initOpenReusing(), m);
    } else {
      write(root.initOpen(), m);
    }
  }
  void operator()(const wire_replay& m) {
    auto to = root.initReplay();
    to.setFirst(m.first);
    to.setCount(m.count);
    to.setLogitRows(m.logit_rows);
  }
  void operator()(const wire_resend& m) { root.setResend(m.at); }
  void operator()(const wire_finish& m) {
    if (m.at > 0) {
      root.setFinishAt(m.at);
    } else {
      root.setFinish();
    }
  }
  void operator()(const wire_close&) { root.setClose(); }
  void operator()(const wire_drawn& m) {
    auto to = root.initDrawn();
    to.setIndex(m.index);
    write(to.initDrawn(), m.drawn);
  }
  void operator()(const wire_opened& m) {
    if (reuses(m)) {
      write(root.initOpenedReusing(), m);
    } else {
      write(root.initOpened(), m);
    }
  }
  void operator()(const wire_step& m) { write(root.initStep(), m); }
  void operator()(const wire_finished& m) { write(root.initFinished(), m); }
  void operator()(const wire_failed& m) {
    auto to = root.initFailed();
    to.setCode(static_cast<std::uint8_t>(m.reason.code));
    to.setText(data_of(m.reason.message));
  }
  void operator()(const wire_adopt& m) { write(root.initAdopt(), m.log); }
  void operator()(const wire_adopted&) { root.setAdopted(); }
  void operator()(const wire_names& m) {
    auto to = root.initNames();
    to.setFirst(m.first);
    write(to.initPrefixes(static_cast<unsigned>(m.prefixes.size())), m.prefixes);
  }
  void operator()(const wire_sign& m) {
    auto to = root.initSign();
    to.setLayers(m.order.terms.layers);
    to.setDeadline(m.order.deadline_unix);
    write(to.initContent(), m.order.terms.content.bytes);
    write(to.initModel(), m.order.terms.model.bytes);
  }
};

std::vector<std::byte> write_message(const wire_message& message) {
  std::vector<std::byte> out(wire_bytes(message));
  capnp::FlatMessageBuilder builder(
      kj::arrayPtr(reinterpret_cast<capnp::word*>(out.data() + prefix_bytes),
                   (out.size() - prefix_bytes) / word_bytes));
  auto root = builder.initRoot<WireMessage>();
  root.setVersion(wire_version);
  root.setEpoch(message.driver.value);
  root.setRequest(message.request.value);
  root.setStage(message.stage);
  std::visit(body_writer{root}, message.body);
  const auto segments = builder.getSegmentsForOutput();
  OVIR_CHECK(segments.size() == 1, segments.size());
  const auto words = static_cast<std::uint32_t>(segments[0].size());
  std::memcpy(out.data() + 4, &words, sizeof(words));
  out.resize(prefix_bytes + words * word_bytes);
  return out;
}

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
  log.model.bytes = read_bytes32(from.getModel());
  const auto prompt = from.getPrompt();
  OVIR_TRY(all_there(prompt, token_bytes, present));
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
  OVIR_TRY(all_there(drawn, drawn_bytes, present));
  log.drawn.reserve(drawn.size());
  for (const Drawn::Reader one : drawn) {
    log.drawn.push_back(read_drawn(one));
  }
  return log;
}

result<std::vector<digest>> read_names(const capnp::List<wire_schema::Bytes32>::Reader& from,
                                       std::size_t present) {
  OVIR_TRY(all_there(from, name_bytes, present));
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
  m.highest = from.getHighest();
  m.signs = from.getSigns();
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

result<wire_body> read_open_reusing(const OpenReusing::Reader& from, request_id id,
                                    std::size_t present) {
  OVIR_ASSIGN(wire_open m, read_open(from.getOpen(), id, present));
  wire_reuse& reuse = m.reuse.emplace();
  reuse.windows = from.getWindows();
  reuse.salt.bytes = read_bytes32(from.getSalt());
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
  OVIR_TRY(all_there(from, leaf_bytes, present));
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
  OVIR_ASSIGN(m.leaves, read_leaves(from.getLeaves(), present));
  return wire_body{std::move(m)};
}

result<wire_body> read_opened_reusing(const OpenedReusing::Reader& from, std::size_t present) {
  const Progress::Reader progress = from.getProgress();
  wire_opened m;
  m.length = progress.getLength();
  OVIR_ASSIGN(m.leaves, read_leaves(progress.getLeaves(), present));
  m.replays_from = from.getReplaysFrom();
  m.reused = {from.getMemory(), from.getDisk(), from.getPeer()};
  return wire_body{std::move(m)};
}

wire_body read_replay(const Replay::Reader& from) {
  return wire_replay{from.getFirst(), from.getCount(), from.getLogitRows()};
}

wire_body read_drawn_at(const DrawnAt::Reader& from) {
  return wire_drawn{from.getIndex(), read_drawn(from.getDrawn())};
}

wire_body read_failed(const Failed::Reader& from) {
  return wire_failed{error{static_cast<errc>(from.getCode()), text_of(from.getText())}};
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
  case WireMessage::FAILED: return read_failed(root.getFailed());
  case WireMessage::ADOPT: return read_adopt(root.getAdopt(), id, present);
  case WireMessage::ADOPTED: return wire_body{wire_adopted{}};
  case WireMessage::SIGN: return read_sign(root.getSign(), id);
  case WireMessage::NAMES: return read_names_body(root.getNames(), present);
  case WireMessage::OPEN_REUSING: return read_open_reusing(root.getOpenReusing(), id, present);
  case WireMessage::OPENED_REUSING: return read_opened_reusing(root.getOpenedReusing(), present);
  case WireMessage::FINISH_AT: return read_finish_at(root.getFinishAt());
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
  const std::size_t words = bytes.size() / word_bytes;
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
  if (bytes.size() < prefix_bytes + word_bytes) {
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
  if (more_segments != 0 || prefix_bytes + std::uint64_t{words} * word_bytes != bytes.size()) {
    return fail(errc::malformed, "a message of {} bytes is not one segment of {} words",
                bytes.size(), words);
  }
  return {};
}

} // namespace

std::size_t wire_bytes(const wire_message& message) {
  return prefix_bytes + (fixed_words_max + list_words(message.body)) * word_bytes;
}

std::vector<std::byte> encode_wire(const wire_message& message) {
  const auto good = check(message);
  OVIR_CHECK(good.has_value(), good.has_value() ? std::string{} : good.error().message);
  const auto* const failed = std::get_if<wire_failed>(&message.body);
  if (failed != nullptr && failed->reason.message.size() > limits::error_text_bytes_max) {
    wire_message cut = message;
    std::get<wire_failed>(cut.body).reason.message.resize(limits::error_text_bytes_max);
    return write_message(cut);
  }
  return write_message(message);
}

result<wire_message> decode_wire(std::span<const std::byte> bytes) {
  OVIR_CHECK(reinterpret_cast<std::uintptr_t>(bytes.data()) % word_bytes == 0);
  OVIR_TRY(check_prefix(bytes));
  OVIR_ASSIGN(wire_message message, read_message(bytes));
  OVIR_TRY(check(message));
  const std::vector<std::byte> canonical = write_message(message);
  if (!std::equal(canonical.begin(), canonical.end(), bytes.begin(), bytes.end())) {
    return fail(errc::malformed, "a message is not in its one canonical form");
  }
  if (auto* const failed = std::get_if<wire_failed>(&message.body)) {
    std::string& text = failed->reason.message;
    text = compute::printable(text, limits::error_text_bytes_max);
  }
  return message;
}

} // namespace ovir::actors
