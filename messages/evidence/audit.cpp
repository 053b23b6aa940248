#include "messages/evidence/audit.hpp"

#include "messages/evidence/addendum_codec.hpp"
#include "messages/evidence/audit.capnp.h"
#include "messages/evidence/audit_task_codec.hpp"
#include "messages/evidence/evidence_codec.hpp"

#include <algorithm>
#include <functional>

namespace ovir {

namespace {

using namespace evidence_codec;

constexpr std::uint16_t version = 1;
constexpr std::string_view admission_domain = "ovir/audit/v1/admission";
constexpr std::string_view verdict_domain = "ovir/audit/v1/verdict";

std::span<const std::byte> bytes_of(const digest& d) { return std::as_bytes(std::span{d.bytes}); }

void write(audit_schema::Place::Builder out, const audit_place& place) {
  out.setPart(static_cast<std::uint8_t>(place.part));
  out.setWindow(place.window);
  out.setLayer(place.layer);
  out.setPosition(place.at);
}

void write(audit_schema::Verdict::Builder out, const audit_verdict& v) {
  out.setVerifier(data_of_key(v.verifier));
  out.setProof(data_of(v.proof));
  out.setKernels(static_cast<std::uint8_t>(v.means.kernels));
  out.setSoftware(data_of(std::string_view{v.means.software}));
}

void write(audit_schema::Conviction::Builder out, const conviction& c) {
  out.setKind(static_cast<std::uint8_t>(c.kind));
  out.setGuilty(data_of_key(c.guilty));
  write(out.initPlace(), c.place);
  out.setComputed(data_of(c.computed));
  auto receipts = out.initReceipts(static_cast<kj::uint>(c.receipts.size()));
  for (kj::uint i = 0; i < receipts.size(); ++i) {
    receipts.set(i, data_of(std::span<const std::byte>{c.receipts[i]}));
  }
  auto verdicts = out.initVerdicts(static_cast<kj::uint>(c.verdicts.size()));
  for (kj::uint i = 0; i < verdicts.size(); ++i) {
    write(verdicts[i], c.verdicts[i]);
  }
  if (c.admission) {
    out.setFault(static_cast<std::uint8_t>(c.admission->fault));
    out.setAdmission(data_of(c.admission->proof));
  }
}

result<audit_place> read(audit_schema::Place::Reader in) {
  audit_place place;
  place.part = static_cast<audit_part>(in.getPart());
  if (in.getPart() < 1 || in.getPart() > 4) {
    return fail(errc::unsupported, "part {} of a receipt is not known to this version",
                in.getPart());
  }
  place.window = in.getWindow();
  place.layer = in.getLayer();
  place.at = in.getPosition();
  if (place.window >= limits::context_max / limits::window_positions) {
    return fail(errc::over_limit, "window {} lies beyond every context", place.window);
  }
  return place;
}

result<audit_verdict> read(audit_schema::Verdict::Reader in) {
  audit_verdict v;
  OVIR_ASSIGN(v.means.kernels, kernels_from(in.getKernels()));
  OVIR_ASSIGN(v.means.software,
              text(in.getSoftware(), limits::software_bytes_max, "a verifier's software"));
  OVIR_ASSIGN(v.verifier, fixed<node_id>(in.getVerifier(), "a verifier's key"));
  OVIR_ASSIGN(v.proof, fixed<signature>(in.getProof(), "a verdict's signature"));
  return v;
}

std::vector<std::byte> copy_of(capnp::Data::Reader data) {
  const auto* const first = reinterpret_cast<const std::byte*>(data.begin());
  return {first, first + data.size()};
}

result<std::vector<std::byte>> receipt_in(capnp::Data::Reader data) {
  if (data.size() > limits::audit_receipt_bytes_max) {
    return fail(errc::over_limit, "a receipt of {} bytes; {} at most are audited", data.size(),
                limits::audit_receipt_bytes_max);
  }
  return copy_of(data);
}

/// Fault 0: nothing is admitted, and nothing is signed.
result<std::optional<audit_admission>> read_admission(std::uint8_t fault,
                                                      capnp::Data::Reader proof) {
  if (fault > 2) {
    return fail(errc::unsupported, "a fault of kind {} is not known to this version", fault);
  }
  if (fault == 0) {
    return proof.size() == 0 ? result<std::optional<audit_admission>>{std::nullopt}
                             : fail(errc::malformed, "a signature that admits nothing");
  }
  audit_admission a;
  a.fault = static_cast<audit_fault>(fault);
  OVIR_ASSIGN(a.proof, fixed<signature>(proof, "an admission's signature"));
  return std::optional{a};
}

result<conviction> read(audit_schema::Conviction::Reader in, std::size_t present) {
  conviction c;
  c.kind = static_cast<conviction_kind>(in.getKind());
  if (in.getKind() < 1 || in.getKind() > 3) {
    return fail(errc::unsupported, "a conviction of kind {} is not known to this version",
                in.getKind());
  }
  OVIR_ASSIGN(c.guilty, fixed<node_id>(in.getGuilty(), "a convicted key"));
  OVIR_ASSIGN(c.place, read(in.getPlace()));
  OVIR_ASSIGN(c.computed, fixed<digest>(in.getComputed(), "a digest"));
  const auto receipts = in.getReceipts();
  const auto verdicts = in.getVerdicts();
  OVIR_TRY(all_there(receipts, word_bytes, present, "receipts"));
  OVIR_TRY(all_there(verdicts, word_bytes, present, "verdicts"));
  if (receipts.size() > 2 || verdicts.size() > limits::audit_verdicts_max) {
    return fail(errc::over_limit, "a conviction with {} receipts and {} verdicts; at most 2 and {}",
                receipts.size(), verdicts.size(), limits::audit_verdicts_max);
  }
  for (const auto one : receipts) {
    OVIR_ASSIGN(auto bytes, receipt_in(one));
    c.receipts.push_back(std::move(bytes));
  }
  for (const auto one : verdicts) {
    OVIR_ASSIGN(const audit_verdict v, read(one));
    c.verdicts.push_back(v);
  }
  OVIR_ASSIGN(c.admission, read_admission(in.getFault(), in.getAdmission()));
  return c;
}

/// Each once, ascending.
result<std::vector<audit_kernels>> taken_in(capnp::Data::Reader data) {
  if (data.size() > limits::audit_taken_max) {
    return fail(errc::over_limit, "{} kernels are taken; there are {}", data.size(),
                limits::audit_taken_max);
  }
  std::vector<audit_kernels> taken;
  for (const kj::byte one : data) {
    OVIR_ASSIGN(const audit_kernels kernels, kernels_from(one));
    if (!taken.empty() && taken.back() >= kernels) {
      return fail(errc::malformed, "kernels that do not ascend");
    }
    taken.push_back(kernels);
  }
  return taken;
}

/// Each once, ascending.
result<std::vector<node_id>> keys_in(capnp::Data::Reader data) {
  if (data.size() > limits::audit_convicted_max * sizeof(node_id)) {
    return fail(errc::over_limit, "{} bytes of keys; at most {} keys are told", data.size(),
                limits::audit_convicted_max);
  }
  OVIR_ASSIGN(auto keys, fixed_list<node_id>(data, "keys"));
  if (std::adjacent_find(keys.begin(), keys.end(), std::greater_equal<>{}) != keys.end()) {
    return fail(errc::malformed, "keys that do not ascend");
  }
  return keys;
}

result<audit_message> read_accusation(audit_schema::AuditMessage::Accusation::Reader in,
                                      std::size_t present) {
  audit_accusation a;
  a.number = in.getNumber();
  OVIR_ASSIGN(a.what, read(in.getWhat(), present));
  const capnp::Data::Reader capsule = in.getCapsule(); // what is read twice counts twice
  if (capsule.size() > limits::audit_capsule_bytes_max) {
    return fail(errc::over_limit, "a capsule of {} bytes; {} at most go with an accusation",
                capsule.size(), limits::audit_capsule_bytes_max);
  }
  a.capsule = copy_of(capsule);
  return audit_message{std::move(a)};
}

result<audit_message> read_defence(audit_schema::AuditMessage::Defence::Reader in) {
  audit_defence d;
  d.number = in.getNumber();
  OVIR_ASSIGN(d.admission, read_admission(in.getFault(), in.getAdmission()));
  if (in.hasCounter()) {
    OVIR_ASSIGN(d.counter, read(in.getCounter()));
  }
  if (d.admission.has_value() == d.counter.has_value()) {
    return fail(errc::malformed, "a defence that does not either admit or contest");
  }
  return audit_message{std::move(d)};
}

result<audit_message> read_reveal(audit_schema::AuditMessage::Reveal::Reader in) {
  audit_reveal shown;
  shown.number = in.getNumber();
  OVIR_ASSIGN(shown.place, read(in.getPlace()));
  OVIR_ASSIGN(shown.receipt, receipt_in(in.getReceipt()));
  return audit_message{std::move(shown)};
}

result<audit_message> read_vouch(audit_schema::AuditMessage::Vouch::Reader in) {
  audit_vouch v;
  v.number = in.getNumber();
  OVIR_ASSIGN(v.computed, fixed<digest>(in.getComputed(), "a digest"));
  OVIR_ASSIGN(v.verdict, read(in.getVerdict()));
  return audit_message{v};
}

result<audit_message> read_any(audit_schema::AuditMessage::Reader in, std::size_t present) {
  if (in.getVersion() != version) {
    return fail(errc::unsupported, "a message about audits of version {}; this one knows {}",
                in.getVersion(), version);
  }
  switch (in.which()) {
  case audit_schema::AuditMessage::OFFER: {
    OVIR_ASSIGN(auto bytes, receipt_in(in.getOffer().getReceipt()));
    return audit_message{
        audit_offer{in.getOffer().getSuspect(), std::move(bytes), in.getOffer().getDrawn()}};
  }
  case audit_schema::AuditMessage::QUESTION: {
    audit_question q;
    q.number = in.getQuestion().getNumber();
    OVIR_ASSIGN(q.task, read_task(in.getQuestion().getTask(), in.getQuestion().getTokens()));
    OVIR_ASSIGN(q.taken, taken_in(in.getQuestion().getTaken()));
    return audit_message{std::move(q)};
  }
  case audit_schema::AuditMessage::ANSWER: {
    audit_answer a;
    a.number = in.getAnswer().getNumber();
    OVIR_ASSIGN(a.outcome, fixed<digest>(in.getAnswer().getOutcome(), "a digest"));
    OVIR_ASSIGN(a.proof, fixed<signature>(in.getAnswer().getProof(), "an answer's signature"));
    return audit_message{a};
  }
  case audit_schema::AuditMessage::CONVICTION: {
    OVIR_ASSIGN(auto c, read(in.getConviction(), present));
    return audit_message{std::move(c)};
  }
  case audit_schema::AuditMessage::KNOWN: {
    audit_known known;
    known.answer = in.getKnown().getAnswer();
    OVIR_ASSIGN(known.convicted, keys_in(in.getKnown().getConvicted()));
    return audit_message{std::move(known)};
  }
  case audit_schema::AuditMessage::STANDING: {
    audit_standing standing;
    OVIR_ASSIGN(standing.nodes, keys_in(in.getStanding().getNodes()));
    OVIR_ASSIGN(standing.reputations_ppm,
                fixed_list<std::uint32_t>(in.getStanding().getReputations(), "reputations"));
    if (standing.reputations_ppm.size() != standing.nodes.size() ||
        std::any_of(standing.reputations_ppm.begin(), standing.reputations_ppm.end(),
                    [](std::uint32_t ppm) { return ppm > 1'000'000; })) {
      return fail(errc::malformed, "reputations that are none, or not one for each node");
    }
    return audit_message{std::move(standing)};
  }
  case audit_schema::AuditMessage::ACCUSATION: return read_accusation(in.getAccusation(), present);
  case audit_schema::AuditMessage::DEFENCE: return read_defence(in.getDefence());
  case audit_schema::AuditMessage::ADDENDUM: {
    OVIR_ASSIGN(auto a, read_addendum(in.getAddendum(), present));
    return audit_message{audit_addendum{std::move(a)}};
  }
  case audit_schema::AuditMessage::REVEAL: return read_reveal(in.getReveal());
  case audit_schema::AuditMessage::VOUCH: return read_vouch(in.getVouch());
  }
  return fail(errc::unsupported, "a message about audits of a kind this version does not know");
}

std::size_t size_of(const conviction& c) {
  std::size_t bytes = c.verdicts.size() * (160 + limits::software_bytes_max);
  for (const auto& one : c.receipts) {
    bytes += one.size() + 2 * word_bytes;
  }
  return bytes;
}

/// Words that the parts of variable size need at most.
std::size_t words_of(const audit_message& message) {
  std::size_t bytes = 1'024;
  if (const auto* offer = std::get_if<audit_offer>(&message)) {
    bytes += offer->receipt.size();
  } else if (const auto* question = std::get_if<audit_question>(&message)) {
    bytes += task_bytes(question->task);
  } else if (const auto* shown = std::get_if<audit_reveal>(&message)) {
    bytes += shown->receipt.size();
  } else if (const auto* c = std::get_if<conviction>(&message)) {
    bytes += size_of(*c);
  } else if (const auto* a = std::get_if<audit_accusation>(&message)) {
    bytes += size_of(a->what) + a->capsule.size();
  } else if (const auto* known = std::get_if<audit_known>(&message)) {
    bytes += known->convicted.size() * sizeof(node_id);
  } else if (const auto* standing = std::get_if<audit_standing>(&message)) {
    bytes += standing->nodes.size() * (sizeof(node_id) + sizeof(std::uint32_t));
  } else if (const auto* told = std::get_if<audit_addendum>(&message)) {
    bytes += words_of_addendum(told->what) * word_bytes;
  }
  return bytes / word_bytes + 1;
}

/// Between who asks and who answers. False: the message is of another kind.
bool write_asking(audit_schema::AuditMessage::Builder out, const audit_message& message) {
  if (const auto* q = std::get_if<audit_question>(&message)) {
    auto group = out.initQuestion();
    group.setNumber(q->number);
    write_task(group.initTask(), q->task);
    group.setTokens(data_of(std::as_bytes(std::span{q->task.tokens})));
    group.setTaken(data_of(std::as_bytes(std::span{q->taken})));
  } else if (const auto* a = std::get_if<audit_answer>(&message)) {
    auto group = out.initAnswer();
    group.setNumber(a->number);
    group.setOutcome(data_of(a->outcome));
    group.setProof(data_of(a->proof));
  } else if (const auto* shown = std::get_if<audit_reveal>(&message)) {
    auto group = out.initReveal();
    group.setNumber(shown->number);
    write(group.initPlace(), shown->place);
    group.setReceipt(data_of(std::span<const std::byte>{shown->receipt}));
  } else if (const auto* v = std::get_if<audit_vouch>(&message)) {
    auto group = out.initVouch();
    group.setNumber(v->number);
    group.setComputed(data_of(v->computed));
    write(group.initVerdict(), v->verdict);
  } else {
    return false;
  }
  return true;
}

void write_any(audit_schema::AuditMessage::Builder out, const audit_message& message) {
  out.setVersion(version);
  if (const auto* offer = std::get_if<audit_offer>(&message)) {
    auto group = out.initOffer();
    group.setSuspect(offer->suspect);
    group.setDrawn(offer->drawn);
    group.setReceipt(data_of(std::span<const std::byte>{offer->receipt}));
  } else if (write_asking(out, message)) {
    return;
  } else if (const auto* known = std::get_if<audit_known>(&message)) {
    auto group = out.initKnown();
    group.setAnswer(known->answer);
    group.setConvicted(data_of(std::as_bytes(std::span{known->convicted})));
  } else if (const auto* standing = std::get_if<audit_standing>(&message)) {
    auto group = out.initStanding();
    group.setNodes(data_of(std::as_bytes(std::span{standing->nodes})));
    group.setReputations(data_of(std::as_bytes(std::span{standing->reputations_ppm})));
  } else if (const auto* accused = std::get_if<audit_accusation>(&message)) {
    auto group = out.initAccusation();
    group.setNumber(accused->number);
    write(group.initWhat(), accused->what);
    group.setCapsule(data_of(std::span<const std::byte>{accused->capsule}));
  } else if (const auto* said = std::get_if<audit_defence>(&message)) {
    auto group = out.initDefence();
    group.setNumber(said->number);
    if (said->admission) {
      group.setFault(static_cast<std::uint8_t>(said->admission->fault));
      group.setAdmission(data_of(said->admission->proof));
    }
    if (said->counter) {
      write(group.initCounter(), *said->counter);
    }
  } else if (const auto* told = std::get_if<audit_addendum>(&message)) {
    write_addendum(out.initAddendum(), told->what);
  } else {
    write(out.initConviction(), std::get<conviction>(message));
  }
}

} // namespace

digest verdict_digest(const digest& receipt, const audit_place& place, const digest& computed) {
  return hasher{"ovir/audit/v1/verdict-fields"}
      .update(receipt)
      .update_u32(static_cast<std::uint32_t>(place.part))
      .update_u32(place.window)
      .update_u32(place.layer)
      .update_u32(place.at)
      .update(computed)
      .finish();
}

std::string_view to_string(audit_kernels kernels) noexcept {
  switch (kernels) {
  case audit_kernels::reference: return "reference";
  case audit_kernels::avx2: return "avx2";
  case audit_kernels::avx512: return "avx512";
  case audit_kernels::neon: return "neon";
  }
  return "unknown";
}

namespace {

digest signed_verdict(const digest& receipt, const audit_place& place, const digest& computed,
                      const audit_means& means) {
  return hasher{"ovir/audit/v1/verdict-with-means"}
      .update(verdict_digest(receipt, place, computed))
      .update_u32(static_cast<std::uint32_t>(means.kernels))
      .update_text(means.software)
      .finish();
}

} // namespace

audit_verdict give_verdict(const secret_key& key, const digest& receipt, const audit_place& place,
                           const digest& computed, const audit_means& means) {
  return {key.id(), means,
          key.sign(verdict_domain, bytes_of(signed_verdict(receipt, place, computed, means)))};
}

bool verify_verdict(const audit_verdict& v, const digest& receipt, const audit_place& place,
                    const digest& computed) {
  return verify(v.verifier, verdict_domain,
                bytes_of(signed_verdict(receipt, place, computed, v.means)), v.proof);
}

bool are_two_opinions(std::span<const audit_verdict> verdicts, const operator_of& operators) {
  const auto same_hands = [&](const node_id& a, const node_id& b) {
    return a == b || (operators && operators(a) == operators(b));
  };
  for (std::size_t i = 0; i < verdicts.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (differ_enough(verdicts[i].means.kernels, verdicts[j].means.kernels) &&
          !same_hands(verdicts[i].verifier, verdicts[j].verifier)) {
        return true;
      }
    }
  }
  return false;
}

digest accusation_digest(const conviction& c) {
  hasher h{"ovir/audit/v1/accusation"};
  h.update_u32(static_cast<std::uint32_t>(c.kind)).update(std::as_bytes(std::span{c.guilty.key}));
  for (const auto& one : c.receipts) {
    h.update(verdict_digest(receipt_digest(one), c.place, c.computed));
  }
  return h.finish();
}

namespace {

digest signed_admission(const conviction& c, audit_fault fault) {
  return hasher{"ovir/audit/v1/admission-fields"}
      .update(accusation_digest(c))
      .update_u32(static_cast<std::uint32_t>(fault))
      .finish();
}

} // namespace

audit_admission admit_fault(const secret_key& key, const conviction& c, audit_fault fault) {
  return {fault, key.sign(admission_domain, bytes_of(signed_admission(c, fault)))};
}

bool verify_admission(const audit_admission& a, const conviction& c) {
  return verify(c.guilty, admission_domain, bytes_of(signed_admission(c, a.fault)), a.proof);
}

digest receipt_digest(std::span<const std::byte> receipt) {
  return hash("ovir/audit/v1/receipt", receipt);
}

result<std::vector<std::byte>> encode_audit(const audit_message& message) {
  const std::size_t words = words_of(message);
  if (words * word_bytes > limits::audit_message_bytes_max) {
    return fail(errc::over_limit, "a message about audits of {} bytes; at most {}",
                words * word_bytes, limits::audit_message_bytes_max);
  }
  return write_message<audit_schema::AuditMessage>(
      words, [&](audit_schema::AuditMessage::Builder out) { write_any(out, message); });
}

result<audit_message> decode_audit(std::span<const std::byte> bytes) {
  constexpr std::string_view what = "a message about audits";
  OVIR_ASSIGN(auto message, (read_message<audit_schema::AuditMessage, audit_message>(
                                bytes, limits::audit_message_bytes_max, what,
                                [](audit_schema::AuditMessage::Reader in, std::size_t present) {
                                  return read_any(in, present);
                                })));
  OVIR_ASSIGN(const auto canonical, encode_audit(message));
  OVIR_TRY(same_bytes(canonical, bytes, what));
  return message;
}

} // namespace ovir
