#include "compute/forward/kv_block.hpp"

#include "compute/forward/kv_digest.hpp"
#include "compute/model/transcript.hpp"
#include "messages/check.hpp"
#include "messages/limits/cache.hpp"
#include "messages/limits/general.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

// Grammar, also on docs/formats/kv-block.md. Integers are little-endian.
//
//   block = "OVKV", version u16, element u16, layer u32, window u32, heads u32, head_dim u32,
//           positions u32, zero u32, key[32], model[32], input[32], earlier[32], output[32], K, V,
//           check[32], seal[32], author[32], signature[64]
//   check = H("ovir/kv/v2/block"; all before K, kv), where kv is the digest of K and V
//   seal = H("ovir/kv/v1/seal"; name of the window, check)
//   binding = H("ovir/kv/v2/binding"; key, seal)
//   signature: of the author, over claim and binding (`sign_unit`)
namespace ovir::compute {

namespace {

static_assert(std::endian::native == std::endian::little, "blocks are little-endian");

constexpr std::array<char, 4> magic{'O', 'V', 'K', 'V'};
constexpr std::uint16_t version = 2;
constexpr std::uint16_t binary16 = 1;
constexpr std::size_t layer_at = 8;
constexpr std::size_t key_at = 32;
constexpr std::size_t model_at = key_at + digest::size;
constexpr std::size_t input_at = model_at + digest::size;
constexpr std::size_t earlier_at = input_at + digest::size;
constexpr std::size_t output_at = earlier_at + digest::size;
constexpr std::size_t header_bytes = output_at + digest::size;
constexpr std::uint32_t window_size = limits::window_positions;
static_assert(header_bytes == 192);
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

digest check_of(std::span<const std::byte> header, const digest& kv) {
  static const hasher empty{"ovir/kv/v2/block"};
  return hasher{empty}.update(header).update(kv).finish();
}

digest stated_check(std::span<const std::byte> block) {
  return digest_at(block, block.size() - check_from_end);
}

digest seal_of(std::span<const std::byte> block, const digest& window_name) {
  return hasher{"ovir/kv/v1/seal"}.update(window_name).update(stated_check(block)).finish();
}

digest binding_of(std::span<const std::byte> block) {
  return hasher{"ovir/kv/v2/binding"}
      .update(digest_at(block, key_at))
      .update(digest_at(block, block.size() - seal_from_end))
      .finish();
}

/// `numbers`: K and V, as they lie in a block.
digest kv_of(const kv_block_header& h, std::span<const std::byte> numbers) {
  return kv_digest(h.layer, h.window, window_size, numbers);
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
  h.model = digest_at(bytes, model_at);
  h.input = digest_at(bytes, input_at);
  h.earlier = digest_at(bytes, earlier_at);
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
  kv_block_header& h = block.header_;
  h.kv = kv_of(h, all.subspan(header_bytes, 2 * half_bytes(h.shape)));
  if (stated_check(all) != check_of(all.first(header_bytes), h.kv)) {
    return fail(errc::digest_mismatch, "a KV block of layer {}, window {} is damaged",
                block.header_.layer, block.header_.window);
  }
  block.bytes_ = std::move(bytes);
  if (!is_finite_kv(block.keys()) || !is_finite_kv(block.values())) {
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

unit_citation kv_block::citation() const {
  unit_citation cited{header_.layer, author(), binding_of(*bytes_), {}};
  std::memcpy(cited.proof.bytes.data(), bytes_->data() + bytes_->size() - cited.proof.bytes.size(),
              cited.proof.bytes.size());
  return cited;
}

bool kv_block::is_signed() const {
  const unit_citation cited = citation();
  return verify_unit(cited.author, claim_digest(header_.model, profile_name, header_.claim()),
                     cited.binding, cited.proof);
}

bool kv_block::is_sealed(const digest& window_name) const {
  return digest_at(*bytes_, bytes_->size() - seal_from_end) == seal_of(*bytes_, window_name);
}

void kv_block::copy_to(kv_cache& to) const {
  const kv_shape& shape = header_.shape;
  OVIR_CHECK(to.kv_heads() == shape.heads && to.head_dim() == shape.head_dim, header_.layer,
             header_.window);
  copy_kv(std::span{*bytes_}.subspan(header_bytes, 2 * half_bytes(shape)), to, header_.layer,
          header_.window, window_size);
}

std::vector<std::byte> encode_kv_block(const kv_cache& from, kv_block_header what) {
  what.shape = {from.kv_heads(), from.head_dim()};
  OVIR_CHECK(from.holds(what.layer) &&
                 (std::size_t{what.window} + 1) * window_size <= from.capacity(),
             what.layer, what.window);
  std::vector<std::byte> bytes(kv_block_bytes(what.shape));
  std::memcpy(bytes.data(), magic.data(), magic.size());
  put(bytes, 4, version);
  put(bytes, 6, binary16);
  put(bytes, layer_at, what.layer);
  put(bytes, layer_at + 4, what.window);
  put(bytes, layer_at + 8, what.shape.heads);
  put(bytes, layer_at + 12, what.shape.head_dim);
  put(bytes, layer_at + 16, window_size);
  put(bytes, key_at, what.key.bytes);
  put(bytes, model_at, what.model.bytes);
  put(bytes, input_at, what.input.bytes);
  put(bytes, earlier_at, what.earlier.bytes);
  put(bytes, output_at, what.output.bytes);
  const std::vector<std::byte> numbers = kv_bytes(from, what.layer, what.window, window_size);
  std::memcpy(bytes.data() + header_bytes, numbers.data(), numbers.size());
  const std::span<const std::byte> all{bytes};
  const digest kv = what.kv == digest{} ? kv_of(what, numbers) : what.kv;
  put(bytes, bytes.size() - check_from_end, check_of(all.first(header_bytes), kv).bytes);
  return bytes;
}

void seal_kv_block(std::vector<std::byte>& block, const digest& window_name) {
  const digest seal = seal_of(block, window_name);
  std::memcpy(block.data() + block.size() - seal_from_end, seal.bytes.data(), digest::size);
}

void sign_kv_block(std::vector<std::byte>& block, const secret_key& author) {
  const auto header = header_of(block);
  OVIR_CHECK(header.has_value());
  unit_claim what = header->claim();
  what.kv = kv_of(*header, std::span{block}.subspan(header_bytes, 2 * half_bytes(header->shape)));
  const signature proof =
      sign_unit(author, claim_digest(header->model, profile_name, what), binding_of(block));
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
