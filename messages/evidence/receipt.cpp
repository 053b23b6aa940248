#include "messages/evidence/receipt.hpp"

#include "messages/digest_tree.hpp"
#include "messages/evidence/evidence_codec.hpp"
#include "messages/limits/constraint.hpp"
#include "messages/request/params_words.hpp"
#include "messages/request/privacy.hpp"

#include <cmath>

// Grammar: docs/formats/receipt.md.
namespace ovir {

namespace {

using namespace evidence_codec;
using evidence_schema::Receipt;

constexpr std::uint64_t receipt_magic = 0x54504352'5249564fU; // "OVIRRCPT"
constexpr std::uint16_t receipt_version = 1;
constexpr std::string_view receipt_name = "a receipt";
constexpr std::size_t stage_bytes = 32; // in a list

void add_signer(hasher& state, const evidence_signer& by) {
  state.update_u32(by.layers.first)
      .update_u32(by.layers.last)
      .update(std::as_bytes(std::span{by.node.key}))
      .update_text(by.software);
}

std::size_t words_of(const receipt& r) {
  std::size_t words = 256 + (r.asked.prompt.size() + r.output.size()) / 2;
  words += 1 + r.asked.sampling.constraint.size() / word_bytes;
  words += 2 + words_of_further(r.asked.sampling).size();
  words += r.attested.size() * (1 + limits::attestation_bytes_max / word_bytes + 1);
  for (const std::string& stop : r.asked.stop) {
    words += 2 + stop.size() / word_bytes;
  }
  for (const stage_records& stage : r.stages) {
    words += evidence_codec::words_of(stage);
  }
  return words;
}

template <class List, class Number>
void write_ids(List list, const std::vector<Number>& ids) {
  for (std::size_t i = 0; i < ids.size(); ++i) {
    list.set(static_cast<kj::uint>(i), ids[i]);
  }
}

void write_attested(evidence_schema::Attested::Builder out, const request_facts& asked,
                    const std::vector<std::uint64_t>& further,
                    const std::vector<attestation>& attested) {
  out.setConstraint(data_of(std::string_view{asked.sampling.constraint}));
  write_ids(out.initFurther(static_cast<kj::uint>(further.size())), further);
  if (asked.salt) {
    out.setSalt(data_of(*asked.salt));
  }
  auto list = out.initAttestations(static_cast<kj::uint>(attested.size()));
  for (std::size_t i = 0; i < attested.size(); ++i) {
    const std::vector<std::byte> bytes = to_bytes(attested[i]);
    list.set(static_cast<kj::uint>(i),
             {reinterpret_cast<const kj::byte*>(bytes.data()), bytes.size()});
  }
}

void write_asked(evidence_schema::Asked::Builder out, const request_facts& asked,
                 const std::vector<attestation>& attested) {
  out.setRequest(asked.request.value);
  out.setLayers(asked.layers);
  out.setMaxTokens(asked.max_tokens);
  out.setTemperature(asked.sampling.temperature);
  out.setTopK(asked.sampling.top_k);
  out.setTopP(asked.sampling.top_p);
  out.setMinP(asked.sampling.min_p);
  out.setRepeatPenalty(asked.sampling.repeat_penalty);
  out.setSeed(asked.sampling.seed);
  const std::vector<std::uint64_t> further = words_of_further(asked.sampling);
  if (!attested.empty()) {
    write_attested(out.initAttested(), asked, further, attested);
  } else if (asked.salt) {
    auto salted = out.initSalted();
    salted.setConstraint(data_of(std::string_view{asked.sampling.constraint}));
    write_ids(salted.initFurther(static_cast<kj::uint>(further.size())), further);
    salted.setSalt(data_of(*asked.salt));
  } else if (further.empty()) {
    out.setConstraint(data_of(std::string_view{asked.sampling.constraint}));
  } else {
    auto rules = out.initRules();
    rules.setConstraint(data_of(std::string_view{asked.sampling.constraint}));
    write_ids(rules.initFurther(static_cast<kj::uint>(further.size())), further);
  }
  out.setProfile(data_of(std::string_view{asked.profile}));
  out.setModel(data_of(asked.model));
  write_ids(out.initPrompt(static_cast<kj::uint>(asked.prompt.size())), asked.prompt);
  auto stop = out.initStop(static_cast<kj::uint>(asked.stop.size()));
  for (std::size_t i = 0; i < asked.stop.size(); ++i) {
    stop.set(static_cast<kj::uint>(i), data_of(std::string_view{asked.stop[i]}));
  }
}

void write_receipt(Receipt::Builder out, const receipt& r) {
  out.setMagic(receipt_magic);
  out.setVersion(receipt_version);
  out.setEnd(static_cast<std::uint8_t>(r.end));
  out.setPositions(r.positions);
  out.setFirstTokenUs(r.first_token_us);
  out.setPrefillUs(r.prefill_us);
  out.setDecodeUs(r.decode_us);
  write_asked(out.initAsked(), r.asked, r.attested);
  write_ids(out.initOutput(static_cast<kj::uint>(r.output.size())), r.output);
  out.setTranscript(data_of(r.transcript));
  write_signer(out.initLead(), r.lead);
  auto stages = out.initStages(static_cast<kj::uint>(r.stages.size()));
  for (std::size_t i = 0; i < r.stages.size(); ++i) {
    write_stage(stages[static_cast<kj::uint>(i)], r.stages[i]);
  }
  out.setOrder(data_of(r.order));
  out.setClosing(data_of(r.closing));
}

std::vector<std::byte> write(const receipt& r) {
  return write_message<Receipt>(words_of(r), [&r](auto out) { write_receipt(out, r); });
}

template <class List>
result<std::vector<token_id>> read_ids(const List& list, std::size_t present) {
  OVIR_TRY(all_there(list, sizeof(token_id), present, "token ids"));
  std::vector<token_id> ids;
  ids.reserve(list.size());
  for (const token_id id : list) {
    ids.push_back(id);
  }
  return ids;
}

/// Of `rules` or `salted`.
template <class Reader>
result<void> read_written(const Reader& rules, std::size_t present, bool may_lack,
                          sampling_params& to) {
  OVIR_ASSIGN(to.constraint,
              text(rules.getConstraint(), limits::constraint_bytes_max, "a constraint"));
  const auto list = rules.getFurther();
  OVIR_TRY(all_there(list, word_bytes, present, "numbers"));
  std::vector<std::uint64_t> words;
  for (const std::uint64_t word : list) {
    words.push_back(word);
  }
  return may_lack && words.empty() ? result<void>{} : read_further(words, to);
}

result<void> read_attested(evidence_schema::Attested::Reader from, std::size_t present,
                           request_facts& to, std::vector<attestation>& attested) {
  OVIR_TRY(read_written(from, present, true, to.sampling));
  if (const auto salt = from.getSalt(); salt.size() > 0) {
    OVIR_ASSIGN(to.salt, fixed<digest>(salt, "a salt"));
  }
  const auto list = from.getAttestations();
  if (list.size() == 0 || list.size() > limits::receipt_attestations_max) {
    return fail(errc::over_limit, "a receipt with {} attestations; 1 to {} are allowed",
                list.size(), limits::receipt_attestations_max);
  }
  for (const capnp::Data::Reader one : list) {
    OVIR_ASSIGN(attestation what,
                attestation_from_bytes(std::as_bytes(std::span{one.begin(), one.size()})));
    attested.push_back(std::move(what));
  }
  return {};
}

result<void> read_rules(evidence_schema::Asked::Reader from, std::size_t present, request_facts& to,
                        std::vector<attestation>& attested) {
  if (from.isAttested()) {
    return read_attested(from.getAttested(), present, to, attested);
  }
  if (from.isConstraint()) {
    OVIR_ASSIGN(to.sampling.constraint,
                text(from.getConstraint(), limits::constraint_bytes_max, "a constraint"));
    return {};
  }
  if (from.isRules()) {
    const auto rules = from.getRules(); // once: the message is counted as it is read
    return read_written(rules, present, false, to.sampling);
  }
  if (!from.isSalted()) {
    return fail(errc::malformed, "a receipt whose rules of sampling are of an unknown kind");
  }
  const auto salted = from.getSalted();
  OVIR_TRY(read_written(salted, present, true, to.sampling));
  OVIR_ASSIGN(to.salt, fixed<digest>(salted.getSalt(), "a salt"));
  return {};
}

result<request_facts> read_asked(evidence_schema::Asked::Reader from, std::size_t present,
                                 std::vector<attestation>& attested) {
  request_facts asked;
  asked.request = request_id{from.getRequest()};
  asked.layers = from.getLayers();
  asked.max_tokens = from.getMaxTokens();
  asked.sampling = {from.getTemperature(),
                    from.getTopK(),
                    from.getTopP(),
                    from.getMinP(),
                    from.getRepeatPenalty(),
                    from.getSeed(),
                    {}};
  OVIR_TRY(read_rules(from, present, asked, attested));
  OVIR_ASSIGN(asked.profile, text(from.getProfile(), limits::profile_bytes_max, "a profile"));
  OVIR_ASSIGN(asked.model, fixed<digest>(from.getModel(), "a model"));
  OVIR_ASSIGN(asked.prompt, read_ids(from.getPrompt(), present));
  const auto stop = from.getStop();
  if (stop.size() > limits::stop_strings_max) {
    return fail(errc::over_limit, "a receipt with {} stop strings; at most {} are allowed",
                stop.size(), limits::stop_strings_max);
  }
  for (const auto one : stop) {
    OVIR_ASSIGN(std::string value, text(one, limits::stop_string_bytes_max, "a stop string"));
    asked.stop.push_back(std::move(value));
  }
  return asked;
}

result<receipt> read_receipt(Receipt::Reader from, std::size_t present) {
  if (from.getMagic() != receipt_magic) {
    return fail(errc::malformed,
                "these bytes are no receipt; give a file written by ovir run --receipt");
  }
  if (from.getVersion() != receipt_version) {
    return fail(errc::unsupported, "a receipt of version {}; this program reads version {}",
                from.getVersion(), receipt_version);
  }
  if (from.getEnd() > static_cast<std::uint8_t>(finish_reason::cancelled)) {
    return fail(errc::malformed, "a receipt that ends in way {}", from.getEnd());
  }
  receipt r;
  r.end = static_cast<finish_reason>(from.getEnd());
  r.positions = from.getPositions();
  r.first_token_us = from.getFirstTokenUs();
  r.prefill_us = from.getPrefillUs();
  r.decode_us = from.getDecodeUs();
  OVIR_ASSIGN(r.asked, read_asked(from.getAsked(), present, r.attested));
  OVIR_ASSIGN(r.output, read_ids(from.getOutput(), present));
  OVIR_ASSIGN(r.transcript, fixed<digest>(from.getTranscript(), "a transcript digest"));
  OVIR_ASSIGN(r.lead, read_signer(from.getLead()));
  const auto stages = from.getStages();
  OVIR_TRY(all_there(stages, stage_bytes, present, "stages"));
  for (const auto one : stages) {
    OVIR_ASSIGN(stage_records stage, read_stage(one, present));
    r.stages.push_back(std::move(stage));
  }
  OVIR_ASSIGN(r.order, fixed<signature>(from.getOrder(), "a signature"));
  OVIR_ASSIGN(r.closing, fixed<signature>(from.getClosing(), "a signature"));
  return r;
}

result<void> check_ids(std::span<const token_id> ids, std::string_view what) {
  if (std::any_of(ids.begin(), ids.end(),
                  [](token_id id) { return id >= limits::vocabulary_max; })) {
    return fail(errc::malformed, "a receipt has an id in its {} that no vocabulary has", what);
  }
  return {};
}

result<void> check_asked(const request_facts& asked) {
  if (asked.prompt.empty() || asked.layers == 0 || asked.layers > limits::layers_max) {
    return fail(errc::malformed, "a receipt of {} prompt tokens for a model of {} layers",
                asked.prompt.size(), asked.layers);
  }
  if (asked.stop.size() > limits::stop_strings_max) {
    return fail(errc::over_limit, "a receipt with {} stop strings", asked.stop.size());
  }
  for (const std::string& stop : asked.stop) {
    if (stop.empty() || stop.size() > limits::stop_string_bytes_max) {
      return fail(errc::malformed, "a receipt with a stop string of {} bytes", stop.size());
    }
  }
  if (asked.salt == digest{}) {
    return fail(errc::malformed, "a receipt whose content is salted with zeros");
  }
  const sampling_params& s = asked.sampling;
  if (!std::isfinite(s.temperature) || !std::isfinite(s.top_p) || !std::isfinite(s.min_p) ||
      !std::isfinite(s.repeat_penalty)) {
    return fail(errc::malformed, "a receipt with a sampling parameter that is not finite");
  }
  if (s.constraint.size() > limits::constraint_bytes_max) {
    return fail(errc::over_limit, "a receipt with a constraint of {} bytes", s.constraint.size());
  }
  return has_further(s) ? check(s) : result<void>{};
}

} // namespace

digest request_digest(const request_facts& facts) {
  hasher state{"ovir/request/v1"};
  state.update_text(facts.profile)
      .update(facts.model)
      .update_u32(facts.layers)
      .update_u32(static_cast<std::uint32_t>(facts.prompt.size()))
      .update(std::as_bytes(std::span{facts.prompt}));
  add_numbers(state, facts.sampling);
  state.update_u32(facts.max_tokens).update_u32(static_cast<std::uint32_t>(facts.stop.size()));
  for (const std::string& stop : facts.stop) {
    state.update_text(stop);
  }
  const digest content = add_rules(state, facts.sampling).finish();
  return facts.salt ? salted_content(*facts.salt, content) : content;
}

evidence_terms terms_of(const request_facts& facts) {
  return {facts.request, request_digest(facts), facts.model, facts.profile, facts.layers};
}

digest output_digest(std::span<const token_id> ids) {
  return hasher{"ovir/closing/v1/output"}
      .update_u32(static_cast<std::uint32_t>(ids.size()))
      .update(std::as_bytes(ids))
      .finish();
}

digest closing_digest(const closing_facts& facts) {
  hasher state{"ovir/closing/v1"};
  state.update_u64(facts.terms.request.value)
      .update(facts.terms.content)
      .update(facts.terms.model)
      .update_text(facts.terms.profile)
      .update_u32(facts.terms.layers)
      .update_u32(facts.output)
      .update(facts.output_ids)
      .update_u32(static_cast<std::uint32_t>(facts.end))
      .update_u32(facts.positions)
      .update(facts.transcript)
      .update_u64(facts.first_token_us)
      .update_u64(facts.prefill_us)
      .update_u64(facts.decode_us);
  add_signer(state, facts.lead);
  state.update_u32(static_cast<std::uint32_t>(facts.stages.size()));
  for (const closing_facts::stage& stage : facts.stages) {
    add_signer(state, stage.signer);
    state.update(stage.last_statement);
    state.update_u32(static_cast<std::uint32_t>(stage.senders.size()));
    for (const evidence_signer& by : stage.senders) {
      add_signer(state, by);
    }
  }
  return state.finish();
}

std::vector<bound_statement> bind_statements(const evidence_terms& terms,
                                             const stage_records& records) {
  std::vector<bound_statement> bound;
  bound.reserve(records.statements.size());
  growing_tree history;
  std::vector<digest> roots{history.root()}; // over the first 0, 1, ... statements
  std::size_t covering = records.commitments.size();
  digest committed;
  for (const statement& s : records.statements) {
    std::size_t next = covering == records.commitments.size() ? 0 : covering;
    while (s.window >= records.commitments[next].window + records.commitments[next].windows) {
      ++next;
    }
    if (next != covering) {
      covering = next;
      const commitment& c = records.commitments[covering];
      committed =
          signed_digest(commitment_digest(terms, records.signer, c, roots[c.statements]), c.proof);
    }
    const statement_summary summary = summary_of(s, records.signer, history.root());
    const digest to_sign = statement_digest(committed, summary);
    bound.push_back({committed, summary, to_sign, signed_digest(to_sign, s.proof)});
    history.add(bound.back().value);
    roots.push_back(history.root());
  }
  return bound;
}

closing_facts closing_of(const receipt& r, std::span<const digest> last_statements) {
  OVIR_CHECK(last_statements.size() == r.stages.size(), last_statements.size(), r.stages.size());
  closing_facts facts;
  facts.terms = terms_of(r.asked);
  facts.output = static_cast<std::uint32_t>(r.output.size());
  facts.output_ids = output_digest(r.output);
  facts.end = r.end;
  facts.positions = r.positions;
  facts.transcript = r.transcript;
  facts.first_token_us = r.first_token_us;
  facts.prefill_us = r.prefill_us;
  facts.decode_us = r.decode_us;
  facts.lead = r.lead;
  for (std::size_t i = 0; i < r.stages.size(); ++i) {
    facts.stages.push_back({r.stages[i].signer, last_statements[i], r.stages[i].senders});
  }
  return facts;
}

result<void> check(const receipt& r) {
  OVIR_TRY(check_asked(r.asked));
  OVIR_TRY(check_ids(r.asked.prompt, "prompt"));
  OVIR_TRY(check_ids(r.output, "output"));
  const std::size_t tokens = r.asked.prompt.size() + r.output.size();
  if (tokens > std::size_t{limits::context_max} + 1 || r.positions > tokens || r.positions == 0) {
    return fail(errc::malformed, "a receipt of {} tokens and {} positions", tokens, r.positions);
  }
  OVIR_TRY(check_signer(r.lead, true));
  if (r.attested.size() > limits::receipt_attestations_max) {
    return fail(errc::over_limit, "a receipt with {} attestations", r.attested.size());
  }
  if (r.stages.empty() || r.stages.size() > limits::stages_max) {
    return fail(errc::malformed, "a receipt of {} stages", r.stages.size());
  }
  for (const stage_records& stage : r.stages) {
    OVIR_TRY(check_records(stage));
  }
  return {};
}

std::vector<std::byte> encode_receipt(const receipt& r) {
  OVIR_CHECK(check(r).has_value());
  return write(r);
}

result<receipt> decode_receipt(std::span<const std::byte> bytes) {
  OVIR_ASSIGN(receipt r, (read_message<Receipt, receipt>(bytes, limits::receipt_bytes_max,
                                                         receipt_name, read_receipt)));
  OVIR_TRY(check(r));
  OVIR_TRY(same_bytes(write(r), bytes, receipt_name));
  return r;
}

} // namespace ovir
