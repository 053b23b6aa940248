#include "verify/proofs/product_proof.hpp"

#include "messages/wire/bytes.hpp"
#include "verify/proofs/reed_solomon.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

namespace ovir::proofs {

namespace {

constexpr std::string_view proof_magic = "OVIRPROF";
constexpr std::uint32_t proof_version = 1;
/// Levels of a tree over the longest words, 2^16 symbols times 8.
constexpr std::uint32_t path_most = 19;
static_assert(std::uint64_t{1} << path_most ==
              std::uint64_t{limits::proof_span_max} / 2 * code_blowup);
/// Variables of a column's number.
constexpr std::uint32_t rounds_most = 17;
static_assert(std::uint32_t{1} << rounds_most == limits::proof_cols_max);

void write(byte_writer& out, std::span<const element> elements) {
  for (const element& e : elements) {
    out.number(e.re);
    out.number(e.im);
  }
}

element read_element(byte_reader& in, bool& canonical) {
  element e;
  e.re = in.number<std::uint64_t>();
  e.im = in.number<std::uint64_t>();
  canonical = canonical && e.re < prime && e.im < prime;
  return e;
}

/// `count` elements, where so many are left.
std::vector<element> read_elements(byte_reader& in, std::size_t count, bool& canonical) {
  std::vector<element> elements;
  if (in.rest().size() / sizeof(element) < count) {
    in.skip(in.rest().size() + 1); // remembered as missing
    return elements;
  }
  elements.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    elements.push_back(read_element(in, canonical));
  }
  return elements;
}

std::vector<column_opening> read_openings(byte_reader& in, bool& canonical) {
  const auto rows = in.number<std::uint32_t>();
  const auto levels = in.number<std::uint32_t>();
  std::vector<column_opening> openings;
  if (rows < 1 || rows > limits::proof_rows_max || levels < 1 || levels > path_most ||
      in.rest().size() / opened_columns < rows * sizeof(element) + levels * digest::size) {
    in.skip(in.rest().size() + 1);
    return openings;
  }
  openings.resize(opened_columns);
  for (column_opening& opening : openings) {
    opening.symbols = read_elements(in, rows, canonical);
    opening.path.resize(levels);
    for (digest& node : opening.path) {
      in.read(node);
    }
  }
  return openings;
}

group_proof read_group(byte_reader& in, std::size_t products_left, bool& canonical) {
  group_proof group;
  const auto rounds = std::min(in.number<std::uint32_t>(), rounds_most + 1);
  for (std::uint32_t i = 0; i < rounds && in.sound(); ++i) {
    const element at_0 = read_element(in, canonical);
    group.rounds.push_back({at_0, read_element(in, canonical)});
  }
  canonical = canonical && rounds <= rounds_most;
  group.combined = read_elements(in, in.number<std::uint32_t>(), canonical);
  canonical = canonical && group.combined.size() <= limits::proof_span_max;
  const auto products = in.number<std::uint32_t>();
  canonical = canonical && products >= 1 && products <= products_left;
  for (std::uint32_t i = 0; i < products && in.sound() && canonical; ++i) {
    group.openings.push_back(read_openings(in, canonical));
  }
  return group;
}

} // namespace

std::vector<std::vector<std::size_t>> groups_of(const proof_statement& statement) {
  std::vector<std::vector<std::size_t>> groups;
  for (std::size_t i = 0; i < statement.products.size(); ++i) {
    const committed_tensor& w = statement.products[i].weights;
    const auto same = std::find_if(groups.begin(), groups.end(), [&](const auto& group) {
      const committed_tensor& other = statement.products[group.front()].weights;
      return other.cols == w.cols && other.fold == w.fold;
    });
    if (same == groups.end()) {
      groups.push_back({i});
    } else {
      same->push_back(i);
    }
  }
  return groups;
}

std::vector<std::byte> encode_proof(const product_proof& proof) {
  std::vector<std::byte> bytes;
  byte_writer out{bytes};
  out.bytes(proof_magic.data(), proof_magic.size());
  out.number(proof_version);
  out.number(static_cast<std::uint32_t>(proof.groups.size()));
  for (const group_proof& group : proof.groups) {
    out.number(static_cast<std::uint32_t>(group.rounds.size()));
    for (const round_message& round : group.rounds) {
      write(out, std::array{round.at_0, round.square});
    }
    out.number(static_cast<std::uint32_t>(group.combined.size()));
    write(out, group.combined);
    out.number(static_cast<std::uint32_t>(group.openings.size()));
    for (const auto& openings : group.openings) {
      const column_opening& first = openings.front();
      out.number(static_cast<std::uint32_t>(first.symbols.size()));
      out.number(static_cast<std::uint32_t>(first.path.size()));
      for (const column_opening& opening : openings) {
        write(out, opening.symbols);
        for (const digest& node : opening.path) {
          out.write(node);
        }
      }
    }
  }
  return bytes;
}

result<product_proof> decode_proof(std::span<const std::byte> bytes) {
  if (bytes.size() > limits::proof_bytes_max) {
    return fail(errc::over_limit, "a proof of {} bytes; at most {} are read", bytes.size(),
                limits::proof_bytes_max);
  }
  if (bytes.size() < proof_magic.size() ||
      std::memcmp(bytes.data(), proof_magic.data(), proof_magic.size()) != 0) {
    return fail(errc::malformed, "these bytes are no proof");
  }
  byte_reader in{bytes.subspan(proof_magic.size())};
  if (const auto version = in.number<std::uint32_t>(); version != proof_version) {
    return fail(errc::unsupported, "a proof of version {}; this program reads version {}", version,
                proof_version);
  }
  product_proof proof;
  bool canonical = true;
  std::size_t products = 0;
  const auto groups = in.number<std::uint32_t>();
  if (groups > limits::proof_products_max) {
    return fail(errc::over_limit, "a proof of {} groups; at most {} are read", groups,
                limits::proof_products_max);
  }
  for (std::uint32_t i = 0; i < groups && in.sound() && canonical; ++i) {
    proof.groups.push_back(read_group(in, limits::proof_products_max - products, canonical));
    products += proof.groups.back().openings.size();
  }
  if (!canonical || !in.finished()) {
    return fail(errc::malformed,
                "a proof ends early, goes on behind its end, or has a number beyond its range");
  }
  return proof;
}

} // namespace ovir::proofs
