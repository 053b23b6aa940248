#include "tests/units/random_model.hpp"

#include "compute/base/exact_math.hpp"
#include "compute/make/synth_blocks.hpp"
#include "compute/tensor/quantized_rows.hpp"
#include "tests/support/model/architecture_model.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <utility>

namespace ovir::units {

namespace {

using namespace compute;

constexpr std::uint32_t superblock = 256; ///< elements of the largest blocks
/// Multiplications of a layer for each position.
constexpr std::uint64_t work_min = 10'000;
constexpr std::uint64_t work_max = 70'000;

/// Scale and minimum of a block, as numbers.
struct block_factors {
  float scale;
  float min;
};

/// What weights are before the minimum is taken off, on average; of Q4_1 and Q5_1 it is added.
float centre_of(tensor_type type) {
  switch (type) {
  case tensor_type::q2_k: return 1.5F;
  case tensor_type::q4_k: return 7.5F;
  case tensor_type::q5_k: return 15.5F;
  case tensor_type::q4_1: return -7.5F;
  case tensor_type::q5_1: return -15.5F;
  default: return 0;
  }
}

void put_half(std::byte* at, float value) {
  const std::uint16_t bits = float_to_half(value);
  std::memcpy(at, &bits, sizeof bits);
}

/// Writes the scales of a block whose other bytes are there.
void scale_block(tensor_type type, std::byte* block, float scale) {
  const tensor_row& places = *row_of(type);
  if (!places.half_scales) { // MXFP4: the exponent of a power of two, 2^(e - 128)
    const int exponent = 128 + std::ilogb(scale);
    block[places.d_at] =
        static_cast<std::byte>(std::clamp<int>(exponent, mxfp4_exponent_min, mxfp4_exponent_max));
    return;
  }
  put_half(block + places.d_at, scale);
  if (places.dmin_at) {
    put_half(block + *places.dmin_at, scale * centre_of(type));
  }
}

/// Root of the mean square of a quantised type's weights where all scales are 1.
float size_of_weights(tensor_type type) {
  static const auto sizes = [] {
    std::array<float, tensor_rows.size()> all{};
    constexpr std::uint32_t blocks = 64;
    for (std::size_t i = 0; i < tensor_rows.size(); ++i) {
      const tensor_row& row = tensor_rows[i];
      if (row.decode == nullptr) {
        continue;
      }
      synth_random random{1, i};
      std::vector<std::byte> bytes(std::size_t{blocks} * row.layout.block_bytes);
      random.fill(bytes);
      for (std::size_t at = 0; at < bytes.size(); at += row.layout.block_bytes) {
        scale_block(row.type, &bytes[at], 1);
      }
      std::vector<float> values(std::size_t{blocks} * row.layout.block_elements);
      const weight one{.type = row.type,
                       .rows = 1,
                       .cols = static_cast<std::uint32_t>(values.size()),
                       .data = bytes.data()};
      embed_row(one, 0, values.data());
      double squares = 0;
      for (const float value : values) {
        squares += static_cast<double>(value) * static_cast<double>(value);
      }
      all[i] = static_cast<float>(std::sqrt(squares / static_cast<double>(values.size())));
    }
    return all;
  }();
  return sizes.at(tensor_row_places.at(static_cast<std::size_t>(type)));
}

/// The matrices of one model: few types, as files have them, so that products of one type follow
/// each other.
class matrix_source {
public:
  explicit matrix_source(std::uint64_t seed) : random_(seed, 1) {
    for (auto& [block, types] : palettes_) {
      std::vector<tensor_type> fitting;
      for (const tensor_row& row : tensor_rows) {
        if (row.layout.block_elements == block) {
          fitting.push_back(row.type);
        }
      }
      for (tensor_type& type : types) {
        type = fitting[random_.below(static_cast<std::uint32_t>(fitting.size()))];
      }
      if (block == superblock) { // what most files have
        constexpr std::array usual{tensor_type::q4_k, tensor_type::q5_k, tensor_type::q6_k};
        types[0] = usual[random_.below(usual.size())];
      }
    }
  }

  test::matrix_content make(std::uint32_t rows, std::uint32_t cols) {
    test::matrix_content made{type_for(cols), {}};
    const tensor_layout layout = layout_of(made.type);
    made.bytes.resize(std::size_t{rows} * (cols / layout.block_elements) * layout.block_bytes);
    // Rows of length n times a vector of n elements about 1 give results about 1.
    const float size = 1 / std::sqrt(static_cast<float>(cols));
    if (layout.block_elements == 1) {
      fill_floats(made, size);
      return made;
    }
    random_.fill(made.bytes);
    const float scale = size / size_of_weights(made.type);
    for (std::size_t at = 0; at < made.bytes.size(); at += layout.block_bytes) {
      // From 3/4 to 5/4 of it, of either sign.
      const std::uint32_t drawn = random_.below(512);
      const float spread = 0.75F + static_cast<float>(drawn / 2) / 512.0F;
      const bool negative = drawn % 2 == 1 && row_of(made.type)->half_scales;
      scale_block(made.type, &made.bytes[at], negative ? -scale * spread : scale * spread);
    }
    return made;
  }

private:
  /// Most often of the largest blocks that rows of this length have.
  tensor_type type_for(std::uint32_t cols) {
    for (const auto& [block, types] : palettes_) {
      if (block == 1 || (cols % block == 0 && random_.below(8) > 0)) {
        return types[random_.below(static_cast<std::uint32_t>(types.size()))];
      }
    }
    return tensor_type::f32;
  }
  void fill_floats(test::matrix_content& made, float size) {
    const std::size_t bytes = layout_of(made.type).block_bytes;
    const float bound = size * 1.75F;
    for (std::size_t at = 0; at < made.bytes.size(); at += bytes) {
      const auto drawn = static_cast<float>(random_.below(1U << 24U));
      const float value = bound * (drawn * 0x1p-23F - 1);
      auto bits = std::bit_cast<std::uint32_t>(value);
      if (made.type == tensor_type::f16) {
        bits = float_to_half(value);
      } else if (made.type == tensor_type::bf16) {
        bits >>= 16U;
      }
      std::memcpy(&made.bytes[at], &bits, bytes); // little-endian
    }
  }

  synth_random random_;
  std::array<std::pair<std::uint32_t, std::array<tensor_type, 2>>, 3> palettes_{
      {{superblock, {}}, {32, {}}, {1, {}}}};
};

/// Heads, heads of keys and values, and elements of each, 256 elements together.
constexpr std::array<std::array<std::uint32_t, 3>, 5> wide_heads{
    {{8, 2, 32}, {4, 1, 64}, {16, 4, 16}, {4, 2, 64}, {2, 1, 128}}};

/// At most `room` times 32. Most have room for blocks of 32, few for no blocks at all.
std::uint32_t draw_length(synth_random& random, std::uint32_t room) {
  return random.below(6) == 0 ? 8 * (1 + random.below(4 * room)) : 32 * (1 + random.below(room));
}

/// `wide`: in so many eighths of all models rows of a kind have room for the largest blocks.
test::architecture_shape draw_shape(synth_random& random, std::uint32_t wide) {
  constexpr std::array<std::uint32_t, 5> head_dims{16, 24, 32, 32, 40};
  const auto is_wide = [&] { return random.below(8) < wide; };
  test::architecture_shape shape;
  shape.dim = is_wide() ? superblock : draw_length(random, 4);
  const std::uint32_t room = shape.dim == superblock ? 1 : 3;
  shape.ffn_dim = is_wide() ? superblock : draw_length(random, room);
  shape.expert_dim = is_wide() ? superblock : draw_length(random, room);
  shape.shared_dim = draw_length(random, room);
  if (is_wide()) {
    const auto& [heads, kv_heads, head_dim] = wide_heads[random.below(wide_heads.size())];
    shape.heads = heads;
    shape.kv_heads = kv_heads;
    shape.head_dim = head_dim;
  } else {
    shape.head_dim = head_dims[random.below(head_dims.size())];
    shape.kv_heads = 1 + random.below(std::min(room, 2U));
    shape.heads = shape.kv_heads * (1 + random.below(std::min(room + 1, 3U)));
  }
  return shape;
}

/// Multiplications of a layer for each position, at most.
std::uint64_t work_of(const test::architecture_case& family,
                      const test::architecture_shape& shape) {
  const std::uint32_t inner = family.experts == 0
                                  ? shape.ffn_dim
                                  : family.experts_used * shape.expert_dim + shape.shared_dim;
  const std::uint32_t heads = 2 * (shape.heads + shape.kv_heads) * shape.head_dim;
  return std::uint64_t{shape.dim} * (heads + 3 * inner);
}

} // namespace

std::vector<std::byte> random_model(std::uint64_t seed) {
  static const std::vector<test::architecture_case> families = test::architecture_cases();
  synth_random random{seed, 0};
  const auto& family = families[random.below(static_cast<std::uint32_t>(families.size()))];
  // The reference computes many units, so that most models are small.
  const bool any_size = random.below(32) == 0;
  const std::uint32_t wide = any_size ? 4 : 3;
  test::architecture_shape shape = draw_shape(random, wide);
  while (!any_size && (work_of(family, shape) < work_min || work_of(family, shape) > work_max)) {
    shape = draw_shape(random, wide);
  }
  matrix_source matrices{seed};
  return test::architecture_model(
      family, shape, random.next(),
      [&](std::uint32_t rows, std::uint32_t cols) { return matrices.make(rows, cols); });
}

} // namespace ovir::units
