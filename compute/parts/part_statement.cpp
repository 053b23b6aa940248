#include "compute/parts/part_statement.hpp"

#include "compute/model/transcript.hpp"
#include "compute/parts/cut_codec.hpp"
#include "messages/check.hpp"
#include "messages/limits/parts.hpp"
#include "messages/wire/fields.hpp"

#include <algorithm>
#include <string_view>
#include <utility>

// Grammar, also on docs/formats/parts.md:
//
//   statement = 0x53 version:u8 bytes:u32 order first:u32 positions:u8 (together:u16)[positions]
//               input members:u8 (before)[members] leaves:u32 (leaf)[leaves]
//               members:u8 (proof)[members]
//   proof     = ends:u8 (digest)[ends] signature
namespace ovir::compute {

namespace {

constexpr std::uint8_t statement_tag = 0x53; // 'S'
constexpr std::uint8_t statement_version = 1;
constexpr std::string_view signature_domain = "ovir/part/v1/signature";
constexpr std::size_t leaves_max =
    std::size_t{limits::layers_max} * part_lanes * limits::group_members_max;

digest ends_digest(const std::vector<digest>& ends) {
  hasher h{"ovir/part/v1/ends"};
  h.update_u32(static_cast<std::uint32_t>(ends.size()));
  for (const digest& one : ends) {
    h.update(one);
  }
  return h.finish();
}

std::span<const std::byte> bytes_in(const digest& d) { return std::as_bytes(std::span{d.bytes}); }

} // namespace

// Found by their arguments, so not in a namespace of their own.

template <class Io, of_type<part_run> T>
void fields(Io& io, T& r) {
  io(r.first);
  io.template list<std::uint8_t>(r.together, "positions of a window", limits::window_positions);
  io(r.input);
  io.template list<std::uint8_t>(r.before, "members of a group", limits::group_members_max);
  io.template list<std::uint32_t>(r.leaves, "leaves of parts", leaves_max);
}

template <class Io, of_type<part_proof> T>
void fields(Io& io, T& p) {
  io.template list<std::uint8_t>(p.ends, "ends of a pass", limits::window_positions);
  io(p.proof);
}

template <class Io, of_type<part_statement> T>
void fields(Io& io, T& s) {
  if constexpr (Io::reads) {
    io.formed(s.group, "an order", limits::group_order_bytes_max, decode_order);
  } else {
    io.block(encode_order(s.group), "an order", limits::group_order_bytes_max);
  }
  io(s.run);
  io.template list<std::uint8_t>(s.proofs, "members of a group", limits::group_members_max);
}

namespace {

result<void> check_shape(const part_statement& s) {
  const std::size_t members = s.group.cut.members.size();
  const std::size_t layers = s.group.cut.layers.size();
  const std::size_t positions = s.run.together.size();
  if (layers != s.group.cut.blocks.size() || s.run.leaves.size() != layers * part_lanes * members ||
      s.run.before.size() != members || s.proofs.size() != members) {
    return fail(errc::malformed,
                "a statement about parts has {} leaves of {} layers and {} members, {} chains and "
                "{} signatures",
                s.run.leaves.size(), layers, members, s.run.before.size(), s.proofs.size());
  }
  if (positions == 0 || s.run.first >= limits::context_max ||
      s.run.first % limits::window_positions + positions > limits::window_positions) {
    return fail(errc::malformed, "a statement about parts has {} positions from {} on", positions,
                s.run.first);
  }
  const bool sound = std::all_of(s.run.together.begin(), s.run.together.end(), [](auto rows) {
    return rows >= 1 && rows <= limits::prefill_chunk_max;
  });
  return sound ? result<void>{}
               : fail(errc::malformed, "a statement about parts has a pass of no rows, or of more "
                                       "than there can be");
}

} // namespace

part_terms::part_terms(const part_group& group)
    : layers_(group.cut.layers.size()),
      members_(static_cast<std::uint32_t>(group.cut.members.size())) {
  OVIR_CHECK(group.nodes.size() == members_, group.nodes.size());
  hasher h{"ovir/part/v1/group"};
  h.update_text(profile_name);
  h.update(encode_order(group));
  group_ = h.finish();
  for (layer_index l = group.cut.layers.first; l < group.cut.layers.last; ++l) {
    for (std::uint32_t i = 0; i < members_; ++i) {
      names_.push_back(part_name(group.model, group.cut, l, i));
    }
  }
}

digest part_terms::said(const part_run& run, std::uint32_t member) const {
  hasher h{"ovir/part/v1/said"};
  h.update(group_).update_u32(member).update_u32(run.first);
  h.update_u32(static_cast<std::uint32_t>(run.together.size()));
  for (const std::uint16_t rows : run.together) {
    h.update_u32(rows);
  }
  h.update(run.input).update(run.before[member]);
  for (std::uint32_t l = 0; l < layers_; ++l) {
    h.update(name(l, member)).update(run.leaves[leaf_at(l, part_lane::kv, member, members_)]);
    const std::size_t crossed = leaf_at(l, part_lane::queries_keys, 0, members_);
    for (std::size_t i = 0; i < std::size_t{part_lanes - 1} * members_; ++i) {
      h.update(run.leaves[crossed + i]);
    }
  }
  return h.finish();
}

part_proof sign_parts(const secret_key& key, std::vector<digest> ends) {
  const signature proof = key.sign(signature_domain, bytes_in(ends_digest(ends)));
  return {std::move(ends), proof};
}

bool verify_parts(const node_id& by, const part_proof& what) {
  return verify(by, signature_domain, bytes_in(ends_digest(what.ends)), what.proof);
}

std::size_t bytes_of(const part_statement& s) noexcept {
  std::size_t bytes = sizeof s + s.group.nodes.size() * sizeof(node_id) +
                      s.group.cut.blocks.size() * sizeof(layer_cut) +
                      s.group.cut.members.size() * sizeof(member_part) +
                      (s.run.before.size() + s.run.leaves.size()) * digest::size;
  for (const part_proof& p : s.proofs) {
    bytes += sizeof p + p.ends.size() * digest::size;
  }
  return bytes;
}

std::vector<std::byte> encode_statement(const part_statement& s) {
  return tagged_bytes(statement_tag, statement_version, s);
}

result<part_statement> decode_statement(std::span<const std::byte> bytes) {
  if (bytes.size() > limits::part_statement_bytes_max) {
    return fail(errc::over_limit, "a statement about parts of {} bytes; at most {} are allowed",
                bytes.size(), limits::part_statement_bytes_max);
  }
  OVIR_ASSIGN(part_statement s, from_tagged<part_statement>(bytes, statement_tag, statement_version,
                                                            "statement about parts"));
  OVIR_TRY(check_shape(s));
  return s;
}

result<void> check_proofs(const part_statement& s) {
  OVIR_TRY(check_shape(s));
  const part_terms terms{s.group};
  for (std::uint32_t i = 0; i < terms.members(); ++i) {
    const std::vector<digest>& ends = s.proofs[i].ends;
    if (std::find(ends.begin(), ends.end(), terms.said(s.run, i)) == ends.end() ||
        !verify_parts(s.group.nodes[i], s.proofs[i])) {
      return fail(errc::invalid_argument, "member {}, {}, did not sign what is shown of it", i,
                  short_name(s.group.nodes[i]));
    }
  }
  return {};
}

} // namespace ovir::compute
