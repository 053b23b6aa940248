#include "messages/evidence/evidence_codec.hpp"

namespace ovir {

namespace {

using namespace evidence_codec;
using evidence_schema::EvidenceBatch;

constexpr std::uint16_t batch_version = 1;
constexpr std::string_view batch_name = "a batch of evidence";

// Bytes of one element in a list of the schema; no element is shorter in any message.
constexpr std::size_t commitment_bytes = 32;
constexpr std::size_t statement_bytes = 104;
constexpr std::size_t link_bytes = 24;
constexpr std::size_t signer_bytes = 24;

result<void> at_most(std::string_view what, std::uint64_t value, std::uint64_t most) {
  if (value > most) {
    return fail(errc::over_limit, "{} {}; at most {} is allowed", what, value, most);
  }
  return {};
}

result<void> check_statement(const statement& s) {
  OVIR_TRY(at_most("a window is number", s.window, limits::windows_max - 1));
  OVIR_TRY(at_most("the first position drawn from is", s.first_draw, limits::context_max));
  OVIR_TRY(at_most("units of a statement are", s.units.size(), limits::layers_max));
  OVIR_TRY(at_most("logits of a statement are", s.logits.size(), limits::window_positions));
  OVIR_TRY(at_most("choices of a statement are", s.choices.size(), limits::window_positions));
  for (const token_id choice : s.choices) {
    OVIR_TRY(at_most("a token chosen is", choice, limits::vocabulary_max - 1));
  }
  OVIR_TRY(at_most("citations of a statement are", s.cited.size(), limits::layers_max));
  if (s.kv.size() != s.units.size()) {
    return fail(errc::malformed, "K and V of {} layers for {} units", s.kv.size(), s.units.size());
  }
  if (s.positions == 0 || s.positions > limits::window_positions) {
    return fail(errc::malformed, "a statement about {} positions of a window", s.positions);
  }
  handover before;
  for (const handover& h : s.handovers) {
    if (h.positions <= before.positions || h.positions > s.positions ||
        h.came_us < before.came_us || h.sent_us < before.sent_us || h.sent_us < h.came_us) {
      return fail(errc::malformed, "a step of a statement up to {} positions, out of order",
                  h.positions);
    }
    before = h;
  }
  return {};
}

result<void> check_links(const std::vector<link_signature>& links) {
  OVIR_TRY(at_most("signatures of a link are", links.size(), limits::windows_max));
  for (const link_signature& l : links) {
    if (l.window >= limits::windows_max || l.positions == 0 ||
        l.positions > limits::window_positions) {
      return fail(errc::malformed, "a signature of a link about {} positions of window {}",
                  l.positions, l.window);
    }
  }
  return {};
}

void write_batch(EvidenceBatch::Builder out, const evidence_batch& batch) {
  out.setVersion(batch_version);
  out.setRequest(batch.request.value);
  write_stage(out.initStage(), batch.records);
  auto links = out.initLinks(static_cast<kj::uint>(batch.links.size()));
  for (std::size_t i = 0; i < batch.links.size(); ++i) {
    auto to = links[static_cast<kj::uint>(i)];
    to.setWindow(batch.links[i].window);
    to.setPositions(batch.links[i].positions);
    to.setOutput(data_of(batch.links[i].output));
    to.setProof(data_of(batch.links[i].proof));
  }
}

std::vector<std::byte> write(const evidence_batch& batch) {
  const std::size_t words = 32 + words_of(batch.records) + 16 * batch.links.size();
  return write_message<EvidenceBatch>(words, [&batch](auto out) { write_batch(out, batch); });
}

result<evidence_batch> read_batch(EvidenceBatch::Reader from, std::size_t present) {
  if (from.getVersion() != batch_version) {
    return fail(errc::unsupported, "evidence of version {}; this build reads version {}",
                from.getVersion(), batch_version);
  }
  evidence_batch batch;
  batch.request = request_id{from.getRequest()};
  OVIR_ASSIGN(batch.records, read_stage(from.getStage(), present));
  const auto links = from.getLinks();
  OVIR_TRY(all_there(links, link_bytes, present, "signatures of a link"));
  batch.links.reserve(links.size());
  for (const auto link : links) {
    link_signature l;
    l.window = link.getWindow();
    l.positions = link.getPositions();
    OVIR_ASSIGN(l.output, fixed<digest>(link.getOutput(), "an output"));
    OVIR_ASSIGN(l.proof, fixed<signature>(link.getProof(), "a signature"));
    batch.links.push_back(l);
  }
  return batch;
}

result<commitment> read_commitment(evidence_schema::Commitment::Reader from) {
  commitment c;
  c.window = from.getWindow();
  c.windows = from.getWindows();
  c.statements = from.getStatements();
  c.deadline_unix = from.getDeadline();
  c.step_us = from.getStepUs();
  OVIR_ASSIGN(c.proof, fixed<signature>(from.getProof(), "a signature"));
  return c;
}

result<statement> read_statement(evidence_schema::Statement::Reader from) {
  statement s;
  s.window = from.getWindow();
  s.positions = from.getPositions();
  s.first_draw = from.getFirstDraw();
  s.compute_us = from.getComputeUs();
  s.elapsed_us = from.getElapsedUs();
  OVIR_ASSIGN(s.input, fixed<digest>(from.getInput(), "an input"));
  OVIR_ASSIGN(s.units, fixed_list<digest>(from.getUnits(), "a list of units"));
  OVIR_ASSIGN(s.kv, fixed_list<digest>(from.getKv(), "a list of K and V"));
  static_assert(sizeof(unit_citation) == 132 && std::is_trivially_copyable_v<unit_citation>);
  OVIR_ASSIGN(s.cited, fixed_list<unit_citation>(from.getCited(), "a list of citations"));
  OVIR_ASSIGN(s.logits, fixed_list<digest>(from.getLogits(), "a list of logits"));
  OVIR_ASSIGN(s.choices, fixed_list<token_id>(from.getChoices(), "a list of choices"));
  static_assert(sizeof(handover) == 12 && std::is_trivially_copyable_v<handover>);
  OVIR_ASSIGN(s.handovers, fixed_list<handover>(from.getHandovers(), "a list of steps"));
  OVIR_ASSIGN(s.proof, fixed<signature>(from.getProof(), "a signature"));
  OVIR_ASSIGN(s.received, fixed<signature>(from.getReceived(), "a signature of a link"));
  return s;
}

} // namespace

std::vector<std::byte> encode_evidence(const evidence_batch& batch) {
  OVIR_CHECK(check_records(batch.records).has_value() && check_links(batch.links).has_value());
  return write(batch);
}

result<evidence_batch> decode_evidence(std::span<const std::byte> bytes) {
  OVIR_ASSIGN(evidence_batch batch,
              (read_message<EvidenceBatch, evidence_batch>(bytes, limits::evidence_batch_bytes_max,
                                                           batch_name, read_batch)));
  OVIR_TRY(check_records(batch.records));
  OVIR_TRY(check_links(batch.links));
  OVIR_TRY(same_bytes(write(batch), bytes, batch_name));
  return batch;
}

result<void> check_records(const stage_records& records) {
  // A lead signs links too, and nothing else.
  const bool links_alone = records.commitments.empty() && records.statements.empty();
  OVIR_TRY(check_signer(records.signer, links_alone && records.signer.layers == layer_range{}));
  OVIR_TRY(at_most("commitments are", records.commitments.size(), limits::windows_max));
  OVIR_TRY(at_most("statements are", records.statements.size(), limits::windows_max));
  for (const commitment& c : records.commitments) {
    OVIR_TRY(at_most("a window is number", c.window, limits::windows_max - 1));
    OVIR_TRY(at_most("windows committed to are", c.windows, limits::windows_max));
    OVIR_TRY(at_most("statements before are", c.statements, limits::windows_max));
  }
  for (const statement& s : records.statements) {
    OVIR_TRY(check_statement(s));
  }
  OVIR_TRY(at_most("senders are", records.senders.size(), limits::evidence_senders_max));
  for (const evidence_signer& by : records.senders) {
    OVIR_TRY(check_signer(by, by.layers == layer_range{}));
  }
  return {};
}

namespace evidence_codec {

std::size_t words_of(const stage_records& records) {
  std::size_t words = 64 + limits::software_bytes_max / word_bytes;
  words += records.commitments.size() * 16;
  words += records.senders.size() * (16 + limits::software_bytes_max / word_bytes);
  for (const statement& s : records.statements) {
    words += 32 + s.handovers.size() * sizeof(handover) / word_bytes +
             4 * (s.units.size() + s.kv.size() + s.logits.size()) + s.choices.size() / 2 + 1 +
             (s.cited.size() * sizeof(unit_citation) + word_bytes - 1) / word_bytes;
  }
  return words;
}

result<void> check_signer(const evidence_signer& by, bool lead) {
  if (by.software.size() > limits::software_bytes_max) {
    return fail(errc::over_limit, "a signer's program of {} bytes; at most {} are allowed",
                by.software.size(), limits::software_bytes_max);
  }
  const bool printable = std::all_of(by.software.begin(), by.software.end(),
                                     [](char c) { return c >= ' ' && c <= '~'; });
  if (!printable) {
    return fail(errc::malformed, "a signer's program is named with other than printable ASCII");
  }
  const bool fits = lead ? by.layers == layer_range{}
                         : by.layers.first < by.layers.last && by.layers.last <= limits::layers_max;
  if (!fits) {
    return fail(errc::malformed, "a signer for layers [{}, {})", by.layers.first, by.layers.last);
  }
  return {};
}

void write_signer(evidence_schema::Signer::Builder out, const evidence_signer& by) {
  out.setFirst(by.layers.first);
  out.setLast(by.layers.last);
  out.setNode(data_of(std::as_bytes(std::span{by.node.key})));
  out.setSoftware(data_of(std::string_view{by.software}));
}

void write_stage(evidence_schema::Stage::Builder out, const stage_records& records) {
  write_signer(out.initSigner(), records.signer);
  auto commitments = out.initCommitments(static_cast<kj::uint>(records.commitments.size()));
  for (std::size_t i = 0; i < records.commitments.size(); ++i) {
    const commitment& c = records.commitments[i];
    auto to = commitments[static_cast<kj::uint>(i)];
    to.setWindow(c.window);
    to.setWindows(c.windows);
    to.setStatements(c.statements);
    to.setDeadline(c.deadline_unix);
    to.setStepUs(c.step_us);
    to.setProof(data_of(c.proof));
  }
  auto statements = out.initStatements(static_cast<kj::uint>(records.statements.size()));
  for (std::size_t i = 0; i < records.statements.size(); ++i) {
    const statement& s = records.statements[i];
    auto to = statements[static_cast<kj::uint>(i)];
    to.setWindow(s.window);
    to.setPositions(s.positions);
    to.setFirstDraw(s.first_draw);
    to.setComputeUs(s.compute_us);
    to.setElapsedUs(s.elapsed_us);
    to.setInput(data_of(s.input));
    to.setUnits(data_of(std::span<const digest>{s.units}));
    to.setKv(data_of(std::span<const digest>{s.kv}));
    to.setCited(data_of(std::as_bytes(std::span{s.cited})));
    to.setLogits(data_of(std::span<const digest>{s.logits}));
    to.setChoices(data_of(std::as_bytes(std::span{s.choices})));
    to.setHandovers(data_of(std::as_bytes(std::span{s.handovers})));
    to.setProof(data_of(s.proof));
    to.setReceived(data_of(s.received));
  }
  auto senders = out.initSenders(static_cast<kj::uint>(records.senders.size()));
  for (std::size_t i = 0; i < records.senders.size(); ++i) {
    write_signer(senders[static_cast<kj::uint>(i)], records.senders[i]);
  }
}

result<evidence_signer> read_signer(evidence_schema::Signer::Reader from) {
  evidence_signer by;
  by.layers = {from.getFirst(), from.getLast()};
  OVIR_ASSIGN(by.node, fixed<node_id>(from.getNode(), "a signer's key"));
  OVIR_ASSIGN(by.software,
              text(from.getSoftware(), limits::software_bytes_max, "a signer's program"));
  return by;
}

result<stage_records> read_stage(evidence_schema::Stage::Reader from, std::size_t present) {
  stage_records records;
  OVIR_ASSIGN(records.signer, read_signer(from.getSigner()));
  const auto commitments = from.getCommitments();
  OVIR_TRY(all_there(commitments, commitment_bytes, present, "commitments"));
  records.commitments.reserve(commitments.size());
  for (const auto one : commitments) {
    OVIR_ASSIGN(const commitment c, read_commitment(one));
    records.commitments.push_back(c);
  }
  const auto statements = from.getStatements();
  OVIR_TRY(all_there(statements, statement_bytes, present, "statements"));
  records.statements.reserve(statements.size());
  for (const auto one : statements) {
    OVIR_ASSIGN(statement s, read_statement(one));
    records.statements.push_back(std::move(s));
  }
  const auto senders = from.getSenders();
  OVIR_TRY(all_there(senders, signer_bytes, present, "senders"));
  for (const auto one : senders) {
    OVIR_ASSIGN(evidence_signer by, read_signer(one));
    records.senders.push_back(std::move(by));
  }
  return records;
}

} // namespace evidence_codec

} // namespace ovir
