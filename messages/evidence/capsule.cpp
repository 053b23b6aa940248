#include "messages/evidence/capsule.hpp"

#include "messages/evidence/capsule.capnp.h"
#include "messages/evidence/evidence_codec.hpp"

// Grammar: docs/formats/capsule.md.
namespace ovir {

namespace {

using namespace evidence_codec;
using capsule_schema::Capsule;

constexpr std::uint64_t capsule_magic = 0x4c535043'5249564fU; // "OVIRCPSL"
constexpr std::uint16_t capsule_version = 1;
constexpr std::string_view capsule_name = "a replay capsule";
constexpr std::size_t piece_bytes = 24; // in a list: two words of data, a pointer

std::vector<std::byte> write(const capsule& c) {
  const std::vector<std::byte> inner = encode_receipt(c.what);
  std::size_t words = 64 + inner.size() / word_bytes;
  for (const capsule_piece& piece : c.pieces) {
    words += 8 + piece.rows.size() * sizeof(float) / word_bytes;
  }
  return write_message<Capsule>(words, [&](Capsule::Builder out) {
    out.setMagic(capsule_magic);
    out.setVersion(capsule_version);
    out.setDim(c.dim);
    out.setReceipt(data_of(std::span{inner}));
    auto pieces = out.initPieces(static_cast<kj::uint>(c.pieces.size()));
    for (std::size_t i = 0; i < c.pieces.size(); ++i) {
      auto one = pieces[static_cast<kj::uint>(i)];
      one.setFirst(c.pieces[i].layers.first);
      one.setLast(c.pieces[i].layers.last);
      one.setPositions(c.pieces[i].positions);
      one.setRows(data_of(std::as_bytes(std::span{c.pieces[i].rows})));
    }
  });
}

result<capsule> read(Capsule::Reader from, std::size_t present) {
  if (from.getMagic() != capsule_magic) {
    return fail(errc::malformed, "these bytes do not begin like {}", capsule_name);
  }
  if (from.getVersion() != capsule_version) {
    return fail(errc::unsupported, "{} of version {}; this program knows version {}", capsule_name,
                from.getVersion(), capsule_version);
  }
  capsule c;
  c.dim = from.getDim();
  const auto inner = from.getReceipt();
  OVIR_ASSIGN(c.what,
              decode_receipt({reinterpret_cast<const std::byte*>(inner.begin()), inner.size()}));
  const auto pieces = from.getPieces();
  OVIR_TRY(all_there(pieces, piece_bytes, present, "pieces"));
  for (const auto one : pieces) {
    capsule_piece piece;
    piece.layers = {one.getFirst(), one.getLast()};
    piece.positions = one.getPositions();
    OVIR_ASSIGN(piece.rows, fixed_list<float>(one.getRows(), "rows"));
    c.pieces.push_back(std::move(piece));
  }
  return c;
}

result<void> check_piece(const capsule_piece& piece, const capsule& c) {
  if (piece.layers.first >= piece.layers.last || piece.layers.last > c.what.asked.layers) {
    return fail(errc::malformed, "a piece of layers [{}, {}) of a model of {} layers",
                piece.layers.first, piece.layers.last, c.what.asked.layers);
  }
  const bool ends = piece.positions == c.what.positions ||
                    (piece.positions < c.what.positions && piece.positions > 0 &&
                     piece.positions % limits::window_positions == 0);
  if (!ends) {
    return fail(errc::malformed,
                "a piece of {} positions of a request of {}; it ends with a window or the request",
                piece.positions, c.what.positions);
  }
  const std::size_t values = piece.layers.first == 0 ? 0 : std::size_t{piece.positions} * c.dim;
  if (piece.rows.size() != values) {
    return fail(errc::malformed, "a piece of layers [{}, {}) with {} values in its rows; it has {}",
                piece.layers.first, piece.layers.last, piece.rows.size(), values);
  }
  return {};
}

} // namespace

result<void> check(const capsule& c) {
  OVIR_TRY(check(c.what));
  if (c.dim == 0 || c.dim > limits::embedding_max) {
    return fail(errc::malformed, "a capsule with rows of {} values; they have 1 to {}", c.dim,
                limits::embedding_max);
  }
  if (c.pieces.empty() || c.pieces.size() > limits::capsule_pieces_max) {
    return fail(errc::malformed, "a capsule of {} pieces; it has 1 to {}", c.pieces.size(),
                limits::capsule_pieces_max);
  }
  for (const capsule_piece& piece : c.pieces) {
    OVIR_TRY(check_piece(piece, c));
  }
  return {};
}

std::vector<std::byte> encode_capsule(const capsule& c) {
  OVIR_CHECK(check(c).has_value());
  return write(c);
}

result<capsule> decode_capsule(std::span<const std::byte> bytes) {
  OVIR_ASSIGN(capsule c, (read_message<Capsule, capsule>(bytes, limits::capsule_bytes_max,
                                                         capsule_name, read)));
  OVIR_TRY(check(c));
  OVIR_TRY(same_bytes(write(c), bytes, capsule_name));
  return c;
}

bool is_capsule(std::span<const std::byte> bytes) noexcept {
  std::uint64_t magic = 0;
  if (bytes.size() >= prefix_bytes + word_bytes + sizeof(magic)) {
    std::memcpy(&magic, bytes.data() + prefix_bytes + word_bytes, sizeof(magic));
  }
  return magic == capsule_magic;
}

} // namespace ovir
