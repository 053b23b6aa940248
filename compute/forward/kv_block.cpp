#include "compute/forward/kv_block.hpp"

#include "messages/limits/cache.hpp"
#include "messages/limits/general.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

// Grammar, also on docs/formats/kv-block.md. Integers are little-endian.
//
//   block = "OVKV", version u16, element u16, layer u32, window u32, heads u32, head_dim u32,
//           positions u32, zero u32, key[32], output[32], K, V, check[32], seal[32], author[32],
//           signature[64]
//   check = H("ovir/kv/v1/block"; all before it)
//   seal = H("ovir/kv/v1/seal"; name of the window, check)
//   signature = Ed25519 of H("ovir/kv/v1/author"; key, output, check, seal)
//   output of the last layer = H("ovir/kv/v1/output"; layer u32, window u32, heads u32,
//                                head_dim u32, K, V)
namespace ovir::compute {

namespace {

static_assert(std::endian::native == std::endian::little, "blocks are little-endian");

constexpr std::array<char, 4> magic{'O', 'V', 'K', 'V'};
constexpr std::uint16_t version = 1;
constexpr std::uint16_t binary16 = 1;
constexpr std::size_t layer_at = 8;
constexpr std::size_t key_at = 32;
constexpr std::size_t output_at = key_at + digest::size;
constexpr std::size_t header_bytes = output_at + digest::size;
constexpr std::uint32_t window_size = limits::window_positions;
static_assert(header_bytes == 96);
constexpr std::string_view author_domain = "ovir/kv/v1/author";
constexpr std::size_t author_bytes = node_id::size + sizeof(signature::bytes);
// From the end, so that they need no shape.
constexpr std::size_t seal_from_end = digest::size + author_bytes;
constexpr std::size_t check_from_end = digest::size + seal_from_end;
static_assert(check_from_end == 160);

std::size_t half_bytes(const kv_shape& shape) noexcept {
  return std::size_t{shape.heads} * window_size * shape.head_dim * sizeof(std::uint16_t);
}

template <class T>
void put(std::vector<std::byte>& to, std::size_t at, T value) {
  std::memcpy(to.data() + at, &value, sizeof(T));
}

template <class T>
T number(std::span<const std::byte> from, std::size_t at) {
  T value{};
  std::memcpy(&value, from.data() + at, sizeof(T));
  return value;
}

digest digest_at(std::span<const std::byte> from, std::size_t at) {
  digest d;
  std::memcpy(d.bytes.data(), from.data() + at, digest::size);
  return d;
}

digest check_of(std::span<const std::byte> block) {
  return hash("ovir/kv/v1/block", block.first(block.size() - check_from_end));
}

digest stated_check(std::span<const std::byte> block) {
  return digest_at(block, block.size() - check_from_end);
}

digest seal_of(std::span<const std::byte> block, const digest& window_name) {
  return hasher{"ovir/kv/v1/seal"}.update(window_name).update(stated_check(block)).finish();
}

/// What an author signs: unit, output, check and seal, one behind the other.
std::array<std::byte, 4 * digest::size> signed_fields(std::span<const std::byte> block) {
  std::array<std::byte, 4 * digest::size> fields{};
  const auto unit = block.subspan(key_at, 2 * digest::size);
  const auto rest = block.last(check_from_end).first(2 * digest::size);
  std::copy(unit.begin(), unit.end(), fields.begin());
  std::copy(rest.begin(), rest.end(), fields.begin() + 2 * digest::size);
  return fields;
}

/// Whether all binary16 numbers are finite: none has an exponent of all ones.
bool all_finite(std::span<const std::byte> numbers) {
  constexpr std::uint16_t exponent = 0x7C00;
  std::uint32_t wrong = 0;
  for (std::size_t at = 0; at < numbers.size(); at += sizeof(std::uint16_t)) {
    const auto bits = number<std::uint16_t>(numbers, at);
    wrong |= static_cast<std::uint32_t>((bits & exponent) == exponent);
  }
  return wrong == 0;
}

result<kv_block_header> header_of(std::span<const std::byte> bytes) {
  if (bytes.size() < header_bytes + check_from_end ||
      std::memcmp(bytes.data(), magic.data(), magic.size()) != 0) {
    return fail(errc::malformed, "{} bytes are no KV block; compute it again", bytes.size());
  }
  if (const auto found = number<std::uint16_t>(bytes, 4); found != version) {
    return fail(errc::unsupported, "a KV block of version {}; this build knows {}", found, version);
  }
  kv_block_header h;
  h.layer = number<std::uint32_t>(bytes, layer_at);
  h.window = number<std::uint32_t>(bytes, layer_at + 4);
  h.shape.heads = number<std::uint32_t>(bytes, layer_at + 8);
  h.shape.head_dim = number<std::uint32_t>(bytes, layer_at + 12);
  if (number<std::uint16_t>(bytes, 6) != binary16 ||
      number<std::uint32_t>(bytes, layer_at + 16) != window_size ||
      number<std::uint32_t>(bytes, layer_at + 20) != 0) {
    return fail(errc::malformed, "a KV block of another element type or window; compute it again");
  }
  if (h.layer >= limits::layers_max || h.window >= limits::context_max / window_size ||
      h.shape.heads == 0 || h.shape.heads > limits::heads_max || h.shape.head_dim == 0 ||
      h.shape.head_dim > limits::head_dim_max ||
      kv_block_bytes(h.shape) > limits::kv_block_bytes_max) {
    return fail(errc::over_limit, "a KV block of layer {}, window {}, {} heads of {} elements",
                h.layer, h.window, h.shape.heads, h.shape.head_dim);
  }
  if (bytes.size() != kv_block_bytes(h.shape)) {
    return fail(errc::malformed, "a KV block has {} bytes where {} belong; compute it again",
                bytes.size(), kv_block_bytes(h.shape));
  }
  h.key = digest_at(bytes, key_at);
  h.output = digest_at(bytes, output_at);
  return h;
}

} // namespace

std::size_t kv_block_bytes(const kv_shape& shape) noexcept {
  return header_bytes + 2 * half_bytes(shape) + check_from_end;
}

result<kv_block> kv_block::decode(bytes_pointer bytes) {
  OVIR_CHECK(bytes != nullptr);
  kv_block block;
  OVIR_ASSIGN(block.header_, header_of(*bytes));
  const std::span<const std::byte> all{*bytes};
  if (stated_check(all) != check_of(all)) {
    return fail(errc::digest_mismatch, "a KV block of layer {}, window {} is damaged",
                block.header_.layer, block.header_.window);
  }
  block.bytes_ = std::move(bytes);
  if (!all_finite(block.keys()) || !all_finite(block.values())) {
    return fail(errc::malformed, "a KV block of layer {}, window {} holds a NaN or infinity",
                block.header_.layer, block.header_.window);
  }
  return block;
}

std::span<const std::byte> kv_block::keys() const noexcept {
  return std::span{*bytes_}.subspan(header_bytes, half_bytes(header_.shape));
}

std::span<const std::byte> kv_block::values() const noexcept {
  const std::size_t half = half_bytes(header_.shape);
  return std::span{*bytes_}.subspan(header_bytes + half, half);
}

node_id kv_block::author() const noexcept { return author_of_kv_block(*bytes_); }

bool kv_block::is_signed() const {
  signature proof;
  std::memcpy(proof.bytes.data(), bytes_->data() + bytes_->size() - proof.bytes.size(),
              proof.bytes.size());
  return verify(author(), author_domain, signed_fields(*bytes_), proof);
}

bool kv_block::is_sealed(const digest& window_name) const {
  return digest_at(*bytes_, bytes_->size() - seal_from_end) == seal_of(*bytes_, window_name);
}

void kv_block::copy_to(kv_cache& to) const {
  const kv_shape& shape = header_.shape;
  const std::size_t first = std::size_t{header_.window} * window_size;
  OVIR_CHECK(to.holds(header_.layer) && to.kv_heads() == shape.heads &&
                 to.head_dim() == shape.head_dim && first + window_size <= to.capacity(),
             header_.layer, header_.window);
  const std::size_t head_bytes = std::size_t{window_size} * shape.head_dim * sizeof(std::uint16_t);
  for (std::uint32_t head = 0; head < shape.heads; ++head) {
    const std::size_t at = first * shape.head_dim;
    std::memcpy(to.keys(header_.layer, head) + at, keys().data() + head * head_bytes, head_bytes);
    std::memcpy(to.values(header_.layer, head) + at, values().data() + head * head_bytes,
                head_bytes);
  }
}

digest kv_output(const kv_block_header& header, std::span<const std::byte> keys,
                 std::span<const std::byte> values) {
  return hasher{"ovir/kv/v1/output"}
      .update_u32(header.layer)
      .update_u32(header.window)
      .update_u32(header.shape.heads)
      .update_u32(header.shape.head_dim)
      .update(keys)
      .update(values)
      .finish();
}

std::vector<std::byte> encode_kv_block(const kv_cache& from, layer_index layer,
                                       std::uint32_t window, const digest& key,
                                       const digest* output) {
  const kv_block_header h{layer, window, {from.kv_heads(), from.head_dim()}, key, {}};
  const std::size_t first = std::size_t{window} * window_size;
  OVIR_CHECK(from.holds(layer) && first + window_size <= from.capacity(), layer, window);
  std::vector<std::byte> bytes(kv_block_bytes(h.shape));
  std::memcpy(bytes.data(), magic.data(), magic.size());
  put(bytes, 4, version);
  put(bytes, 6, binary16);
  put(bytes, layer_at, layer);
  put(bytes, layer_at + 4, window);
  put(bytes, layer_at + 8, h.shape.heads);
  put(bytes, layer_at + 12, h.shape.head_dim);
  put(bytes, layer_at + 16, window_size);
  std::memcpy(bytes.data() + key_at, key.bytes.data(), digest::size);
  const std::size_t half = half_bytes(h.shape);
  const std::size_t head_bytes =
      std::size_t{window_size} * h.shape.head_dim * sizeof(std::uint16_t);
  std::byte* const body = bytes.data() + header_bytes;
  for (std::uint32_t head = 0; head < h.shape.heads; ++head) {
    const std::size_t at = first * h.shape.head_dim;
    std::memcpy(body + head * head_bytes, from.keys(layer, head) + at, head_bytes);
    std::memcpy(body + half + head * head_bytes, from.values(layer, head) + at, head_bytes);
  }
  const digest stated = output != nullptr
                            ? *output
                            : kv_output(h, std::span{bytes}.subspan(header_bytes, half),
                                        std::span{bytes}.subspan(header_bytes + half, half));
  std::memcpy(bytes.data() + output_at, stated.bytes.data(), digest::size);
  const digest check = check_of(bytes);
  std::memcpy(bytes.data() + bytes.size() - check_from_end, check.bytes.data(), digest::size);
  return bytes;
}

void seal_kv_block(std::vector<std::byte>& block, const digest& window_name) {
  const digest seal = seal_of(block, window_name);
  std::memcpy(block.data() + block.size() - seal_from_end, seal.bytes.data(), digest::size);
}

void sign_kv_block(std::vector<std::byte>& block, const secret_key& author) {
  const signature proof = author.sign(author_domain, signed_fields(block));
  std::byte* const tail = block.data() + block.size() - author_bytes;
  std::memcpy(tail, author.id().key.data(), node_id::size);
  std::memcpy(tail + node_id::size, proof.bytes.data(), proof.bytes.size());
}

node_id author_of_kv_block(std::span<const std::byte> block) noexcept {
  node_id author;
  std::memcpy(author.key.data(), block.data() + block.size() - author_bytes, node_id::size);
  return author;
}

bool same_kv_block(std::span<const std::byte> one, std::span<const std::byte> other) noexcept {
  return one.size() == other.size() &&
         std::memcmp(one.data(), other.data(), one.size() - author_bytes) == 0;
}

} // namespace ovir::compute
