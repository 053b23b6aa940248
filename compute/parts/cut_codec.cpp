#include "compute/parts/cut_codec.hpp"

#include "messages/limits/general.hpp"
#include "messages/wire/fields.hpp"

#include <string>

// Grammar, also on docs/formats/parts.md:
//
//   cut    = 0x43 version:u8 first:u32 last:u32 members:u8 (part)[members] layers:u16
//   (layer)[layers] part   = range range range range       ; K/V heads, feed-forward rows, output
//   rows, head rows range  = first:u32 last:u32 layer  = block block                   ; attention,
//   feed-forward block  = output:u8 floats_up_to:u32    ; 1 rows, 2 columns
namespace ovir::compute {

namespace {

constexpr std::uint8_t cut_tag = 0x43; // 'C'
constexpr std::uint8_t cut_version = 1;

} // namespace

// Found by their arguments, so not in a namespace of their own.

template <class Io, of_type<part_range> T>
void fields(Io& io, T& r) {
  io(r.first, r.last);
}

template <class Io, of_type<member_part> T>
void fields(Io& io, T& m) {
  io(m.kv_heads, m.inner, m.rows, m.words);
}

template <class Io, of_type<block_cut> T>
void fields(Io& io, T& b) {
  io(b.output, b.floats_up_to);
}

template <class Io, of_type<layer_cut> T>
void fields(Io& io, T& l) {
  io(l.attention, l.feed_forward);
}

template <class Io, of_type<segment_cut> T>
void fields(Io& io, T& c) {
  io(c.layers.first, c.layers.last);
  io.template list<std::uint8_t>(c.members, "members of a group", limits::group_members_max);
  io.template list<std::uint16_t>(c.blocks, "layers of a cut", limits::layers_max);
}

namespace {

hasher& add_range(hasher& to, const part_range& r) {
  return to.update_u32(r.first).update_u32(r.last);
}

std::string words_of(std::string_view what, const part_range& r) {
  return r.empty() ? fmt::format("no {}", what)
                   : fmt::format("{} {} to {}", what, r.first, r.last - 1);
}

} // namespace

std::vector<std::byte> encode_cut(const segment_cut& cut) {
  return tagged_bytes(cut_tag, cut_version, cut);
}

result<segment_cut> decode_cut(std::span<const std::byte> bytes) {
  return from_tagged<segment_cut>(bytes, cut_tag, cut_version, "cut of a segment");
}

// Columns are those of the input of attn_output and ffn_down, where these are cut by columns: all
// rows then are the part's, and where they are cut by rows, all columns.
digest part_name(const digest& model, const segment_cut& cut, layer_index layer,
                 std::uint32_t member) {
  const member_part& part = cut.members[member];
  const layer_cut& how = cut.of(layer);
  hasher h{"ovir/part/v1"};
  h.update(model).update_u32(layer);
  add_range(h, part.kv_heads);
  add_range(h, part.inner);
  for (const block_cut& block : {how.attention, how.feed_forward}) {
    h.update_u32(static_cast<std::uint32_t>(block.output));
    add_range(h, block.output == output_cut::rows ? part.rows : part_range{});
  }
  return h.finish();
}

std::string describe(const member_part& part, const layer_cut& how) {
  std::string text = words_of("heads", part.kv_heads) + ", " + words_of("feed-forward", part.inner);
  if (how.attention.output == output_cut::rows || how.feed_forward.output == output_cut::rows) {
    text += ", " + words_of("output rows", part.rows);
  }
  return text;
}

} // namespace ovir::compute
