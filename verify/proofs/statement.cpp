#include "verify/proofs/statement.hpp"

#include "compute/tensor/tensor.hpp"
#include "messages/limits/prepared.hpp"
#include "messages/wire/bytes.hpp"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace ovir::proofs {

namespace {

using compute::activation_form;
using compute::quantized_batch;

constexpr std::string_view statement_magic = "OVIRSTAT";
constexpr std::uint32_t statement_version = 1;
constexpr std::int32_t k_most = 4'095;
constexpr std::int32_t m_most = 63;

bool in_range(const std::int32_t* from, std::size_t count, std::int32_t most) {
  return std::all_of(from, from + count, [&](std::int32_t v) { return v >= 1 && v <= most; });
}

std::size_t scales_of_row(const quantized_batch& x) { return x.cols / x.scale_block(); }

bool has_size(const quantized_batch& x) {
  const std::size_t rows = x.tokens;
  return x.q.size() >= rows * x.cols && x.k.size() >= rows * scales_of_row(x) &&
         x.m.size() >= rows * (x.cols / 32);
}

result<void> check_inputs(const quantized_batch& x, const committed_tensor& w) {
  if (x.form != compute::form_for(w.type) || x.cols != w.cols || !has_size(x)) {
    return fail(errc::malformed, "its inputs have another form or width than its weights");
  }
  if (x.tokens < 1 || x.tokens > limits::proof_tokens_max) {
    return fail(errc::over_limit, "it has {} tokens; 1 to {} can be proven together", x.tokens,
                limits::proof_tokens_max);
  }
  const std::int32_t most = x.form == activation_form::a256 ? m_most : 1;
  for (std::size_t t = 0; t < x.tokens; ++t) {
    const std::int8_t* const q = x.q_row(t);
    if (std::find(q, q + x.cols, std::int8_t{-128}) != q + x.cols ||
        !in_range(x.k_row(t), scales_of_row(x), k_most) ||
        !in_range(x.m_row(t), x.cols / 32, most)) {
      return fail(errc::malformed, "token {} has activations outside the ranges of exact-1", t);
    }
  }
  return {};
}

result<void> check_product_claim(const product_claim& product) {
  OVIR_TRY(check_tensor(product.weights));
  OVIR_TRY(check_inputs(product.inputs, product.weights));
  if (product.sums.size() != std::size_t{product.inputs.tokens} * product.weights.rows) {
    return fail(errc::malformed, "it has {} sums for {} tokens and {} rows", product.sums.size(),
                product.inputs.tokens, product.weights.rows);
  }
  const auto most =
      static_cast<std::int64_t>(product.weights.row_sum_max * activation_most(product.inputs.form));
  for (const std::int64_t sum : product.sums) {
    if (sum > most || sum < -most) {
      return fail(errc::malformed, "the sum {} is beyond the largest possible one, {}", sum, most);
    }
  }
  return {};
}

void write(byte_writer& out, const committed_tensor& tensor) {
  out.number(static_cast<std::uint32_t>(tensor.type));
  out.number(tensor.rows);
  out.number(tensor.cols);
  out.number(tensor.fold);
  out.number(tensor.row_sum_max);
  out.write(tensor.root);
}

result<committed_tensor> read_tensor(byte_reader& in) {
  const auto raw = in.number<std::uint32_t>();
  const auto type = compute::tensor_type_from(raw);
  if (!type) {
    return fail(errc::unsupported, "tensors of type number {} are unknown here", raw);
  }
  committed_tensor tensor;
  tensor.type = *type;
  tensor.rows = in.number<std::uint32_t>();
  tensor.cols = in.number<std::uint32_t>();
  tensor.fold = in.number<std::uint32_t>();
  tensor.row_sum_max = in.number<std::uint64_t>();
  in.read(tensor.root);
  OVIR_TRY(check_tensor(tensor));
  return tensor;
}

void read_row(byte_reader& in, quantized_batch& x, std::size_t t) {
  std::int8_t* const q = x.q.data() + t * x.cols;
  for (std::size_t c = 0; c < x.cols; ++c) {
    q[c] = static_cast<std::int8_t>(in.number<std::uint8_t>());
    x.sum[(t * x.cols + c) / 32] += q[c];
  }
  for (std::size_t j = 0; j < scales_of_row(x); ++j) {
    x.k[t * scales_of_row(x) + j] = in.number<std::uint16_t>();
  }
  for (std::size_t j = 0; j < x.cols / 32; ++j) {
    x.m[t * (x.cols / 32) + j] = x.form == activation_form::a256 ? in.number<std::uint8_t>() : 1;
  }
}

result<product_claim> read_product(byte_reader& in) {
  product_claim product;
  OVIR_ASSIGN(product.weights, read_tensor(in));
  const auto tokens = in.number<std::uint32_t>();
  const committed_tensor& w = product.weights;
  // What is reserved below is at most a few times what has been sent.
  if (tokens > limits::proof_tokens_max ||
      std::size_t{tokens} * (w.cols + std::size_t{8} * w.rows) > in.rest().size()) {
    return fail(errc::malformed, "it ends before {} tokens", tokens);
  }
  quantized_batch& x = product.inputs;
  x.reshape(compute::form_for(w.type), tokens, w.cols);
  std::fill(x.sum.begin(), x.sum.end(), 0);
  for (std::size_t t = 0; t < tokens; ++t) {
    read_row(in, x, t);
  }
  product.sums.resize(std::size_t{tokens} * w.rows);
  for (std::int64_t& sum : product.sums) {
    sum = static_cast<std::int64_t>(in.number<std::uint64_t>());
  }
  return product;
}

} // namespace

digest commitment_digest(const committed_tensor& tensor) {
  std::vector<std::byte> bytes;
  byte_writer out{bytes};
  write(out, tensor);
  return hash("ovir/proof/v1/tensor", bytes);
}

std::uint64_t activation_most(compute::activation_form form) noexcept {
  constexpr std::uint64_t a32 = std::uint64_t{127} * k_most;
  return form == activation_form::a256 ? a32 * m_most : a32;
}

result<void> check_tensor(const committed_tensor& tensor) {
  const activation_form form = compute::form_for(tensor.type);
  if (form == activation_form::floats || compute::row_of(tensor.type)->fraction_bits != 0) {
    return fail(errc::unsupported, "products with {} are no integers of 2^-24: replay checks them",
                compute::name_of(tensor.type));
  }
  const std::uint32_t block = compute::layout_of(tensor.type).block_elements;
  if (tensor.rows < 1 || tensor.rows > limits::proof_rows_max || tensor.cols < block ||
      tensor.cols > limits::proof_cols_max || tensor.cols % block != 0) {
    return fail(errc::malformed, "a tensor of {} rows of {} cannot be proven", tensor.rows,
                tensor.cols);
  }
  if (!std::has_single_bit(tensor.fold) || tensor.fold > std::bit_ceil(tensor.rows) ||
      std::uint64_t{tensor.fold} * tensor.cols > limits::proof_span_max) {
    return fail(errc::malformed, "{} rows of {} weights do not fold to one of the commitment",
                tensor.fold, tensor.cols);
  }
  if (tensor.row_sum_max > limits::checked_sum_max / activation_most(form)) {
    return fail(errc::over_limit, "its sums may exceed 2^60, too large for the field: replay "
                                  "checks them");
  }
  return {};
}

result<void> check_statement(const proof_statement& statement) {
  const std::size_t count = statement.products.size();
  if (count < 1 || count > limits::proof_products_max) {
    return fail(errc::over_limit, "a statement of {} products; 1 to {} can be proven together",
                count, limits::proof_products_max);
  }
  for (std::size_t i = 0; i < count; ++i) {
    if (const auto checked = check_product_claim(statement.products[i]); !checked) {
      return in_context(fmt::format("product {} of a statement", i), checked.error());
    }
  }
  return {};
}

product_bytes bytes_of(const product_claim& product) {
  product_bytes bytes;
  byte_writer tensor{bytes.tensor};
  write(tensor, product.weights);
  const quantized_batch& x = product.inputs;
  byte_writer inputs{bytes.inputs};
  inputs.number(x.tokens);
  for (std::size_t t = 0; t < x.tokens; ++t) {
    inputs.bytes(x.q_row(t), x.cols);
    for (std::size_t j = 0; j < scales_of_row(x); ++j) {
      inputs.number(static_cast<std::uint16_t>(x.k_row(t)[j]));
    }
    for (std::size_t j = 0; x.form == activation_form::a256 && j < x.cols / 32; ++j) {
      inputs.number(static_cast<std::uint8_t>(x.m_row(t)[j]));
    }
  }
  byte_writer{bytes.sums}.bytes(product.sums.data(), product.sums.size() * sizeof(std::int64_t));
  return bytes;
}

std::vector<std::byte> encode_statement(const proof_statement& statement) {
  std::vector<std::byte> bytes;
  byte_writer out{bytes};
  out.bytes(statement_magic.data(), statement_magic.size());
  out.number(statement_version);
  out.write(statement.context);
  out.number(static_cast<std::uint32_t>(statement.products.size()));
  for (const product_claim& product : statement.products) {
    const product_bytes fields = bytes_of(product);
    for (const auto* part : {&fields.tensor, &fields.inputs, &fields.sums}) {
      out.bytes(part->data(), part->size());
    }
  }
  return bytes;
}

result<proof_statement> decode_statement(std::span<const std::byte> bytes) {
  if (bytes.size() > limits::proof_statement_bytes_max) {
    return fail(errc::over_limit, "a statement of {} bytes; at most {} are read", bytes.size(),
                limits::proof_statement_bytes_max);
  }
  if (bytes.size() < statement_magic.size() ||
      std::memcmp(bytes.data(), statement_magic.data(), statement_magic.size()) != 0) {
    return fail(errc::malformed, "these bytes are no statement of a proof");
  }
  byte_reader in{bytes.subspan(statement_magic.size())};
  if (const auto version = in.number<std::uint32_t>(); version != statement_version) {
    return fail(errc::unsupported, "a statement of version {}; this program reads version {}",
                version, statement_version);
  }
  proof_statement statement;
  in.read(statement.context);
  const auto count = in.number<std::uint32_t>();
  for (std::uint32_t i = 0; i < std::min(count, limits::proof_products_max + 1); ++i) {
    auto product = read_product(in);
    if (!product) {
      return in_context(fmt::format("product {} of a statement", i), product.error());
    }
    statement.products.push_back(std::move(*product));
  }
  OVIR_TRY(check_statement(statement));
  if (!in.finished() || count != statement.products.size()) {
    return fail(errc::malformed, "a statement ends early or goes on behind its last product");
  }
  return statement;
}

} // namespace ovir::proofs
