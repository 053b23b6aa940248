#include "actors/protocol/wire_write.hpp"

#include "messages/check.hpp"

#include <capnp/message.h>

#include <bit>
#include <cstring>
#include <type_traits>

namespace ovir::actors {

static_assert(std::endian::native == std::endian::little, "digests are written as words");

namespace {

using wire_schema::Drawn;
using wire_schema::Failed;
using wire_schema::Leaf;
using wire_schema::Open;
using wire_schema::OpenedExplained;
using wire_schema::OpenedReusing;
using wire_schema::OpenReusing;
using wire_schema::Progress;
using wire_schema::RequestLog;
using wire_schema::WireMessage;

/// Everything but what lists and texts hold; the largest kind has 51.
constexpr std::size_t fixed_words_max = 60;
constexpr std::size_t text_pointer_bytes = 8;

std::size_t words_of(std::size_t bytes) { return (bytes + wire_word_bytes - 1) / wire_word_bytes; }

std::size_t list_words(const request_log& log) {
  std::size_t words = words_of(log.prompt.size() * wire_token_bytes);
  words += words_of(log.drawn.size() * wire_drawn_bytes);
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
          return words_of(m.leaves.size() * wire_leaf_bytes);
        } else if constexpr (std::is_same_v<decltype(m), const wire_open&>) {
          return (m.log ? list_words(*m.log) : 0) +
                 (m.reuse ? words_of(m.reuse->prefixes.size() * wire_name_bytes) : 0);
        } else if constexpr (std::is_same_v<decltype(m), const wire_names&>) {
          return words_of(m.prefixes.size() * wire_name_bytes);
        } else if constexpr (std::is_same_v<decltype(m), const wire_adopt&>) {
          return list_words(m.log);
        } else if constexpr (requires { m.reason; }) {
          return words_of(m.reason.message.size());
        } else {
          return 0;
        }
      },
      body);
}

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
  to.setLogprobs(log.logprobs ? static_cast<std::uint8_t>(*log.logprobs + 1) : 0);
  to.setEmbedding(log.embedding ? static_cast<std::uint8_t>(*log.embedding) : 0);
  to.setReceipt(log.receipt);
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
  to.setHighest(m.answers == stage_answers::highest);
  to.setHidden(m.answers == stage_answers::hidden);
  to.setSigns(m.signs);
  to.setTraces(m.traces);
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
  if constexpr (requires { m.compute_us; }) {
    to.setComputeUs(m.compute_us);
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
  write(to.initPrefixes(static_cast<unsigned>(m.reuse->prefixes.size())), m.reuse->prefixes);
}

void write(OpenedReusing::Builder to, const wire_opened& m) {
  to.setReplaysFrom(m.replays_from);
  to.setMemory(m.reused.memory);
  to.setDisk(m.reused.disk);
  to.setPeer(m.reused.peer);
  write(to.initProgress(), m);
}

void write(OpenedExplained::Builder to, const wire_opened& m) {
  to.setWanted(m.told->wanted);
  to.setFound(m.told->found);
  to.setEnd(static_cast<std::uint8_t>(m.told->end));
  const fetch_told& others = m.told->others;
  to.setChoice(static_cast<std::uint8_t>(others.choice));
  to.setWindows(others.windows);
  to.setBlocks(others.blocks);
  to.setWindowsGot(others.windows_got);
  to.setFetchUs(others.fetch_us);
  to.setComputeUs(others.compute_us);
  to.setTookUs(others.took_us);
  write(to.initOpened(), m);
}

/// Whether it says more than the plain kind can.
bool reuses(const wire_opened& m) { return m.replays_from > 0 || m.reused != units_reused{}; }

void write(Failed::Builder to, const error& reason) {
  to.setCode(static_cast<std::uint8_t>(reason.code));
  to.setText(data_of(reason.message));
}

struct body_writer {
  WireMessage::Builder root;

  void operator()(const wire_open& m) {
    if (m.reuse) {
      write(m.reuse->explain ? root.initOpenExplaining() : root.initOpenReusing(), m);
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
    if (m.told) {
      write(root.initOpenedExplained(), m);
    } else if (reuses(m)) {
      write(root.initOpenedReusing(), m);
    } else {
      write(root.initOpened(), m);
    }
  }
  void operator()(const wire_step& m) { write(root.initStep(), m); }
  void operator()(const wire_finished& m) { write(root.initFinished(), m); }
  void operator()(const wire_failed& m) { write(root.initFailed(), m.reason); }
  void operator()(const wire_load& m) {
    auto to = root.initLoad();
    write(to.initModel(), m.model.bytes);
    to.setFirst(m.layers.first);
    to.setLast(m.layers.last);
  }
  void operator()(const wire_load_failed& m) {
    auto to = root.initLoadFailed();
    write(to.initModel(), m.model.bytes);
    write(to.initReason(), m.reason);
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

} // namespace

std::size_t wire_bytes(const wire_message& message) {
  return wire_prefix_bytes + (fixed_words_max + list_words(message.body)) * wire_word_bytes;
}

std::vector<std::byte> write_message(const wire_message& message) {
  std::vector<std::byte> out(wire_bytes(message));
  capnp::FlatMessageBuilder builder(
      kj::arrayPtr(reinterpret_cast<capnp::word*>(out.data() + wire_prefix_bytes),
                   (out.size() - wire_prefix_bytes) / wire_word_bytes));
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
  out.resize(wire_prefix_bytes + words * wire_word_bytes);
  return out;
}

} // namespace ovir::actors
