#include "compute/parts/part_group.hpp"

#include "compute/parts/cut_codec.hpp"
#include "messages/limits/parts.hpp"
#include "messages/wire/fields.hpp"

#include <set>

// Grammar, also on docs/formats/parts.md:
//
//   order = 0x47 version:u8 model:digest nodes:u8 (node id:32 bytes)[nodes] bytes:u32 cut
namespace ovir::compute {

namespace {

constexpr std::uint8_t order_tag = 0x47; // 'G'
constexpr std::uint8_t order_version = 1;

} // namespace

// Found by its argument, so not in a namespace of its own.
template <class Io, of_type<part_group> T>
void fields(Io& io, T& o) {
  io(o.model);
  io.template list<std::uint8_t>(o.nodes, "nodes of a group", limits::group_members_max);
  if constexpr (Io::reads) {
    io.formed(o.cut, "a cut", limits::group_order_bytes_max, decode_cut);
  } else {
    io.block(encode_cut(o.cut), "a cut", limits::group_order_bytes_max);
  }
}

std::vector<std::byte> encode_order(const part_group& order) {
  return tagged_bytes(order_tag, order_version, order);
}

result<part_group> decode_order(std::span<const std::byte> bytes) {
  OVIR_ASSIGN(part_group order,
              from_tagged<part_group>(bytes, order_tag, order_version, "order of a group"));
  const std::set<node_id> apart(order.nodes.begin(), order.nodes.end());
  if (order.nodes.size() != order.cut.members.size() || apart.size() != order.nodes.size()) {
    return fail(errc::malformed, "a group of {} different nodes, {} named, with {} parts",
                apart.size(), order.nodes.size(), order.cut.members.size());
  }
  return order;
}

} // namespace ovir::compute
