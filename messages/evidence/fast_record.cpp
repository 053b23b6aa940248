#include "messages/evidence/fast_record.hpp"

#include "messages/evidence/evidence_codec.hpp"
#include "messages/evidence/fast.capnp.h"
#include "messages/limits/capsule.hpp"

// Grammar: docs/formats/fast-record.md.
namespace ovir {

namespace {

using namespace evidence_codec;
using fast_schema::FastRecord;

constexpr std::uint64_t fast_magic = 0x54534146'5249564fU; // "OVIRFAST"
constexpr std::uint16_t fast_version = 1;
constexpr std::string_view fast_name = "a record of the profile fast";
constexpr std::string_view signature_domain = "ovir/fast/v1/signature";

std::vector<std::byte> write(const fast_record& r) {
  const std::size_t words =
      64 + r.tokens.size() / 2 + r.rows.size() / 2 + r.software.size() / word_bytes;
  return write_message<FastRecord>(words, [&](FastRecord::Builder out) {
    out.setMagic(fast_magic);
    out.setVersion(fast_version);
    out.setLayers(r.layers);
    out.setDim(r.dim);
    out.setPrompt(r.prompt);
    out.setModel(data_of(r.model));
    out.setNode(data_of(std::as_bytes(std::span{r.node.key})));
    out.setSoftware(data_of(std::string_view{r.software}));
    auto tokens = out.initTokens(static_cast<kj::uint>(r.tokens.size()));
    for (std::size_t i = 0; i < r.tokens.size(); ++i) {
      tokens.set(static_cast<kj::uint>(i), r.tokens[i]);
    }
    out.setRows(data_of(std::as_bytes(std::span{r.rows})));
    out.setProof(data_of(r.proof));
  });
}

result<fast_record> read(FastRecord::Reader from, std::size_t present) {
  if (from.getMagic() != fast_magic) {
    return fail(errc::malformed, "these bytes do not begin like {}", fast_name);
  }
  if (from.getVersion() != fast_version) {
    return fail(errc::unsupported, "{} of version {}; this program knows version {}", fast_name,
                from.getVersion(), fast_version);
  }
  fast_record r;
  r.layers = from.getLayers();
  r.dim = from.getDim();
  r.prompt = from.getPrompt();
  OVIR_ASSIGN(r.model, fixed<digest>(from.getModel(), "a digest"));
  OVIR_ASSIGN(r.node, fixed<node_id>(from.getNode(), "a key"));
  OVIR_ASSIGN(r.software, text(from.getSoftware(), limits::software_bytes_max, "a program's name"));
  const auto tokens = from.getTokens();
  OVIR_TRY(all_there(tokens, sizeof(token_id), present, "tokens"));
  for (const token_id id : tokens) {
    r.tokens.push_back(id);
  }
  OVIR_ASSIGN(r.rows, fixed_list<float>(from.getRows(), "rows"));
  OVIR_ASSIGN(r.proof, fixed<signature>(from.getProof(), "a signature"));
  return r;
}

} // namespace

digest fast_record_digest(const fast_record& r) {
  return hasher{"ovir/fast/v1"}
      .update(r.model)
      .update_u32(r.layers)
      .update_u32(r.dim)
      .update_u32(r.prompt)
      .update_u32(static_cast<std::uint32_t>(r.tokens.size()))
      .update(std::as_bytes(std::span{r.tokens}))
      .update(std::as_bytes(std::span{r.node.key}))
      .update_text(r.software)
      .update(std::as_bytes(std::span{r.rows}))
      .finish();
}

void sign(fast_record& r, const secret_key& key) {
  r.node = key.id();
  const digest what = fast_record_digest(r);
  r.proof = key.sign(signature_domain, std::as_bytes(std::span{what.bytes}));
}

bool is_signed(const fast_record& r) {
  const digest what = fast_record_digest(r);
  return verify(r.node, signature_domain, std::as_bytes(std::span{what.bytes}), r.proof);
}

result<void> check(const fast_record& r) {
  if (r.layers == 0 || r.layers > limits::layers_max || r.dim == 0 ||
      r.dim > limits::embedding_max || r.tokens.size() < 2 ||
      r.tokens.size() > std::size_t{limits::context_max} + 1 || r.prompt == 0 ||
      r.prompt >= r.tokens.size() || r.software.size() > limits::software_bytes_max) {
    return fail(errc::malformed, "a record of {} tokens, {} of them asked, and {} layers of {}",
                r.tokens.size(), r.prompt, r.layers, r.dim);
  }
  if (r.rows.size() != std::size_t{r.layers} * r.positions() * r.dim) {
    return fail(errc::malformed, "a record with {} values in its rows where {} belong",
                r.rows.size(), std::size_t{r.layers} * r.positions() * r.dim);
  }
  return {};
}

std::vector<std::byte> encode_fast_record(const fast_record& r) {
  OVIR_CHECK(check(r).has_value());
  return write(r);
}

result<fast_record> decode_fast_record(std::span<const std::byte> bytes) {
  OVIR_ASSIGN(fast_record r, (read_message<FastRecord, fast_record>(
                                 bytes, limits::capsule_bytes_max, fast_name, read)));
  OVIR_TRY(check(r));
  OVIR_TRY(same_bytes(write(r), bytes, fast_name));
  return r;
}

bool is_fast_record(std::span<const std::byte> bytes) noexcept {
  std::uint64_t magic = 0;
  if (bytes.size() >= prefix_bytes + word_bytes + sizeof(magic)) {
    std::memcpy(&magic, bytes.data() + prefix_bytes + word_bytes, sizeof(magic));
  }
  return magic == fast_magic;
}

} // namespace ovir
