#include "messages/evidence/compact_receipt.hpp"

#include "messages/digest_tree.hpp"
#include "messages/evidence/evidence_codec.hpp"

// Grammar: docs/formats/receipt.md.
namespace ovir {

namespace {

using namespace evidence_codec;
using evidence_schema::CompactReceipt;
using evidence_schema::Opening;
using evidence_schema::Summary;

constexpr std::uint64_t compact_magic = 0x54504d43'5249564fU; // "OVIRCMPT"
constexpr std::uint64_t opening_magic = 0x4e45504f'5249564fU; // "OVIROPEN"
constexpr std::uint64_t receipt_magic = 0x54504352'5249564fU; // "OVIRRCPT"
constexpr std::uint16_t version = 1;
constexpr std::string_view compact_name = "a compact receipt";
constexpr std::string_view opening_name = "an opened unit";
constexpr std::size_t stage_bytes = 24;
constexpr std::size_t summary_words = 48;

digest value_of(const compact_receipt::stage& s) {
  return signed_digest(statement_digest(s.commitment, s.last), s.proof);
}

void write_summary(Summary::Builder out, const digest& commitment, const statement_summary& s) {
  out.setWindow(s.window);
  out.setPositions(s.positions);
  out.setUnits(s.units);
  out.setFirstDraw(s.first_draw);
  out.setDraws(s.draws);
  out.setComputeUs(s.compute_us);
  out.setElapsedUs(s.elapsed_us);
  out.setCited(s.cited);
  const std::array<digest, 5> all{commitment, s.input, s.units_root, s.draws_root, s.history};
  out.setDigests(data_of(std::span<const digest>{all}));
}

result<void> read_summary(Summary::Reader from, digest& commitment, statement_summary& s) {
  OVIR_ASSIGN(const auto all, fixed_list<digest>(from.getDigests(), "digests of a statement"));
  if (all.size() != 5) {
    return fail(errc::malformed, "{} digests of a statement; it has 5", all.size());
  }
  commitment = all[0];
  s = {from.getWindow(),
       from.getPositions(),
       all[1],
       from.getUnits(),
       from.getCited(),
       all[2],
       from.getFirstDraw(),
       from.getDraws(),
       all[3],
       all[4],
       from.getComputeUs(),
       from.getElapsedUs()};
  if (s.window >= limits::windows_max || s.positions == 0 ||
      s.positions > limits::window_positions || s.units > limits::layers_max || s.cited > s.units ||
      s.draws > limits::window_positions) {
    return fail(errc::malformed, "a statement about {} positions of window {} with {} units",
                s.positions, s.window, s.units);
  }
  return {};
}

std::vector<std::byte> write(const compact_receipt& c) {
  const std::size_t words =
      256 + c.stages.size() * (summary_words + 48 + limits::software_bytes_max / word_bytes);
  return write_message<CompactReceipt>(words, [&c](CompactReceipt::Builder out) {
    const closing_facts& f = c.closed;
    out.setMagic(compact_magic);
    out.setVersion(version);
    out.setEnd(static_cast<std::uint8_t>(f.end));
    out.setPositions(f.positions);
    out.setRequest(f.terms.request.value);
    out.setLayers(f.terms.layers);
    out.setOutput(f.output);
    out.setFirstTokenUs(f.first_token_us);
    out.setPrefillUs(f.prefill_us);
    out.setDecodeUs(f.decode_us);
    out.setProfile(data_of(std::string_view{f.terms.profile}));
    const std::array<digest, 4> all{f.terms.content, f.terms.model, f.output_ids, f.transcript};
    out.setDigests(data_of(std::span<const digest>{all}));
    write_signer(out.initLead(), f.lead);
    auto stages = out.initStages(static_cast<kj::uint>(c.stages.size()));
    for (std::size_t i = 0; i < c.stages.size(); ++i) {
      auto to = stages[static_cast<kj::uint>(i)];
      write_signer(to.initSigner(), f.stages[i].signer);
      write_summary(to.initLast(), c.stages[i].commitment, c.stages[i].last);
      to.setProof(data_of(c.stages[i].proof));
    }
    out.setClosing(data_of(c.closing));
  });
}

result<void> read_stages(CompactReceipt::Reader from, std::size_t present, compact_receipt& c) {
  const auto stages = from.getStages();
  OVIR_TRY(all_there(stages, stage_bytes, present, "stages"));
  if (stages.size() == 0 || stages.size() > limits::stages_max) {
    return fail(errc::malformed, "a compact receipt of {} stages", stages.size());
  }
  for (const auto one : stages) {
    compact_receipt::stage stage;
    OVIR_ASSIGN(evidence_signer by, read_signer(one.getSigner()));
    OVIR_TRY(check_signer(by, false));
    OVIR_TRY(read_summary(one.getLast(), stage.commitment, stage.last));
    OVIR_ASSIGN(stage.proof, fixed<signature>(one.getProof(), "a signature"));
    c.closed.stages.push_back({std::move(by), value_of(stage), {}});
    c.stages.push_back(stage);
  }
  return {};
}

result<compact_receipt> read_compact(CompactReceipt::Reader from, std::size_t present) {
  if (from.getMagic() != compact_magic) {
    return fail(errc::malformed, "these bytes are no compact receipt");
  }
  if (from.getVersion() != version) {
    return fail(errc::unsupported, "a compact receipt of version {}; this program reads version {}",
                from.getVersion(), version);
  }
  if (from.getEnd() > static_cast<std::uint8_t>(finish_reason::cancelled)) {
    return fail(errc::malformed, "a compact receipt that ends in way {}", from.getEnd());
  }
  compact_receipt c;
  closing_facts& f = c.closed;
  OVIR_ASSIGN(const auto all, fixed_list<digest>(from.getDigests(), "digests of a receipt"));
  if (all.size() != 4) {
    return fail(errc::malformed, "{} digests of a compact receipt; it has 4", all.size());
  }
  OVIR_ASSIGN(f.terms.profile, text(from.getProfile(), limits::profile_bytes_max, "a profile"));
  f.terms.request = request_id{from.getRequest()};
  f.terms.content = all[0];
  f.terms.model = all[1];
  f.terms.layers = from.getLayers();
  f.output = from.getOutput();
  f.output_ids = all[2];
  f.end = static_cast<finish_reason>(from.getEnd());
  f.positions = from.getPositions();
  f.transcript = all[3];
  f.first_token_us = from.getFirstTokenUs();
  f.prefill_us = from.getPrefillUs();
  f.decode_us = from.getDecodeUs();
  if (f.positions == 0 || f.positions > limits::context_max + 1) {
    return fail(errc::malformed, "a compact receipt of {} positions", f.positions);
  }
  OVIR_ASSIGN(f.lead, read_signer(from.getLead()));
  OVIR_TRY(check_signer(f.lead, true));
  OVIR_TRY(read_stages(from, present, c));
  OVIR_ASSIGN(c.closing, fixed<signature>(from.getClosing(), "a signature"));
  return c;
}

std::vector<std::byte> write(const unit_opening& o) {
  const std::size_t words = 128 + 4 * (o.statement_path.size() + o.unit_path.size());
  return write_message<Opening>(words, [&o](Opening::Builder out) {
    out.setMagic(opening_magic);
    out.setVersion(version);
    out.setStage(o.stage);
    out.setLayer(o.layer);
    write_summary(out.initStatement(), o.commitment, o.statement);
    out.setProof(data_of(o.proof));
    out.setStatementPath(data_of(std::span<const digest>{o.statement_path}));
    out.setOutput(data_of(o.output));
    out.setKv(data_of(o.kv));
    out.setUnitPath(data_of(std::span<const digest>{o.unit_path}));
  });
}

result<unit_opening> read_opening(Opening::Reader from, std::size_t) {
  if (from.getMagic() != opening_magic) {
    return fail(errc::malformed, "these bytes are no opened unit of a receipt");
  }
  if (from.getVersion() != version) {
    return fail(errc::unsupported, "an opened unit of version {}; this program reads version {}",
                from.getVersion(), version);
  }
  unit_opening o;
  o.stage = from.getStage();
  o.layer = from.getLayer();
  if (o.stage >= limits::stages_max || o.layer >= limits::layers_max) {
    return fail(errc::malformed, "an opened unit of stage {} and layer {}", o.stage, o.layer);
  }
  OVIR_TRY(read_summary(from.getStatement(), o.commitment, o.statement));
  OVIR_ASSIGN(o.proof, fixed<signature>(from.getProof(), "a signature"));
  OVIR_ASSIGN(o.statement_path, fixed_list<digest>(from.getStatementPath(), "a path"));
  OVIR_ASSIGN(o.output, fixed<digest>(from.getOutput(), "an output"));
  OVIR_ASSIGN(o.kv, fixed<digest>(from.getKv(), "a digest of K and V"));
  OVIR_ASSIGN(o.unit_path, fixed_list<digest>(from.getUnitPath(), "a path"));
  if (o.statement_path.size() > limits::tree_depth_max ||
      o.unit_path.size() > limits::tree_depth_max) {
    return fail(errc::over_limit, "a path of more than {} digests", limits::tree_depth_max);
  }
  return o;
}

} // namespace

result<compact_receipt> compact(const receipt& r) {
  const evidence_terms terms = terms_of(r.asked);
  compact_receipt c;
  std::vector<digest> last;
  for (const stage_records& stage : r.stages) {
    if (!stage.senders.empty()) {
      return fail(errc::unsupported,
                  "stages took the place of others while this request ran; only the whole receipt "
                  "says who sent what");
    }
    const bound_statement bound = bind_statements(terms, stage).back();
    c.stages.push_back({bound.commitment, bound.summary, stage.statements.back().proof});
    last.push_back(bound.value);
  }
  c.closed = closing_of(r, last);
  c.closing = r.closing;
  return c;
}

result<unit_opening> open_unit(const receipt& r, std::uint32_t window, layer_index layer) {
  const auto found = std::find_if(r.stages.begin(), r.stages.end(), [&](const stage_records& s) {
    return layer >= s.signer.layers.first && layer < s.signer.layers.last &&
           window < s.statements.size();
  });
  if (found == r.stages.end()) {
    return fail(errc::not_found, "the receipt has no window {} of layer {}", window, layer);
  }
  const std::vector<bound_statement> bound = bind_statements(terms_of(r.asked), *found);
  const statement& s = found->statements[window];
  unit_opening o;
  o.stage = static_cast<std::uint32_t>(found - r.stages.begin());
  o.layer = layer;
  o.commitment = bound[window].commitment;
  o.statement = bound[window].summary;
  o.proof = s.proof;
  if (window + 1 < bound.size()) {
    std::vector<digest> before;
    for (std::size_t i = 0; i + 1 < bound.size(); ++i) {
      before.push_back(bound[i].value);
    }
    o.statement_path = tree_proof(before, window);
  }
  std::vector<digest> units;
  for (std::size_t i = 0; i < s.units.size(); ++i) {
    units.push_back(unit_leaf_digest(window,
                                     found->signer.layers.first + static_cast<layer_index>(i),
                                     s.positions, s.units[i], s.kv[i]));
  }
  for (const unit_citation& c : s.cited) {
    units.push_back(cited_leaf_digest(c));
  }
  const std::size_t index = layer - found->signer.layers.first;
  o.output = s.units[index];
  o.kv = s.kv[index];
  o.unit_path = tree_proof(units, index);
  return o;
}

result<void> check_opening(const compact_receipt& c, const unit_opening& o) {
  if (o.stage >= c.stages.size()) {
    return fail(errc::digest_mismatch, "the receipt has no stage {}", o.stage);
  }
  const compact_receipt::stage& stage = c.stages[o.stage];
  const layer_range layers = c.closed.stages[o.stage].signer.layers;
  const digest value = signed_digest(statement_digest(o.commitment, o.statement), o.proof);
  if (o.statement.window == stage.last.window) {
    if (value != value_of(stage) || !o.statement_path.empty()) {
      return fail(errc::digest_mismatch, "the statement is not the stage's last");
    }
  } else if (root_from_proof(value, o.statement.window, stage.last.window, o.statement_path) !=
             stage.last.history) {
    return fail(errc::digest_mismatch, "the statement about window {} is not the stage's",
                o.statement.window);
  }
  if (o.layer < layers.first || o.layer >= layers.last || o.statement.units != layers.size()) {
    return fail(errc::digest_mismatch, "layer {} is not of stage {}", o.layer, o.stage);
  }
  const digest leaf =
      unit_leaf_digest(o.statement.window, o.layer, o.statement.positions, o.output, o.kv);
  if (root_from_proof(leaf, o.layer - layers.first, layers.size() + o.statement.cited,
                      o.unit_path) != o.statement.units_root) {
    return fail(errc::digest_mismatch, "layer {} of window {} is not what was stated", o.layer,
                o.statement.window);
  }
  return {};
}

std::vector<std::byte> encode_compact(const compact_receipt& c) {
  OVIR_CHECK(c.closed.stages.size() == c.stages.size() && !c.stages.empty());
  return write(c);
}

result<compact_receipt> decode_compact(std::span<const std::byte> bytes) {
  OVIR_ASSIGN(compact_receipt c,
              (read_message<CompactReceipt, compact_receipt>(
                  bytes, limits::compact_receipt_bytes_max, compact_name, read_compact)));
  OVIR_TRY(same_bytes(write(c), bytes, compact_name));
  return c;
}

std::vector<std::byte> encode_opening(const unit_opening& o) { return write(o); }

result<unit_opening> decode_opening(std::span<const std::byte> bytes) {
  OVIR_ASSIGN(unit_opening o, (read_message<Opening, unit_opening>(bytes, limits::opening_bytes_max,
                                                                   opening_name, read_opening)));
  OVIR_TRY(same_bytes(write(o), bytes, opening_name));
  return o;
}

// The magic is the first word of data: behind the segment table and the root pointer.
receipt_kind kind_of(std::span<const std::byte> bytes) {
  std::uint64_t magic = 0;
  if (bytes.size() >= prefix_bytes + word_bytes + sizeof(magic)) {
    std::memcpy(&magic, bytes.data() + prefix_bytes + word_bytes, sizeof(magic));
  }
  switch (magic) {
  case receipt_magic: return receipt_kind::whole;
  case compact_magic: return receipt_kind::compact;
  case opening_magic: return receipt_kind::opening;
  default: return receipt_kind::other;
  }
}

} // namespace ovir
