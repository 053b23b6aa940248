#include "compute/devices/gate.hpp"

#include "compute/base/exact_math.hpp"
#include "compute/devices/gate_arithmetic.hpp"
#include "compute/devices/single_runs.hpp"
#include "compute/kernels/kernels.hpp"
#include "compute/kernels/reference/block_operations.hpp"
#include "compute/model/transcript.hpp"
#include "compute/tensor/layouts.hpp"
#include "messages/limits/general.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

namespace ovir::compute {

namespace {

const kernel_set& reference() { return kernels_reference(); }

/// splitmix64: the same inputs on every machine.
class gate_random {
public:
  explicit gate_random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    state_ += 0x9E3779B97F4A7C15U;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27U)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31U);
  }
  std::uint32_t below(std::uint32_t bound) { return static_cast<std::uint32_t>(next() % bound); }
  /// In (-1, 1), of many magnitudes.
  float number() {
    const auto mantissa = static_cast<float>(static_cast<std::int32_t>(next() >> 40U) - (1 << 23));
    return std::ldexp(mantissa, -23 - static_cast<int>(below(12)));
  }
  std::vector<float> numbers(std::size_t n) {
    std::vector<float> out(n);
    std::generate(out.begin(), out.end(), [&] { return number(); });
    return out;
  }

private:
  std::uint64_t state_;
};

/// Compares bits; any NaN equals any other.
class gate_check {
public:
  explicit gate_check(const device_facts& facts) : facts_(facts) {}

  result<void> same(std::string_view what, std::span<const float> got,
                    std::span<const float> wanted) const {
    return same_words(what, got, wanted, [](float a, float b) {
      return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b) ||
             (std::isnan(a) && std::isnan(b));
    });
  }
  template <class T>
  result<void> same_integers(std::string_view what, std::span<const T> got,
                             std::span<const T> wanted) const {
    return same_words(what, got, wanted, [](T a, T b) { return a == b; });
  }

private:
  template <class T, class Same>
  result<void> same_words(std::string_view what, std::span<const T> got, std::span<const T> wanted,
                          const Same& is_same) const {
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      if (i >= got.size() || !is_same(got[i], wanted[i])) {
        return fail(errc::self_test_failed,
                    "the device {} (driver {}) differs from the reference in {}, output {}: {} "
                    "instead of {}; it is not used",
                    facts_.name, facts_.driver, what, i,
                    i < got.size() ? text(got[i]) : std::string{"nothing"}, text(wanted[i]));
      }
    }
    return {};
  }
  template <class T>
  static std::string text(T value) {
    if constexpr (std::is_same_v<T, float>) {
      return fmt::format("{:#010x}", std::bit_cast<std::uint32_t>(value));
    } else {
      return fmt::format("{}", static_cast<std::int64_t>(value));
    }
  }

  const device_facts& facts_;
};

/// Weights with the bytes they point into.
struct gate_weight {
  std::vector<std::byte> bytes;
  weight view;
};

/// How a matrix is filled: any bits, or every one set or cleared, which for each type here is an
/// end of the range of its weights and scales. Block scales are `d` with random signs.
enum class gate_filling : std::uint8_t { random, ones, zeros };

gate_weight make_weight(gate_random& random, tensor_type type, std::uint32_t rows,
                        std::uint32_t cols, gate_filling how, std::uint16_t d) {
  gate_weight out;
  out.view = {.type = type, .rows = rows, .cols = cols};
  out.bytes.resize(out.view.row_bytes() * rows);
  const std::size_t block_bytes = layout_of(type).block_bytes;
  for (std::size_t at = 0; at < out.bytes.size(); at += block_bytes) {
    std::byte* const block = out.bytes.data() + at;
    for (std::size_t i = 0; i < block_bytes; ++i) {
      const auto any = static_cast<std::byte>(random.next());
      block[i] = how == gate_filling::random ? any
                 : how == gate_filling::ones ? std::byte{0xFF}
                                             : std::byte{0};
    }
    if (type == tensor_type::q8_0 && how != gate_filling::random) {
      std::memset(block, how == gate_filling::ones ? 0x7F : 0x80, block_bytes);
    }
    if (type == tensor_type::q6_k && how != gate_filling::random) {
      std::memset(block + layout::q6_k_block::scales, 0x80, 16);
    }
    const tensor_row& places = *row_of(type);
    for (const std::size_t place : {places.d_at, places.dmin_at.value_or(places.d_at)}) {
      const auto bits = static_cast<std::uint16_t>(
          (how == gate_filling::random ? random.below(d + 1U) : d) | (random.below(2) << 15U));
      std::memcpy(block + place, &bits, sizeof bits);
    }
  }
  out.view.data = out.bytes.data();
  return out;
}

quantized_batch make_batch(gate_random& random, activation_form form, std::uint32_t tokens,
                           std::uint32_t cols, bool ends) {
  quantized_batch x;
  x.reshape(form, tokens, cols);
  for (std::size_t i = 0; i < x.q.size(); ++i) {
    const int sign = i / cols % 2 == 0 ? 1 : -1;
    x.q[i] =
        static_cast<std::int8_t>(ends ? 127 * sign : static_cast<int>(random.below(255)) - 127);
  }
  for (std::int32_t& k : x.k) {
    k = ends ? 4095 : static_cast<std::int32_t>(1 + random.below(4095));
  }
  for (std::size_t j = 0; j < x.m.size(); ++j) {
    x.m[j] = form == activation_form::a32 ? 1
             : ends                       ? 63
                                          : static_cast<std::int32_t>(1 + random.below(63));
    x.sum[j] = 0;
    for (std::size_t i = 0; i < 32; ++i) {
      x.sum[j] += x.q[j * 32 + i];
    }
  }
  for (float& u : x.u) {
    u = ends ? 0x1p-100F : std::ldexp(1.0F, -static_cast<int>(random.below(30)));
  }
  return x;
}

class gate {
public:
  explicit gate(device& d) : runs_(d), check_(d.facts()) {}

  result<void> run() {
    OVIR_TRY(arithmetic());
    OVIR_TRY(quantized_activations());
    OVIR_TRY(double_rounding());
    OVIR_TRY(products());
    OVIR_TRY(float_products());
    OVIR_TRY(norms_and_gates());
    OVIR_TRY(rotations());
    OVIR_TRY(sums());
    OVIR_TRY(keys_and_values());
    OVIR_TRY(attention(0, 0));
    OVIR_TRY(attention(100, 30));
    return digests_and_tokens();
  }

private:
  result<void> arithmetic();
  result<void> quantized_activations();
  result<void> double_rounding();
  result<void> products();
  result<void> float_products();
  result<void> norms_and_gates();
  result<void> rotations();
  result<void> sums();
  result<void> keys_and_values();
  result<void> attention(std::uint32_t window, float cap);
  result<void> digests_and_tokens();
  result<void> product(const weight& w, const quantized_batch& x, std::string_view how);

  gate_random random_{46};
  single_runs runs_;
  gate_check check_;
};

result<void> gate::arithmetic() {
  std::vector<std::uint32_t> what;
  std::array<std::vector<std::uint32_t>, 3> operands;
  for (const arithmetic_vector& v : arithmetic_vectors) {
    what.push_back(static_cast<std::uint32_t>(v.operation));
    for (std::size_t i = 0; i < operands.size(); ++i) {
      operands[i].push_back(v.operands[i]);
    }
  }
  OVIR_ASSIGN(const auto got, runs_.arithmetic(what, operands[0], operands[1], operands[2]));
  for (std::size_t i = 0; i < got.size(); ++i) {
    const arithmetic_vector& v = arithmetic_vectors[i];
    OVIR_TRY(check_.same(v.name, std::array{std::bit_cast<float>(got[i])},
                         std::array{std::bit_cast<float>(v.wanted)}));
  }
  return {};
}

result<void> gate::quantized_activations() {
  constexpr std::uint32_t cols = 768;
  constexpr std::uint32_t rows = 8;
  std::vector<float> x = random_.numbers(std::size_t{rows} * cols);
  const auto row = [&](std::size_t r) { return x.begin() + static_cast<std::ptrdiff_t>(r * cols); };
  std::fill(row(1), row(2), -0.0F);
  for (auto at = row(2); at != row(3); ++at) { // subnormals
    *at = std::bit_cast<float>(static_cast<std::uint32_t>(random_.next()) & 0x807FFFFFU);
  }
  for (auto at = row(3); at != row(4); ++at) {
    *at = random_.below(2) == 0 ? std::numeric_limits<float>::max() : -0x1p-149F;
  }
  x[4 * cols + 700] = std::numeric_limits<float>::quiet_NaN();
  x[5 * cols] = -std::numeric_limits<float>::infinity();
  for (const activation_form form : {activation_form::a32, activation_form::a256}) {
    const std::string name = form == activation_form::a32 ? "quantising A32" : "quantising A256";
    OVIR_ASSIGN(const quantized_run got, runs_.quantize(x, rows, form));
    OVIR_ASSIGN(const std::vector<float> rests, runs_.remainder(x, rows, form));
    quantized_batch wanted;
    wanted.reshape(form, rows, cols);
    std::vector<std::uint32_t> failed(rows, 0);
    std::vector<float> wanted_rests = rests;
    for (std::uint32_t r = 0; r < rows; ++r) {
      const float* const from = x.data() + std::size_t{r} * cols;
      failed[r] = reference().quantize(from, wanted, r) ? 0 : 1;
      if (failed[r] != 0) { // the device goes on with zeros
        const std::vector<float> zeros(cols);
        (void)reference().quantize(zeros.data(), wanted, r);
      } else {
        reference().remainder(from, wanted, r, wanted_rests.data() + std::size_t{r} * cols);
      }
    }
    for (std::size_t j = 0; j < wanted.sum.size(); ++j) {
      wanted.sum[j] *= wanted.m[j];
    }
    const auto ints = [](const std::vector<std::int32_t>& v) {
      return std::span<const std::int32_t>{v};
    };
    OVIR_TRY(check_.same(name + " (units)", got.batch.u, wanted.u));
    OVIR_TRY(check_.same_integers(name + " (scales)", ints(got.batch.k), ints(wanted.k)));
    OVIR_TRY(check_.same_integers(name + " (multiples)", ints(got.batch.m), ints(wanted.m)));
    OVIR_TRY(check_.same_integers(name, std::span<const std::int8_t>{got.batch.q},
                                  std::span<const std::int8_t>{wanted.q}));
    OVIR_TRY(check_.same_integers(name + " (sums)", ints(got.batch.sum), ints(wanted.sum)));
    OVIR_TRY(check_.same_integers(name + " (failures)", std::span<const std::uint32_t>{got.failed},
                                  std::span<const std::uint32_t>{failed}));
    OVIR_TRY(check_.same(name + " (second terms)", rests, wanted_rests));
  }
  return {};
}

// S = 2^54 + 2^30 + 1, whose rounding by way of binary64 is another.
result<void> gate::double_rounding() {
  constexpr std::uint32_t blocks = 3;
  gate_weight w;
  w.view = {.type = tensor_type::q8_0, .rows = 1, .cols = blocks * 32};
  w.bytes.resize(blocks * layout::q8_0_block::bytes);
  w.view.data = w.bytes.data();
  quantized_batch x;
  x.reshape(activation_form::a32, 1, blocks * 32);
  std::fill(x.m.begin(), x.m.end(), 1);
  x.u[0] = 1;
  struct part {
    std::uint16_t d; ///< fp16
    std::int32_t k;
    std::int8_t weight;
    std::int8_t q;
    std::size_t elements;
  };
  // D is 2^30, 2^20 and 1; dots are 2^13, 2^5 and 1.
  constexpr std::array<part, blocks> parts{
      {{0x5400, 2048, 64, 4, 32}, {0x2C00, 32, 1, 1, 32}, {0x0001, 1, 1, 1, 1}}};
  for (std::size_t b = 0; b < blocks; ++b) {
    std::byte* const block = w.bytes.data() + b * layout::q8_0_block::bytes;
    std::memcpy(block, &parts[b].d, sizeof parts[b].d);
    x.k[b] = parts[b].k;
    for (std::size_t i = 0; i < parts[b].elements; ++i) {
      block[layout::q8_0_block::weights + i] = static_cast<std::byte>(parts[b].weight);
      x.q[b * 32 + i] = parts[b].q;
      x.sum[b] += parts[b].q;
    }
  }
  OVIR_ASSIGN(const auto got, runs_.product(w.view, x));
  constexpr float wanted = (0x1p+54F + 0x1p+31F) * 0x1p-24F;
  return check_.same("rounding the sum 2^54 + 2^30 + 1", got, std::array{wanted});
}

result<void> gate::product(const weight& w, const quantized_batch& x, std::string_view how) {
  std::vector<float> wanted(std::size_t{x.tokens} * w.rows);
  reference().product(w, 0, w.rows, x, wanted.data(), w.rows, nullptr);
  OVIR_ASSIGN(const auto got, runs_.product(w, x));
  return check_.same(
      fmt::format("the product with {} ({}, {} tokens)", name_of(w.type), how, x.tokens), got,
      wanted);
}

result<void> gate::products() {
  constexpr std::array types{tensor_type::q4_k, tensor_type::q5_k, tensor_type::q6_k,
                             tensor_type::q8_0, tensor_type::q4_0, tensor_type::q3_k,
                             tensor_type::q4_1};
  constexpr std::uint16_t d_of_blocks = 0x4800;      // 2^3: D = 2^27
  constexpr std::uint16_t d_of_superblocks = 0x1C00; // 2^-8: D = 2^16
  for (const tensor_type type : types) {
    const bool is_256 = form_for(type) == activation_form::a256;
    const std::uint32_t cols = is_256 ? 512 : 352; // a group of blocks that is not full
    const std::uint16_t d = is_256 ? d_of_superblocks : d_of_blocks;
    for (const gate_filling how : {gate_filling::random, gate_filling::ones, gate_filling::zeros}) {
      const bool ends = how != gate_filling::random;
      const gate_weight w = make_weight(random_, type, 19, cols, how, d);
      for (const std::uint32_t tokens : {1U, 3U, 9U}) {
        const quantized_batch x = make_batch(random_, form_for(type), tokens, cols, ends);
        OVIR_TRY(product(w.view, x, ends ? "ends of the range" : "random"));
      }
    }
  }
  return {};
}

result<void> gate::float_products() {
  for (const tensor_type type : {tensor_type::f16, tensor_type::bf16, tensor_type::f32}) {
    constexpr std::uint32_t cols = 83;
    constexpr std::uint32_t rows = 17;
    gate_weight w;
    w.view = {.type = type, .rows = rows, .cols = cols};
    w.bytes.resize(w.view.row_bytes() * rows);
    for (std::size_t i = 0; i < std::size_t{rows} * cols; ++i) {
      const float v = random_.number();
      const auto bits = std::bit_cast<std::uint32_t>(v);
      const auto half = static_cast<std::uint16_t>(
          type == tensor_type::f16 ? float_to_half(v * (i % 5 == 0 ? 0x1p-14F : 1.0F))
                                   : bits >> 16U);
      if (type == tensor_type::f32) {
        std::memcpy(w.bytes.data() + 4 * i, &bits, 4);
      } else {
        std::memcpy(w.bytes.data() + 2 * i, &half, 2);
      }
    }
    w.view.data = w.bytes.data();
    for (const std::uint32_t tokens : {1U, 9U}) {
      const std::vector<float> x = random_.numbers(std::size_t{tokens} * cols);
      std::vector<float> wanted(std::size_t{tokens} * rows);
      reference().product_float(w.view, 0, rows, x.data(), cols, tokens, wanted.data(), rows);
      OVIR_ASSIGN(const auto got, runs_.product(w.view, x, tokens));
      OVIR_TRY(check_.same(fmt::format("the product with {}", name_of(type)), got, wanted));
    }
  }
  return {};
}

result<void> gate::norms_and_gates() {
  for (const std::uint32_t n : {5U, 96U, 4100U}) {
    const std::vector<float> x = random_.numbers(3 * std::size_t{n});
    const std::vector<float> w = random_.numbers(n);
    std::vector<float> wanted(x.size());
    for (std::size_t r = 0; r < 3; ++r) {
      reference().rms_norm(x.data() + r * n, w.data(), n, 1e-5F, wanted.data() + r * n);
    }
    OVIR_ASSIGN(const auto got, runs_.rms_norm(x, w, 1e-5F));
    OVIR_TRY(check_.same("RMSNorm", got, wanted));
  }
  constexpr std::size_t n = 4'096;
  std::vector<float> gates(n);
  std::generate(gates.begin(), gates.end(), [&] { return random_.number() * 120; });
  const std::vector<float> up = random_.numbers(n);
  for (const gate_function function : {gate_function::silu, gate_function::gelu}) {
    std::vector<float> wanted(n);
    compute::gated(reference(), function, gates.data(), up.data(), n, wanted.data());
    OVIR_ASSIGN(const auto got, runs_.gated(function, gates, up));
    OVIR_TRY(check_.same(function == gate_function::silu ? "silu" : "gelu", got, wanted));
  }
  return {};
}

result<void> gate::rotations() {
  constexpr std::uint32_t heads = 3;
  constexpr std::uint32_t head_dim = 24;
  constexpr std::uint32_t pairs = 10;
  constexpr std::array<position, 3> positions{0, 7, 3};
  const std::vector<float> x = random_.numbers(positions.size() * heads * head_dim);
  const std::vector<float> table = random_.numbers(8 * pairs * 2);
  for (const rotary_pairs which : {rotary_pairs::neighbours, rotary_pairs::halves}) {
    std::vector<float> wanted = x;
    for (std::size_t i = 0; i < positions.size() * heads; ++i) {
      compute::rotate(reference(), which, wanted.data() + i * head_dim,
                      table.data() + std::size_t{positions[i / heads]} * pairs * 2, pairs);
    }
    OVIR_ASSIGN(const auto got, runs_.rotate(x, heads, head_dim, which, pairs, table, positions));
    OVIR_TRY(check_.same("the rotation", got, wanted));
  }
  return {};
}

result<void> gate::sums() {
  constexpr std::uint32_t rows = 3;
  constexpr std::size_t n = 300;
  std::vector<float> a = random_.numbers(rows * n);
  std::vector<float> b = random_.numbers(rows * n);
  a[n + 7] = b[n + 7] = std::numeric_limits<float>::max();
  OVIR_ASSIGN(const auto got, runs_.add(a, b, rows));
  std::vector<std::uint32_t> failed;
  for (std::size_t r = 0; r < rows; ++r) {
    failed.push_back(reference().add(a.data() + r * n, b.data() + r * n, n) ? 0 : 1);
  }
  OVIR_TRY(check_.same("the residual", got.values, a));
  return check_.same_integers("the residual (failures)", std::span<const std::uint32_t>{got.failed},
                              std::span<const std::uint32_t>{failed});
}

result<void> gate::keys_and_values() {
  constexpr std::uint32_t kv_heads = 2;
  constexpr std::uint32_t head_dim = 10;
  constexpr std::size_t n = kv_heads * head_dim;
  constexpr std::array<std::uint32_t, 2> pages{1, 0};
  constexpr std::array<position, 4> positions{0, 31, 32, 40};
  std::vector<float> k = random_.numbers(positions.size() * n);
  std::vector<float> v = random_.numbers(positions.size() * n);
  std::copy(fp16_edges.begin(), fp16_edges.end(), k.begin());
  v[2 * n] = 65520; // the first that is beyond fp16
  const std::vector<std::uint16_t> before(pages.size() * 2 * n * limits::window_positions, 0x1234);
  OVIR_ASSIGN(const auto got, runs_.store(k, v, kv_heads, head_dim, before, pages, positions));
  std::vector<std::uint16_t> pool = before;
  std::vector<std::uint32_t> failed;
  for (std::size_t r = 0; r < positions.size(); ++r) {
    std::vector<std::uint16_t> halves(2 * n);
    const bool keys = reference().to_half(k.data() + r * n, n, halves.data());
    const bool values = reference().to_half(v.data() + r * n, n, halves.data() + n);
    failed.push_back(keys && values ? 0 : 1);
    for (std::size_t i = 0; i < 2 * n; ++i) {
      const std::size_t head = (pages[positions[r] / 32] * 2 * kv_heads) + i / head_dim;
      pool[(head * 32 + positions[r] % 32) * head_dim + i % head_dim] = halves[i];
    }
  }
  OVIR_TRY(check_.same_integers("fp16 K and V", std::span<const std::uint16_t>{got.pool},
                                std::span<const std::uint16_t>{pool}));
  return check_.same_integers("fp16 K and V (failures)", std::span<const std::uint32_t>{got.failed},
                              std::span<const std::uint32_t>{failed});
}

result<void> gate::attention(std::uint32_t window, float cap) {
  constexpr std::uint32_t heads = 4;
  constexpr std::uint32_t kv_heads = 2;
  constexpr std::uint32_t head_dim = 20;
  constexpr std::uint32_t page_count = 10;
  constexpr std::size_t page = std::size_t{2} * kv_heads * limits::window_positions * head_dim;
  constexpr std::array<position, 5> positions{0, 31, 255, 256, 300};
  std::array<std::uint32_t, page_count> pages{};
  for (std::uint32_t i = 0; i < page_count; ++i) {
    pages[i] = (i * 7 + 3) % page_count;
  }
  std::vector<std::uint16_t> pool(page * page_count);
  std::generate(pool.begin(), pool.end(), [&] { return float_to_half(random_.number()); });
  std::vector<float> q = random_.numbers(positions.size() * heads * head_dim);
  std::for_each(q.begin(), q.end(), [](float& v) { v *= 8; });
  constexpr float scale = 0x1.c9f25cp-3F; // 1 / sqrt(20)
  OVIR_ASSIGN(const auto got, runs_.attend({q, heads, kv_heads, head_dim, pool, pages, positions,
                                            window, scale, cap}));
  std::vector<float> wanted(q.size());
  std::vector<float> scores(positions.back() + 1U);
  for (std::size_t i = 0; i < positions.size() * heads; ++i) {
    const position last = positions[i / heads];
    const std::size_t kv = i % heads / (heads / kv_heads);
    std::array<std::vector<std::uint16_t>, 2> flat; // K and V, [position][head_dim]
    for (position p = 0; p <= last; ++p) {
      for (std::size_t which = 0; which < 2; ++which) {
        const auto* const from =
            pool.data() + pages[p / 32] * page + ((which * kv_heads + kv) * 32 + p % 32) * head_dim;
        flat[which].insert(flat[which].end(), from, from + head_dim);
      }
    }
    reference().attend({.query = q.data() + i * head_dim,
                        .keys = flat[0].data(),
                        .values = flat[1].data(),
                        .stride = head_dim,
                        .positions = last + 1,
                        .first = window != 0 && last >= window ? last + 1 - window : 0,
                        .head_dim = head_dim,
                        .scale = scale,
                        .cap = cap,
                        .scores = scores.data(),
                        .output = wanted.data() + i * head_dim});
  }
  return check_.same(window == 0 ? "attention" : "attention (window and cap)", got, wanted);
}

result<void> gate::digests_and_tokens() {
  constexpr std::uint32_t dim = 40;
  constexpr std::size_t floats = std::size_t{dim} * limits::window_positions;
  const std::vector<float> rows = random_.numbers(2 * floats);
  OVIR_ASSIGN(const auto got, runs_.boundaries(rows, dim, 3, 11));
  for (std::uint32_t i = 0; i < 2; ++i) {
    unit_digests units{{3, 4}};
    units.skip_to(11 + i);
    std::vector<unit_leaf> leaves;
    units.add(3, (11 + i) * limits::window_positions, limits::window_positions,
              std::span{rows}.subspan(i * floats, floats), dim, leaves);
    OVIR_TRY(check_.same_integers("the digest of a boundary",
                                  std::span<const std::uint8_t>{got[i].bytes},
                                  std::span<const std::uint8_t>{leaves[0].boundary.bytes}));
  }
  std::vector<float> logits = random_.numbers(3 * 1000);
  logits[17] = logits[990] = 2; // equal ones: the lower
  std::fill(logits.begin() + 1000, logits.begin() + 2000, -0.0F);
  logits[1999] = 0; // equals them
  std::vector<std::uint32_t> tokens;
  for (auto at = logits.begin(); at != logits.end(); at += 1000) {
    tokens.push_back(static_cast<std::uint32_t>(std::max_element(at, at + 1000) - at));
  }
  OVIR_ASSIGN(const auto found, runs_.highest(logits, 3));
  return check_.same_integers("the highest logit", std::span<const std::uint32_t>{found},
                              std::span<const std::uint32_t>{tokens});
}

} // namespace

result<void> check_vectors(device& d) { return gate{d}.run(); }

} // namespace ovir::compute
