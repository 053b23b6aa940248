#include "compute/parts/head_statement.hpp"

#include "compute/model/transcript.hpp"
#include "messages/limits/parts.hpp"
#include "messages/wire/fields.hpp"

#include <string_view>

// Grammar, also on docs/formats/parts.md:
//
//   head = 0x48 version:u8 bytes:u32 order row members:u8 (logits)[members] members:u8
//          (signature)[members]
namespace ovir::compute {

namespace {

constexpr std::uint8_t head_tag = 0x48; // 'H'
constexpr std::uint8_t head_version = 1;
constexpr std::string_view head_domain = "ovir/part/v1/head-signature";

std::span<const std::byte> bytes_of_digest(const digest& d) {
  return std::as_bytes(std::span{d.bytes});
}

} // namespace

// Found by its argument, so not in a namespace of its own.
template <class Io, of_type<head_statement> T>
void fields(Io& io, T& s) {
  if constexpr (Io::reads) {
    io.formed(s.group, "an order", limits::group_order_bytes_max, decode_order);
  } else {
    io.block(encode_order(s.group), "an order", limits::group_order_bytes_max);
  }
  io(s.row);
  io.template list<std::uint8_t>(s.logits, "members of a group", limits::group_members_max);
  io.template list<std::uint8_t>(s.proofs, "members of a group", limits::group_members_max);
}

head_terms::head_terms(const part_group& group) {
  hasher h{"ovir/part/v1/group"};
  h.update_text(profile_name);
  h.update(encode_order(group));
  group_ = h.finish();
  for (const member_part& part : group.cut.members) {
    words_.push_back(part.words);
  }
}

digest head_terms::said(const digest& row, const digest& logits, std::uint32_t member) const {
  return hasher{"ovir/part/v1/head"}
      .update(group_)
      .update_u32(member)
      .update_u32(words_[member].first)
      .update_u32(words_[member].last)
      .update(row)
      .update(logits)
      .finish();
}

signature sign_head(const secret_key& key, const digest& said) {
  return key.sign(head_domain, bytes_of_digest(said));
}

bool verify_head(const node_id& by, const digest& said, const signature& proof) {
  return verify(by, head_domain, bytes_of_digest(said), proof);
}

std::size_t bytes_of(const head_statement& s) noexcept {
  return sizeof s + s.group.nodes.size() * sizeof(node_id) +
         s.group.cut.blocks.size() * sizeof(layer_cut) +
         s.group.cut.members.size() * sizeof(member_part) + s.logits.size() * digest::size +
         s.proofs.size() * sizeof(signature);
}

std::vector<std::byte> encode_head(const head_statement& s) {
  return tagged_bytes(head_tag, head_version, s);
}

result<head_statement> decode_head(std::span<const std::byte> bytes) {
  OVIR_ASSIGN(head_statement s,
              from_tagged<head_statement>(bytes, head_tag, head_version, "statement about logits"));
  const std::size_t members = s.group.nodes.size();
  if (s.logits.size() != members || s.proofs.size() != members) {
    return fail(errc::malformed,
                "a statement about logits of {} members has {} digests and {} "
                "signatures",
                members, s.logits.size(), s.proofs.size());
  }
  return s;
}

bool is_head(std::span<const std::byte> bytes) noexcept {
  return !bytes.empty() && std::to_integer<std::uint8_t>(bytes.front()) == head_tag;
}

result<void> check_proofs(const head_statement& s) {
  const head_terms terms{s.group};
  for (std::uint32_t i = 0; i < s.group.nodes.size(); ++i) {
    if (!verify_head(s.group.nodes[i], terms.said(s.row, s.logits[i], i), s.proofs[i])) {
      return fail(errc::invalid_argument, "member {}, {}, did not sign the logits that are shown",
                  i, short_name(s.group.nodes[i]));
    }
  }
  return {};
}

} // namespace ovir::compute
