#include "actors/protocol/wire_parts.hpp"

#include "messages/limits/constraint.hpp"
#include "messages/limits/logprobs.hpp"
#include "messages/request/params_words.hpp"

namespace ovir::actors {

namespace {

using wire_schema::Drawn;
using wire_schema::Ends;
using wire_schema::Failed;
using wire_schema::Leaf;
using wire_schema::RequestLog;
using wire_schema::Tiered;

// Bytes of one element in the lists of the schema; no element can be shorter in any message.
constexpr std::size_t token_bytes = 4;
constexpr std::size_t drawn_bytes = 40;
constexpr std::size_t leaf_bytes = 48;
constexpr std::size_t name_bytes = 32;
constexpr std::size_t text_pointer_bytes = 8;
/// The struct, the tag of its list, its salt.
constexpr std::size_t ends_words = 16;
/// The struct, the tag of its list, and what its texts are rounded up to.
constexpr std::size_t tiered_words = 16;

std::size_t words_of(std::size_t bytes) { return (bytes + wire_word_bytes - 1) / wire_word_bytes; }

/// A list states how long it is; its elements must be there before room is made for them.
template <class List>
result<void> all_there(const List& list, std::size_t element_bytes, const wire_envelope& around) {
  if (list.size() > around.bytes / element_bytes) {
    return fail(errc::malformed, "a list of {} elements in a message of {} bytes", list.size(),
                around.bytes);
  }
  return {};
}

std::string text_of(capnp::Data::Reader data) {
  return {reinterpret_cast<const char*>(data.begin()), data.size()};
}

capnp::Data::Reader data_of(std::string_view text) {
  return {reinterpret_cast<const kj::byte*>(text.data()), text.size()};
}

} // namespace

result<void> at_most(std::string_view what, std::uint64_t value, std::uint64_t most) {
  if (value > most) {
    return fail(errc::over_limit, "{} {}; at most {} is allowed", what, value, most);
  }
  return {};
}

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

// A drawn token

void write_drawn(Drawn::Builder to, const drawn_token& drawn) {
  to.setToken(drawn.token);
  write_bytes32(to, drawn.logits.bytes);
}

drawn_token read_drawn(const Drawn::Reader& from) {
  return {from.getToken(), digest{read_bytes32(from)}};
}

result<void> check_drawn(const drawn_token& drawn) {
  return at_most("a drawn token is", drawn.token, limits::vocabulary_max - 1);
}

// The reason of a failure

void write_reason(Failed::Builder to, const error& reason) {
  to.setCode(static_cast<std::uint8_t>(reason.code));
  to.setText(data_of(reason.message));
}

error read_reason(const Failed::Reader& from) {
  return error{static_cast<errc>(from.getCode()), text_of(from.getText())};
}

result<void> check_reason(const error& reason) {
  if (to_string(reason.code) == "unknown") {
    return fail(errc::unsupported, "a stage failed with code {}, which this version does not know",
                static_cast<unsigned>(reason.code));
  }
  return {};
}

std::size_t list_words(const error& reason) { return words_of(reason.message.size()); }

// Names of windows

void write_names(capnp::List<wire_schema::Bytes32>::Builder to, const std::vector<digest>& names) {
  for (unsigned i = 0; i < to.size(); ++i) {
    write_bytes32(to[i], names[i].bytes);
  }
}

result<std::vector<digest>> read_names(const capnp::List<wire_schema::Bytes32>::Reader& from,
                                       const wire_envelope& around) {
  OVIR_TRY(all_there(from, name_bytes, around));
  std::vector<digest> names;
  names.reserve(from.size());
  for (const wire_schema::Bytes32::Reader name : from) {
    names.push_back(digest{read_bytes32(name)});
  }
  return names;
}

std::size_t list_words(const std::vector<digest>& names) {
  return words_of(names.size() * name_bytes);
}

// Leaves

void write_leaves(capnp::List<Leaf>::Builder to, const std::vector<compute::unit_leaf>& leaves) {
  for (unsigned i = 0; i < to.size(); ++i) {
    const compute::unit_leaf& leaf = leaves[i];
    to[i].setWindow(leaf.unit.window);
    to[i].setLayer(leaf.unit.layer);
    to[i].setPositions(leaf.positions);
    write_bytes32(to[i], leaf.boundary.bytes);
  }
}

result<std::vector<compute::unit_leaf>> read_leaves(const capnp::List<Leaf>::Reader& from,
                                                    const wire_envelope& around) {
  OVIR_TRY(all_there(from, leaf_bytes, around));
  std::vector<compute::unit_leaf> leaves;
  leaves.reserve(from.size());
  for (const Leaf::Reader leaf : from) {
    leaves.push_back(
        {{leaf.getWindow(), leaf.getLayer()}, leaf.getPositions(), digest{read_bytes32(leaf)}});
  }
  return leaves;
}

result<void> check_leaves(const std::vector<compute::unit_leaf>& leaves) {
  for (const compute::unit_leaf& leaf : leaves) {
    OVIR_TRY(at_most("the window of a leaf is", leaf.unit.window, wire_windows_max - 1));
    OVIR_TRY(at_most("the layer of a leaf is", leaf.unit.layer, limits::layers_max - 1));
    OVIR_TRY(at_most("the positions of a leaf are", leaf.positions, limits::window_positions));
    if (leaf.positions == 0) {
      return fail(errc::malformed, "a leaf covers no position");
    }
  }
  return {};
}

std::size_t list_words(const std::vector<compute::unit_leaf>& leaves) {
  return words_of(leaves.size() * leaf_bytes);
}

// A request's log

namespace {

void write_ends(Ends::Builder to, const ends_rule& rule, std::string_view constraint) {
  to.setConstraint(data_of(constraint));
  auto nodes = to.initNodes(static_cast<unsigned>(rule.nodes.size()));
  for (unsigned i = 0; i < nodes.size(); ++i) {
    write_bytes32(nodes[i], rule.nodes[i].key);
  }
  write_bytes32(to.initSalt(), rule.salt.bytes);
  to.setFirst(static_cast<std::uint16_t>(rule.first));
  to.setLast(static_cast<std::uint16_t>(rule.last));
}

result<ends_rule> read_ends(const Ends::Reader& from) {
  ends_rule rule;
  const auto nodes = from.getNodes();
  OVIR_TRY(
      at_most("the nodes for the ends of a request are", nodes.size(), limits::ends_nodes_max));
  for (const wire_schema::Bytes32::Reader node : nodes) {
    rule.nodes.push_back(node_id{read_bytes32(node)});
  }
  rule.salt.bytes = read_bytes32(from.getSalt());
  rule.first = from.getFirst();
  rule.last = from.getLast();
  return rule;
}

void write_tiered(Tiered::Builder to, const request_log& log) {
  const tier_demand& tier = *log.tier;
  to.setConstraint(data_of(log.sampling.constraint));
  auto attestors = to.initAttestors(static_cast<unsigned>(tier.attestors.size()));
  for (unsigned i = 0; i < attestors.size(); ++i) {
    write_bytes32(attestors[i], tier.attestors[i].key);
  }
  to.setOperatedBy(data_of(tier.properties.operated_by));
  to.setRegion(data_of(tier.properties.region));
  to.setConfidential(data_of(tier.properties.confidential));
  if (log.ends) {
    write_ends(to.initEnds(), *log.ends, {});
  }
}

result<void> read_tiered(const Tiered::Reader& from, request_log& log) {
  tier_demand tier;
  const auto attestors = from.getAttestors();
  OVIR_TRY(at_most("the attestors of a tier are", attestors.size(), limits::tier_attestors_max));
  for (const wire_schema::Bytes32::Reader attestor : attestors) {
    tier.attestors.push_back(node_id{read_bytes32(attestor)});
  }
  const auto keep = [](capnp::Data::Reader text, std::size_t most,
                       std::string& to) -> result<void> {
    OVIR_TRY(at_most("the bytes of a property of a tier are", text.size(), most));
    to = text_of(text);
    return {};
  };
  OVIR_TRY(
      keep(from.getOperatedBy(), limits::attested_operator_bytes_max, tier.properties.operated_by));
  OVIR_TRY(keep(from.getRegion(), limits::attested_region_bytes_max, tier.properties.region));
  OVIR_TRY(
      keep(from.getConfidential(), limits::attested_level_bytes_max, tier.properties.confidential));
  log.tier = std::move(tier);
  if (from.hasEnds()) {
    const auto ends = from.getEnds(); // once: the message is counted as it is read
    if (ends.getConstraint().size() > 0) {
      return fail(errc::malformed, "a request's log with two constraints");
    }
    OVIR_ASSIGN(log.ends, read_ends(ends));
  }
  return {};
}

result<void> read_constraint(const RequestLog::Reader& from, request_log& log) {
  if (!from.isConstraint() && !from.isEnds() && !from.isTiered()) {
    return fail(errc::unsupported, "a request's log of a kind that this version does not know");
  }
  const auto keep = [&log](capnp::Data::Reader text) -> result<void> {
    OVIR_TRY(at_most("the bytes of a constraint are", text.size(), limits::constraint_bytes_max));
    log.sampling.constraint = text_of(text);
    return {};
  };
  if (from.isConstraint()) {
    return keep(from.getConstraint());
  }
  if (from.isTiered()) {
    const auto tiered = from.getTiered(); // once: the message is counted as it is read
    OVIR_TRY(keep(tiered.getConstraint()));
    return read_tiered(tiered, log);
  }
  const auto ends = from.getEnds(); // likewise
  OVIR_TRY(keep(ends.getConstraint()));
  OVIR_ASSIGN(log.ends, read_ends(ends));
  return {};
}

} // namespace

void write_log(RequestLog::Builder to, const request_log& log) {
  to.setGeneration(log.generation);
  to.setMaxTokens(log.max_tokens);
  const std::vector<std::uint64_t> numbers = words_of_numbers(log.sampling);
  auto sampling = to.initSampling(static_cast<unsigned>(numbers.size()));
  for (unsigned i = 0; i < sampling.size(); ++i) {
    sampling.set(i, numbers[i]);
  }
  if (log.tier) {
    write_tiered(to.initTiered(), log);
  } else if (log.ends) {
    write_ends(to.initEnds(), *log.ends, log.sampling.constraint);
  } else {
    to.setConstraint(data_of(log.sampling.constraint));
  }
  to.setLogprobs(log.logprobs ? static_cast<std::uint8_t>(*log.logprobs + 1) : 0);
  to.setEmbedding(log.embedding ? static_cast<std::uint8_t>(*log.embedding) : 0);
  to.setReceipt(log.receipt);
  to.setRevealAfter(log.reveal == reveal_when::after);
  to.setSecond(log.second);
  write_bytes32(to.initModel(), log.model.bytes);
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
    write_drawn(drawn[i], log.drawn[i]);
  }
}

result<request_log> read_log(const RequestLog::Reader& from, const wire_envelope& around) {
  request_log log;
  log.id = around.request;
  log.generation = from.getGeneration();
  log.max_tokens = from.getMaxTokens();
  const auto numbers = from.getSampling();
  OVIR_TRY(all_there(numbers, wire_word_bytes, around));
  std::vector<std::uint64_t> words;
  for (const std::uint64_t word : numbers) {
    words.push_back(word);
  }
  OVIR_TRY(read_numbers(words, log.sampling));
  OVIR_TRY(read_constraint(from, log));
  if (from.getLogprobs() > 0) {
    log.logprobs = from.getLogprobs() - 1;
  }
  if (from.getEmbedding() > 0) {
    log.embedding = static_cast<pooling>(from.getEmbedding());
  }
  log.receipt = from.getReceipt();
  log.reveal = from.getRevealAfter() ? reveal_when::after : reveal_when::at_once;
  log.second = from.getSecond();
  log.model.bytes = read_bytes32(from.getModel());
  const auto prompt = from.getPrompt();
  OVIR_TRY(all_there(prompt, token_bytes, around));
  log.prompt.reserve(prompt.size());
  for (const token_id token : prompt) {
    log.prompt.push_back(token);
  }
  const auto stop = from.getStop();
  OVIR_TRY(at_most("the stop strings of a request are", stop.size(), limits::stop_strings_max));
  for (const capnp::Data::Reader text : stop) {
    log.stop.push_back(text_of(text));
  }
  const auto drawn = from.getDrawn();
  OVIR_TRY(all_there(drawn, drawn_bytes, around));
  log.drawn.reserve(drawn.size());
  for (const Drawn::Reader one : drawn) {
    log.drawn.push_back(read_drawn(one));
  }
  return log;
}

result<void> check_log(const request_log& log, const wire_envelope& around) {
  if (log.id != around.request) {
    return fail(errc::malformed, "the log of request {:016x} in a message about {:016x}",
                log.id.value, around.request.value);
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
  if (log.ends) {
    OVIR_TRY(check(*log.ends));
  }
  if (log.tier) {
    OVIR_TRY(check(*log.tier));
  }
  if (const auto terms = check(static_cast<const request_terms&>(log)); !terms) {
    return fail(terms.error().code == errc::over_limit ? errc::over_limit : errc::malformed,
                "a request's log: {}", terms.error().message);
  }
  return {};
}

std::size_t list_words(const request_log& log) {
  std::size_t words = words_of_numbers(log.sampling).size();
  words += words_of(log.prompt.size() * token_bytes);
  words += words_of(log.drawn.size() * drawn_bytes);
  words += words_of(log.sampling.constraint.size());
  words += log.ends ? ends_words + words_of(log.ends->nodes.size() * name_bytes) : 0;
  if (log.tier) {
    const node_properties& wanted = log.tier->properties;
    words +=
        tiered_words + words_of(log.tier->attestors.size() * name_bytes) +
        words_of(wanted.operated_by.size() + wanted.region.size() + wanted.confidential.size());
  }
  for (const std::string& text : log.stop) {
    words += words_of(text_pointer_bytes) + words_of(text.size());
  }
  return words;
}

// What a stage is to be

void write_session_order(wire_schema::Open::Builder to, const session_order& order) {
  to.setPositions(order.positions);
  to.setKeep(order.keep);
  to.setAnswers(static_cast<std::uint8_t>(order.answers));
  to.setSigns(order.signs);
  to.setTraces(order.traces);
  to.setSealed(order.sealed);
  if (order.log) {
    write_log(to.initLog(), *order.log);
  }
  if (order.reuse) {
    auto reuse = to.initReuse();
    reuse.setWindows(order.reuse->windows);
    reuse.setExplain(order.reuse->explain);
    reuse.setDoubted(order.reuse->doubted_from ? *order.reuse->doubted_from + 1 : 0);
    const std::vector<digest>& names = order.reuse->prefixes;
    write_names(reuse.initPrefixes(static_cast<unsigned>(names.size())), names);
  }
}

result<session_order> read_session_order(const wire_schema::Open::Reader& from,
                                         const wire_envelope& around) {
  session_order order;
  order.positions = from.getPositions();
  order.keep = from.getKeep();
  order.answers = static_cast<stage_answers>(from.getAnswers());
  order.signs = from.getSigns();
  order.traces = from.getTraces();
  order.sealed = from.getSealed();
  if (from.hasLog()) {
    OVIR_ASSIGN(order.log, read_log(from.getLog(), around));
  }
  if (from.hasReuse()) {
    const auto reuse = from.getReuse();
    order.reuse = reuse_order{reuse.getWindows(), {}, reuse.getExplain(), std::nullopt};
    if (reuse.getDoubted() > 0) {
      order.reuse->doubted_from = reuse.getDoubted() - 1;
    }
    OVIR_ASSIGN(order.reuse->prefixes, read_names(reuse.getPrefixes(), around));
  }
  return order;
}

result<void> check_session_order(const session_order& order, const wire_envelope& around) {
  if (order.positions == 0) {
    return fail(errc::malformed, "a stage is opened for no position");
  }
  OVIR_TRY(at_most("the positions of a stage are", order.positions, limits::context_max));
  OVIR_TRY(at_most("the positions kept of a stage are", order.keep, limits::context_max));
  if (order.answers > stage_answers::hidden) {
    return fail(errc::unsupported, "a stage is to answer in a way {} that it does not know",
                static_cast<unsigned>(order.answers));
  }
  if (order.reuse) {
    OVIR_TRY(at_most("the windows named are", order.reuse->prefixes.size(), wire_windows_max));
    OVIR_TRY(at_most("the windows that may be reused are", order.reuse->windows,
                     order.reuse->prefixes.size()));
    OVIR_TRY(at_most("the window from which reuse is in doubt is",
                     order.reuse->doubted_from.value_or(0), wire_windows_max));
  }
  return order.log ? check_log(*order.log, around) : result<void>{};
}

std::size_t list_words(const session_order& order) {
  return (order.log ? list_words(*order.log) : 0) +
         (order.reuse ? list_words(order.reuse->prefixes) : 0);
}

// How a lookup in the cache went

void write_lookup(wire_schema::Lookup::Builder to, const reuse_told& told) {
  to.setWanted(told.wanted);
  to.setFound(told.found);
  to.setEnd(static_cast<std::uint8_t>(told.end));
  to.setChoice(static_cast<std::uint8_t>(told.others.choice));
  to.setWindows(told.others.windows);
  to.setBlocks(told.others.blocks);
  to.setWindowsGot(told.others.windows_got);
  to.setFetchUs(told.others.fetch_us);
  to.setComputeUs(told.others.compute_us);
  to.setTookUs(told.others.took_us);
}

reuse_told read_lookup(const wire_schema::Lookup::Reader& from) {
  return {from.getWanted(),
          from.getFound(),
          static_cast<reuse_end>(from.getEnd()),
          {static_cast<fetch_choice>(from.getChoice()), from.getWindows(), from.getBlocks(),
           from.getWindowsGot(), from.getFetchUs(), from.getComputeUs(), from.getTookUs()}};
}

result<void> check_lookup(const reuse_told& told) {
  if (to_string(told.end).empty() || to_string(told.others.choice).empty()) {
    return fail(errc::unsupported,
                "a lookup that ended as {}, {}, which this version does not know",
                static_cast<unsigned>(told.end), static_cast<unsigned>(told.others.choice));
  }
  OVIR_TRY(at_most("the windows a stage looked for are", told.wanted, wire_windows_max));
  OVIR_TRY(at_most("the windows a stage found are", told.found, told.wanted));
  OVIR_TRY(at_most("the windows that others claim are", told.others.windows, wire_windows_max));
  OVIR_TRY(at_most("the windows fetched are", told.others.windows_got, told.others.windows));
  return at_most("the blocks that others claim are", told.others.blocks, wire_units_max);
}

// What a stage holds when it is opened

void write_opened(wire_schema::Opened::Builder to, const session_opened& m) {
  to.setLength(m.length);
  to.setReplaysFrom(m.replays_from);
  to.setMemory(m.reused.memory);
  to.setDisk(m.reused.disk);
  to.setPeer(m.reused.peer);
  write_leaves(to.initLeaves(static_cast<unsigned>(m.leaves.size())), m.leaves);
  write_names(to.initInputs(static_cast<unsigned>(m.inputs.size())), m.inputs);
  if (m.told) {
    write_lookup(to.initLookup(), *m.told);
  }
}

result<session_opened> read_opened(const wire_schema::Opened::Reader& from,
                                   const wire_envelope& around) {
  session_opened m;
  m.length = from.getLength();
  OVIR_ASSIGN(m.leaves, read_leaves(from.getLeaves(), around));
  m.replays_from = from.getReplaysFrom();
  m.reused = {from.getMemory(), from.getDisk(), from.getPeer()};
  OVIR_ASSIGN(m.inputs, read_names(from.getInputs(), around));
  if (from.hasLookup()) {
    m.told = read_lookup(from.getLookup());
  }
  return m;
}

result<void> check_opened(const session_opened& m) {
  if (m.replays_from > m.length) {
    return fail(errc::malformed, "a stage of {} positions replays from {} on", m.length,
                m.replays_from);
  }
  if (m.inputs.size() > m.length / limits::window_positions) {
    return fail(errc::malformed, "a stage of {} positions reused {} windows", m.length,
                m.inputs.size());
  }
  for (const std::uint64_t units : {m.reused.memory, m.reused.disk, m.reused.peer}) {
    OVIR_TRY(at_most("the units a stage reused are", units, wire_units_max));
  }
  return m.told ? check_lookup(*m.told) : result<void>{};
}

} // namespace ovir::actors
