#include "compute/forward/products.hpp"

#include "compute/base/grain_shares.hpp"
#include "messages/check.hpp"

#include <algorithm>
#include <functional>
#include <memory>

namespace ovir::compute {

namespace {

/// Rows are split in multiples of this, the height of a panel in the fast kernels.
constexpr std::uint32_t row_grain = 16;

/// Products of experts are cut into more parts than there are threads, so that a thread whose
/// processor others use leaves some of its share to the rest.
constexpr std::size_t parts_per_thread = 4;

/// Multiplications that are worth a run of their own: a few microseconds.
constexpr std::uint64_t run_products_min = std::uint64_t{1} << 16U;
} // namespace

form_set forms_of(std::span<const product_group> group) {
  form_set forms;
  for (const product_group& g : group) {
    const bool two = g.terms == input_terms::two;
    switch (form_for(g.matrix->type)) {
    case activation_form::floats: forms.floats = true; break;
    case activation_form::a32: (two ? forms.a32_two : forms.a32) = true; break;
    case activation_form::a256: (two ? forms.a256_two : forms.a256) = true; break;
    }
  }
  return forms;
}

void activations::grow_rows(std::size_t floats) {
  constexpr std::size_t line = 64;
  void* at = grown(floats_, floats + line / sizeof(float));
  std::size_t space = floats_.size() * sizeof(float);
  rows_ = static_cast<float*>(std::align(line, floats * sizeof(float), at, space));
}

void activations::reshape(std::uint32_t tokens, std::uint32_t cols, form_set forms) {
  tokens_ = tokens;
  cols_ = cols;
  forms_ = forms;
  grow_rows(std::size_t{tokens} * cols);
  if (forms.a32) {
    a32_.reshape(activation_form::a32, tokens, cols);
  }
  if (forms.a256) {
    a256_.reshape(activation_form::a256, tokens, cols);
  }
  if (forms.a32_two) {
    a32_two_.reshape(activation_form::a32, 2 * tokens, cols);
  }
  if (forms.a256_two) {
    a256_two_.reshape(activation_form::a256, 2 * tokens, cols);
  }
  if (forms.a32_two || forms.a256_two) {
    grown(remainders_, std::size_t{tokens} * cols);
  }
}

bool activations::quantize(const kernel_set& kernels, std::size_t token) {
  const auto t = static_cast<std::uint32_t>(token);
  bool ok = true;
  if (forms_.a32) {
    ok = kernels.quantize(row(token), a32_, t);
  }
  if (forms_.a256) {
    ok = kernels.quantize(row(token), a256_, t) && ok;
  }
  if (forms_.a32_two) {
    ok = quantize_in_two(kernels, row(token), &remainders_[token * cols_], a32_two_, t) && ok;
  }
  if (forms_.a256_two) {
    ok = quantize_in_two(kernels, row(token), &remainders_[token * cols_], a256_two_, t) && ok;
  }
  return ok;
}

namespace {

/// Copies row `row` of `from` to row `to` of `out`, which have the same form and length.
void copy_row(const quantized_batch& from, std::size_t row, quantized_batch& out, std::size_t to) {
  const std::size_t blocks = from.cols / 32;
  const std::size_t scales = from.cols / from.scale_block();
  std::copy_n(from.q_row(row), from.cols, &out.q[to * from.cols]);
  std::copy_n(from.k_row(row), scales, &out.k[to * scales]);
  std::copy_n(from.m_row(row), blocks, &out.m[to * blocks]);
  std::copy_n(from.sum_row(row), blocks, &out.sum[to * blocks]);
  out.u[to] = from.u[row];
}

/// Rows [from, to) of one product, in a series of its thread's.
void multiply_rows(const kernel_set& kernels, const single_product& p, std::uint32_t from,
                   std::uint32_t to, preparation& kept) {
  const activations& input = *p.input;
  const std::size_t stride = p.matrix->rows;
  switch (form_for(p.matrix->type)) {
  case activation_form::floats:
    kernels.product_float(*p.matrix, from, to, input.row(0), input.cols(), input.tokens(), p.output,
                          stride);
    break;
  case activation_form::a32:
    kernels.product(*p.matrix, from, to, input.a32(p.terms), p.output, stride, &kept);
    break;
  case activation_form::a256:
    kernels.product(*p.matrix, from, to, input.a256(p.terms), p.output, stride, &kept);
    break;
  }
  if (p.terms == input_terms::two) {
    add_second_terms(p.output, input.tokens(), stride, from, to);
  }
}

} // namespace

void activations::gather(const activations& from, std::span<const std::uint32_t> which,
                         form_set forms) {
  OVIR_CHECK(!forms.a32_two && !forms.a256_two); // experts take one term
  tokens_ = static_cast<std::uint32_t>(which.size());
  cols_ = from.cols_;
  forms_ = forms;
  if (forms.floats) {
    grow_rows(which.size() * cols_);
  }
  if (forms.a32) {
    a32_.reshape(activation_form::a32, tokens_, from.a32_.cols);
  }
  if (forms.a256) {
    a256_.reshape(activation_form::a256, tokens_, from.a256_.cols);
  }
  for (std::size_t i = 0; i < which.size(); ++i) {
    if (forms.floats) {
      std::copy_n(from.row(which[i]), cols_, row(i));
    }
    if (forms.a32) {
      copy_row(from.a32_, which[i], a32_, i);
    }
    if (forms.a256) {
      copy_row(from.a256_, which[i], a256_, i);
    }
  }
}

void multiply_each(const kernel_set& kernels, std::span<const single_product> products,
                   parallel_runner& runner) {
  const auto grains_of = [](const single_product& p) {
    return (std::size_t{p.matrix->rows} + row_grain - 1) / row_grain;
  };
  std::size_t cost = 0;
  std::size_t grains = 0;
  for (const single_product& p : products) {
    cost += grains_of(p) * p.input->tokens();
    grains += grains_of(p);
  }
  // A part is a run of grains, of one product or of several. Its bounds are multiples of a share of
  // the cost, so parts of products with more rows have fewer of their matrix's.
  const std::size_t parts =
      std::min(grains, runner.width() * (runner.width() == 1 ? 1 : parts_per_thread));
  const auto some_rows = [&](std::size_t part) {
    const std::size_t from = cost * part / parts;
    const std::size_t to = cost * (part + 1) / parts;
    std::size_t at = 0; ///< cost before the product
    preparation kept;
    for (const single_product& p : products) {
      const std::size_t tokens = p.input->tokens();
      const std::size_t all = grains_of(p) * tokens;
      // A grain belongs to the part in which it begins.
      const auto grain_at = [&](std::size_t bound) {
        return bound <= at ? 0 : std::min((bound - at + tokens - 1) / tokens, grains_of(p));
      };
      const std::size_t first = grain_at(from) * row_grain;
      const std::size_t last = std::min<std::size_t>(grain_at(to) * row_grain, p.matrix->rows);
      if (first < last) {
        multiply_rows(kernels, p, static_cast<std::uint32_t>(first),
                      static_cast<std::uint32_t>(last), kept);
      }
      at += all;
    }
  };
  runner.run(parts, std::cref(some_rows));
}

namespace {

/// Calls `rows_of(run, kept)` for all grains of products with one input.
template <class RowsOf>
void share_out(std::uint32_t grains, const activations& input, parallel_runner& runner,
               const RowsOf& rows_of) {
  const std::size_t parts = std::min<std::size_t>(runner.width(), grains);
  if (parts <= 1) {
    preparation kept;
    rows_of({0, grains}, kept);
    return;
  }
  const std::uint64_t of_grain = std::uint64_t{row_grain} * input.cols() * input.tokens();
  const auto least = static_cast<std::uint32_t>(run_products_min / of_grain + 1);
  grain_shares shares{grains, parts, least};
  const auto product_part = [&](std::size_t part) {
    preparation kept; // runs are many, and the last of them short
    for (grain_run run = shares.take(part); !run.empty(); run = shares.take(part)) {
      rows_of(run, kept);
    }
  };
  runner.run(parts, std::cref(product_part));
}

} // namespace

void multiply(const kernel_set& kernels, const activations& input,
              std::span<const product_group> group, parallel_runner& runner) {
  const auto grains_of = [](const product_group& g) {
    return (g.matrix->rows + row_grain - 1) / row_grain;
  };
  std::uint32_t grains = 0;
  for (const product_group& g : group) {
    grains += grains_of(g);
  }
  const auto rows_of = [&](grain_run run, preparation& kept) {
    for (const product_group& g : group) {
      const std::uint32_t own = grains_of(g);
      const std::uint32_t from = std::min(run.first, own) * row_grain;
      const std::uint32_t to = std::min(std::min(run.last, own) * row_grain, g.matrix->rows);
      if (from < to) {
        multiply_rows(kernels, {&input, g.matrix, g.output, g.terms}, from, to, kept);
      }
      run.first -= std::min(run.first, own);
      run.last -= std::min(run.last, own);
    }
  };
  share_out(grains, input, runner, rows_of);
}

void multiply_alike(const kernel_set& kernels, const activations& input,
                    std::span<const product_group> group, parallel_runner& runner,
                    const std::function<void(std::uint32_t, std::uint32_t)>& done) {
  const std::uint32_t rows = group.front().matrix->rows;
  if (input.tokens() == 1) {
    multiply(kernels, input, group, runner);
    done(0, rows);
    return;
  }
  const auto rows_of = [&](grain_run run, preparation& kept) {
    const std::uint32_t from = run.first * row_grain;
    const std::uint32_t to = std::min(run.last * row_grain, rows);
    for (const product_group& g : group) {
      multiply_rows(kernels, {&input, g.matrix, g.output, g.terms}, from, to, kept);
    }
    done(from, to);
  };
  share_out((rows + row_grain - 1) / row_grain, input, runner, rows_of);
}

} // namespace ovir::compute
