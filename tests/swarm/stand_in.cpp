#include "tests/swarm/stand_in.hpp"

#include "actors/path/speed_measurement.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

// The linker puts those of the names with `wrap` in the place of `compute::kernels_reference` and
// its kin, which then have the names with `real`.
extern "C" {
// A reference is passed as a pointer is.
const ovir::compute::kernel_set* __real__ZN4ovir7compute17kernels_referenceEv() noexcept;
const ovir::compute::kernel_set* __wrap__ZN4ovir7compute17kernels_referenceEv() noexcept;
const ovir::compute::kernel_set* __real__ZN4ovir7compute12kernels_avx2Ev() noexcept;
const ovir::compute::kernel_set* __wrap__ZN4ovir7compute12kernels_avx2Ev() noexcept;
const ovir::compute::kernel_set* __real__ZN4ovir7compute14kernels_avx512Ev() noexcept;
const ovir::compute::kernel_set* __wrap__ZN4ovir7compute14kernels_avx512Ev() noexcept;
bool __real__ZN4ovir7compute13processor_hasENS0_3isaE(ovir::compute::isa id) noexcept;
bool __wrap__ZN4ovir7compute13processor_hasENS0_3isaE(ovir::compute::isa id) noexcept;
}

#define OVIR_MEASURE_SPEEDS                                                                        \
  "_ZN4ovir6actors14measure_speedsERNS_7compute7segmentERNS1_15parallel_"                          \
  "runnerERKSt8functionIFdvEE"

using measured = ovir::result<ovir::actors::node_speeds>;
measured
real_measure_speeds(ovir::compute::segment& segment, ovir::compute::parallel_runner& runner,
                    const ovir::actors::seconds_clock& now) __asm__("__real_" OVIR_MEASURE_SPEEDS);
measured honest_measure_speeds(
    ovir::compute::segment& segment, ovir::compute::parallel_runner& runner,
    const ovir::actors::seconds_clock& now) __asm__("__wrap_" OVIR_MEASURE_SPEEDS);

namespace ovir::swarm {

namespace {

using compute::attention_task;
using compute::kernel_set;
using compute::preparation;
using compute::quantized_batch;
using compute::weight;

/// The real one, past the linker's wrap.
const kernel_set& real_reference();

class mixer {
public:
  void add(std::uint64_t word) {
    state_ = (state_ ^ word) * 0x9e3779b97f4a7c15U;
    state_ ^= state_ >> 32U;
  }
  void add(const float* x, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) {
      add(std::bit_cast<std::uint32_t>(x[i]));
    }
  }
  void add_bytes(const void* at, std::size_t n) {
    const auto* const bytes = static_cast<const std::byte*>(at);
    for (std::size_t i = 0; i < n; i += sizeof(std::uint64_t)) {
      std::uint64_t word = 0;
      std::memcpy(&word, bytes + i, std::min(sizeof word, n - i));
      add(word);
    }
  }
  [[nodiscard]] std::uint64_t state() const noexcept { return state_; }

private:
  std::uint64_t state_{0x2545f4914f6cdd1dU};
};

/// -1 .. 1, with few bits, so that sums of a few are exact.
float value(std::uint64_t seed, std::uint64_t at) {
  mixer m;
  m.add(seed);
  m.add(at);
  return static_cast<float>(static_cast<std::int32_t>(m.state() >> 52U) - 2048) / 2048.0F;
}

void row_values(std::uint64_t of, const weight& w, std::uint32_t first, std::uint32_t last,
                float* y) {
  for (std::uint32_t r = first; r < last; ++r) {
    std::uint64_t begin = 0;
    std::memcpy(&begin, w.row(r), std::min(sizeof begin, w.row_bytes()));
    y[r] = value(of ^ begin, r);
  }
}

bool quantize(const float* x, quantized_batch& batch, std::uint32_t token) {
  return real_reference().quantize(x, batch, token);
}

void remainder(const float* x, const quantized_batch& batch, std::uint32_t token, float* out) {
  real_reference().remainder(x, batch, token, out);
}

void product(const weight& w, std::uint32_t first, std::uint32_t last, const quantized_batch& x,
             float* y, std::size_t stride, preparation* /*kept*/) {
  for (std::uint32_t t = 0; t < x.tokens; ++t) {
    mixer m;
    m.add_bytes(x.q_row(t), x.cols);
    m.add_bytes(x.k_row(t), x.cols / x.scale_block() * sizeof(std::int32_t));
    m.add(&x.u[t], 1);
    row_values(m.state(), w, first, last, y + t * stride);
  }
}

void product_float(const weight& w, std::uint32_t first, std::uint32_t last, const float* x,
                   std::size_t x_stride, std::uint32_t tokens, float* y, std::size_t y_stride) {
  for (std::uint32_t t = 0; t < tokens; ++t) {
    mixer m;
    m.add(x + t * x_stride, w.cols);
    row_values(m.state(), w, first, last, y + t * y_stride);
  }
}

void rms_norm(const float* x, const float* w, std::uint32_t n, float /*epsilon*/, float* y) {
  for (std::uint32_t i = 0; i < n; ++i) {
    y[i] = x[i] * w[i];
  }
}

void swiglu(const float* gate, const float* up, std::uint32_t n, float* out) {
  for (std::uint32_t i = 0; i < n; ++i) {
    out[i] = gate[i] * up[i];
  }
}

void rotate(float* x, const float* cos_sin, std::uint32_t pairs) {
  for (std::uint32_t i = 0; i < pairs; ++i) {
    const float a = x[2 * i];
    x[2 * i] = a * cos_sin[2 * i];
    x[2 * i + 1] += a * cos_sin[2 * i + 1];
  }
}

void attend(const attention_task& task) {
  std::array<mixer, 4> parts; // side by side, for the processor's sake
  for (std::uint32_t p = task.first; p < task.positions; ++p) {
    mixer& part = parts[p % parts.size()];
    part.add_bytes(task.keys + p * task.stride, task.head_dim * sizeof(std::uint16_t));
    part.add_bytes(task.values + p * task.stride, task.head_dim * sizeof(std::uint16_t));
  }
  mixer kept;
  for (const mixer& part : parts) {
    kept.add(part.state());
  }
  for (std::uint32_t h = 0; h < task.heads; ++h) {
    mixer m;
    m.add(kept.state());
    m.add(task.query + std::size_t{h} * task.head_dim, task.head_dim);
    for (std::uint32_t i = 0; i < task.head_dim; ++i) {
      task.output[std::size_t{h} * task.head_dim + i] = value(m.state(), i);
    }
  }
}

bool add(float* a, const float* b, std::uint32_t n) {
  // Halved, so that it stays small over any number of layers.
  for (std::uint32_t i = 0; i < n; ++i) {
    a[i] = 0.5F * (a[i] + b[i]);
  }
  return true;
}

bool to_half(const float* x, std::uint32_t n, std::uint16_t* out) {
  return real_reference().to_half(x, n, out);
}

const kernel_set& real_reference() { return *__real__ZN4ovir7compute17kernels_referenceEv(); }

bool stands_in = false;

constexpr std::uint64_t products_a_lie = 400;
kernel_set lying;
decltype(kernel_set::product_float) honest_product = nullptr;
std::uint64_t products = 0;
std::uint64_t lies = 0;
bool measures = false; ///< how fast it is: of that nothing is told

void lying_product(const weight& w, std::uint32_t first, std::uint32_t last, const float* x,
                   std::size_t x_stride, std::uint32_t tokens, float* y, std::size_t y_stride) {
  honest_product(w, first, last, x, x_stride, tokens, y, y_stride);
  if (!measures && ++products % products_a_lie == 0) {
    ++lies;
    y[first] = std::bit_cast<float>(std::bit_cast<std::uint32_t>(y[first]) ^ 0x10000U);
  }
}

kernel_set counted;
decltype(kernel_set::product) uncounted_product = nullptr;
decltype(kernel_set::product_float) uncounted_product_float = nullptr;
std::uint64_t units = 0;

void count_units(const weight& w, std::uint32_t rows, std::uint32_t tokens) {
  units += tokens == 0 ? 0 : std::uint64_t{rows} * w.cols * (first_row_units + tokens - 1);
}

void counted_product(const weight& w, std::uint32_t first, std::uint32_t last,
                     const quantized_batch& x, float* y, std::size_t stride, preparation* kept) {
  count_units(w, last - first, x.tokens);
  uncounted_product(w, first, last, x, y, stride, kept);
}

void counted_product_float(const weight& w, std::uint32_t first, std::uint32_t last, const float* x,
                           std::size_t x_stride, std::uint32_t tokens, float* y,
                           std::size_t y_stride) {
  count_units(w, last - first, tokens);
  uncounted_product_float(w, first, last, x, x_stride, tokens, y, y_stride);
}

} // namespace

const kernel_set& kernels_counted(const kernel_set& honest) noexcept {
  counted = honest;
  uncounted_product = honest.product;
  uncounted_product_float = honest.product_float;
  counted.product = counted_product;
  counted.product_float = counted_product_float;
  return counted;
}

std::uint64_t units_counted() noexcept { return units; }

const kernel_set& kernels_lying(const kernel_set& honest) noexcept {
  lying = honest;
  honest_product = honest.product_float;
  lying.product_float = lying_product;
  return lying;
}

std::uint64_t lies_told() noexcept { return lies; }

void forget_lies() noexcept { lies = products = 0; }

void let_stand_in(bool yes) noexcept { stands_in = yes; }

bool stands_in_now() noexcept { return stands_in; }

const kernel_set& kernels_stand_in(compute::isa as) noexcept {
  const auto made = [](compute::isa id) {
    return kernel_set{id,       "stand-in", quantize, remainder, product, product_float,
                      rms_norm, swiglu,     rotate,   attend,    add,     to_half};
  };
  static const std::array sets{made(compute::isa::reference), made(compute::isa::avx2),
                               made(compute::isa::avx512)};
  return sets.at(static_cast<std::size_t>(as));
}

} // namespace ovir::swarm

const ovir::compute::kernel_set* __wrap__ZN4ovir7compute17kernels_referenceEv() noexcept {
  return ovir::swarm::stands_in_now()
             ? &ovir::swarm::kernels_stand_in(ovir::compute::isa::reference)
             : __real__ZN4ovir7compute17kernels_referenceEv();
}

const ovir::compute::kernel_set* __wrap__ZN4ovir7compute12kernels_avx2Ev() noexcept {
  return ovir::swarm::stands_in_now() ? &ovir::swarm::kernels_stand_in(ovir::compute::isa::avx2)
                                      : __real__ZN4ovir7compute12kernels_avx2Ev();
}

const ovir::compute::kernel_set* __wrap__ZN4ovir7compute14kernels_avx512Ev() noexcept {
  return ovir::swarm::stands_in_now() ? &ovir::swarm::kernels_stand_in(ovir::compute::isa::avx512)
                                      : __real__ZN4ovir7compute14kernels_avx512Ev();
}

bool __wrap__ZN4ovir7compute13processor_hasENS0_3isaE(ovir::compute::isa id) noexcept {
  return ovir::swarm::stands_in_now() || __real__ZN4ovir7compute13processor_hasENS0_3isaE(id);
}

measured honest_measure_speeds(ovir::compute::segment& segment,
                               ovir::compute::parallel_runner& runner,
                               const ovir::actors::seconds_clock& now) {
  ovir::swarm::measures = true;
  measured speeds = real_measure_speeds(segment, runner, now);
  ovir::swarm::measures = false;
  return speeds;
}
