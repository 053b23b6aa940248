#include "verify/units/unit_proof.hpp"

#include "messages/limits/evidence.hpp"
#include "messages/limits/general.hpp"
#include "messages/limits/proofs.hpp"
#include "messages/wire/bytes.hpp"

#include <algorithm>
#include <cstring>
#include <string_view>

namespace ovir::proofs {

namespace {

constexpr std::string_view unit_magic = "OVIRUNIT";
constexpr std::uint32_t unit_version = 1;

void write_digests(byte_writer& out, std::span<const digest> all) {
  for (const digest& d : all) {
    out.write(d);
  }
}

std::vector<digest> read_digests(byte_reader& in, std::size_t count) {
  std::vector<digest> all;
  if (in.rest().size() / digest::size < count) {
    in.skip(in.rest().size() + 1); // remembered as missing
    return all;
  }
  all.resize(count);
  for (digest& d : all) {
    in.read(d);
  }
  return all;
}

void write_head(byte_writer& out, const unit_proof& proof) {
  out.write(proof.receipt);
  out.write(proof.roots);
  out.number(proof.dim);
  out.number(static_cast<std::uint32_t>(proof.pieces.size()));
  for (const proven_piece& piece : proof.pieces) {
    out.number(piece.layer);
    out.number(piece.first);
    out.number(piece.last);
    out.number(piece.positions);
    out.number(static_cast<std::uint32_t>(piece.source));
    write_digests(out, piece.inputs);
    write_digests(out, piece.outputs);
    write_digests(out, piece.kv);
  }
}

result<proven_piece> read_piece(byte_reader& in) {
  proven_piece piece;
  piece.layer = in.number<std::uint32_t>();
  piece.first = in.number<std::uint32_t>();
  piece.last = in.number<std::uint32_t>();
  piece.positions = in.number<std::uint32_t>();
  const auto source = in.number<std::uint32_t>();
  const std::uint64_t most = std::uint64_t{piece.last} * limits::window_positions;
  if (piece.first >= piece.last || piece.last > limits::windows_max || piece.positions > most ||
      piece.positions + limits::window_positions <= most ||
      source > static_cast<std::uint32_t>(row_source::embeddings) ||
      (source == static_cast<std::uint32_t>(row_source::embeddings)) != (piece.layer == 0)) {
    return fail(errc::malformed, "its windows, positions or source are none that a piece can have");
  }
  piece.source = static_cast<row_source>(source);
  piece.inputs = read_digests(in, piece.layer == 0 ? 0 : piece.last);
  piece.outputs = read_digests(in, piece.last - piece.first);
  piece.kv = read_digests(in, piece.last - piece.first);
  return piece;
}

void read_rows(byte_reader& in, std::uint32_t dim, proven_piece& piece) {
  if (piece.source == row_source::computed) {
    return;
  }
  const std::size_t values = std::size_t{piece.positions} * dim;
  if (in.rest().size() / sizeof(float) < values) {
    in.skip(in.rest().size() + 1);
    return;
  }
  piece.rows.resize(values);
  std::memcpy(piece.rows.data(), in.rest().data(), values * sizeof(float));
  in.skip(values * sizeof(float));
  for (position p = 0; piece.source == row_source::embeddings && p < piece.positions && in.sound();
       ++p) {
    const auto levels = in.number<std::uint32_t>();
    if (levels > limits::embedding_path_max) {
      in.skip(in.rest().size() + 1);
      return;
    }
    piece.paths.push_back(read_digests(in, levels));
  }
}

std::vector<std::byte> read_part(byte_reader& in) {
  const auto size = in.number<std::uint32_t>();
  const std::span<const std::byte> rest = in.rest();
  const auto part = rest.first(std::min<std::size_t>(size, rest.size()));
  in.skip(size);
  return {part.begin(), part.end()};
}

} // namespace

digest context_of(const unit_proof& proof) {
  std::vector<std::byte> bytes;
  byte_writer out{bytes};
  write_head(out, proof);
  return hash("ovir/proof/v1/units", bytes);
}

std::vector<std::byte> encode_unit_proof(const unit_proof& proof) {
  std::vector<std::byte> bytes;
  byte_writer out{bytes};
  out.bytes(unit_magic.data(), unit_magic.size());
  out.number(unit_version);
  write_head(out, proof);
  for (const proven_piece& piece : proof.pieces) {
    out.bytes(piece.rows.data(), piece.rows.size() * sizeof(float));
    for (const std::vector<digest>& path : piece.paths) {
      out.number(static_cast<std::uint32_t>(path.size()));
      write_digests(out, path);
    }
  }
  for (const auto* part : {&proof.statement, &proof.proof}) {
    out.number(static_cast<std::uint32_t>(part->size()));
    out.bytes(part->data(), part->size());
  }
  return bytes;
}

result<unit_proof> decode_unit_proof(std::span<const std::byte> bytes) {
  if (bytes.size() > limits::unit_proof_bytes_max) {
    return fail(errc::over_limit, "a proof of units of {} bytes; at most {} are read", bytes.size(),
                limits::unit_proof_bytes_max);
  }
  if (bytes.size() < unit_magic.size() ||
      std::memcmp(bytes.data(), unit_magic.data(), unit_magic.size()) != 0) {
    return fail(errc::malformed, "these bytes are no proof of units");
  }
  byte_reader in{bytes.subspan(unit_magic.size())};
  if (const auto version = in.number<std::uint32_t>(); version != unit_version) {
    return fail(errc::unsupported, "a proof of units of version {}; this program reads version {}",
                version, unit_version);
  }
  unit_proof proof;
  in.read(proof.receipt);
  in.read(proof.roots);
  proof.dim = in.number<std::uint32_t>();
  const auto pieces = in.number<std::uint32_t>();
  if (proof.dim < 1 || proof.dim > limits::embedding_max || pieces < 1 ||
      pieces > limits::unit_proof_pieces_max) {
    return fail(errc::over_limit,
                "a proof of units of {} pieces and rows of {}; it has 1 to {} pieces, and rows of "
                "at most {}",
                pieces, proof.dim, limits::unit_proof_pieces_max, limits::embedding_max);
  }
  for (std::uint32_t i = 0; i < pieces; ++i) {
    auto piece = read_piece(in);
    if (!piece) {
      return in_context(fmt::format("piece {} of a proof", i), piece.error());
    }
    proof.pieces.push_back(std::move(*piece));
  }
  for (proven_piece& piece : proof.pieces) {
    read_rows(in, proof.dim, piece);
  }
  proof.statement = read_part(in);
  proof.proof = read_part(in);
  if (!in.finished()) {
    return fail(errc::malformed, "a proof of units ends early, goes on behind its end, or has a "
                                 "number beyond its range");
  }
  return proof;
}

} // namespace ovir::proofs
