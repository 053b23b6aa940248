// What proofs of a layer's products cost: committing, proving with and without opening, checking.
//
//   build/release/ovir_proof_bench [TYPE [DIM FEED_FORWARD KV [WINDOWS]]]
//
// TYPE is q8_0 or q4_k. A layer of random weights in the shapes of a 1.1B model, WINDOWS of 32
// positions (1); one thread. Prints seconds of the processor and bytes as a JSON object.
#include "verify/freivalds.hpp"
#include "verify/proofs/product_prover.hpp"
#include "verify/proofs/product_rounds.hpp"
#include "verify/proofs/product_verifier.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <random>
#include <string_view>

namespace {

using namespace ovir;
using namespace ovir::proofs;

template <class T>
T must(result<T> r) {
  if (!r) {
    std::fprintf(stderr, "ovir_proof_bench: %s\n", r.error().message.c_str());
    std::exit(4);
  }
  return std::move(r).value();
}

/// Of the processor, so that what else the machine does counts little.
double seconds(const std::function<void()>& work) {
  const std::clock_t begin = std::clock();
  work();
  return static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
}

struct product {
  std::vector<std::byte> bytes;
  compute::weight w;
  tensor_commitment commitment;
};

std::vector<std::byte> random_bytes(compute::tensor_type type, std::size_t size,
                                    std::mt19937_64& chance) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i + 8 <= size; i += 8) {
    const std::uint64_t word = chance();
    std::memcpy(bytes.data() + i, &word, sizeof word);
  }
  const compute::tensor_row& places = *compute::row_of(type);
  for (std::size_t at = 0; at < size; at += places.layout.block_bytes) {
    for (const std::size_t place : {places.d_at, places.dmin_at.value_or(places.d_at)}) {
      const auto half = static_cast<std::uint16_t>(0x1000 + chance() % 0x400); // about 2^-11
      std::memcpy(bytes.data() + at + place, &half, sizeof half);
    }
  }
  return bytes;
}

compute::quantized_batch random_inputs(const compute::weight& w, std::uint32_t tokens,
                                       std::mt19937_64& chance) {
  std::normal_distribution<float> normal{0, 1};
  compute::quantized_batch x;
  x.reshape(compute::form_for(w.type), tokens, w.cols);
  std::vector<float> row(w.cols);
  for (std::uint32_t t = 0; t < x.tokens; ++t) {
    for (float& v : row) {
      v = normal(chance);
    }
    if (!compute::kernels_reference().quantize(row.data(), x, t)) {
      std::exit(4);
    }
  }
  return x;
}

struct layer {
  std::vector<product> products;
  proof_statement statement;
  std::vector<proven_weights> weights;
  double commit_seconds{0};
  double multiply_seconds{0};
};

using shape = std::pair<std::uint32_t, std::uint32_t>; ///< rows, cols

layer make_layer(compute::tensor_type type, std::span<const shape> shapes, std::uint32_t tokens,
                 compute::parallel_runner& runner) {
  layer made;
  std::mt19937_64 chance{7};
  for (const auto& [rows, cols] : shapes) {
    product p;
    p.w = {.type = type, .rows = rows, .cols = cols};
    p.bytes = random_bytes(type, p.w.row_bytes() * rows, chance);
    p.w.data = p.bytes.data();
    made.commit_seconds += seconds([&] {
      p.commitment = must(commit_tensor(p.w, fold_for(p.w.rows, p.w.cols), "w", runner));
    });
    product_claim claim{p.commitment.tensor, random_inputs(p.w, tokens, chance), {}};
    claim.sums.resize(std::size_t{tokens} * rows);
    made.multiply_seconds +=
        seconds([&] { integer_product(p.w, claim.inputs, claim.sums, runner); });
    made.statement.products.push_back(std::move(claim));
    made.products.push_back(std::move(p));
  }
  for (const product& p : made.products) {
    made.weights.push_back({&p.w, &p.commitment.tree});
  }
  return made;
}

} // namespace

int main(int count, char** words) {
  const compute::tensor_type type = count > 1 && std::string_view{words[1]} == "q8_0"
                                        ? compute::tensor_type::q8_0
                                        : compute::tensor_type::q4_k;
  const auto size = [&](int at, std::uint32_t otherwise) {
    return count > at ? static_cast<std::uint32_t>(std::atoi(words[at])) : otherwise;
  };
  const std::uint32_t dim = size(2, 2'048);
  const std::uint32_t wide = size(3, 5'632);
  const std::uint32_t kv = size(4, 256);
  const std::uint32_t tokens = 32 * size(5, 1);
  const shape shapes[] = {{dim, dim},  {kv, dim},   {kv, dim},  {dim, dim},
                          {wide, dim}, {wide, dim}, {dim, wide}};
  compute::serial_runner serial;
  const layer made = make_layer(type, shapes, tokens, serial);
  transcript script;
  product_proof proof;
  std::vector<opened_sum> sums;
  const auto groups = groups_of(made.statement);
  const double absorbing = seconds([&] { absorb_statement(script, made.statement); });
  const double proving = seconds([&] {
    for (const auto& group : groups) {
      sums.push_back(prove_group_sum(made.statement, group, made.weights, serial, script));
    }
  });
  const double opening = seconds([&] {
    for (std::size_t g = 0; g < groups.size(); ++g) {
      for (const std::size_t i : groups[g]) {
        sums[g].proof.openings.push_back(open_columns(made.statement.products[i].weights,
                                                      made.weights[i], sums[g].columns, serial));
      }
      proof.groups.push_back(std::move(sums[g].proof));
    }
  });
  bool holds = false;
  const double checking =
      seconds([&] { holds = verify_products(made.statement, proof).has_value(); });
  std::printf("{\"type\": \"%s\", \"positions\": %u, \"commit_s\": %.3f, "
              "\"plain_product_s\": %.3f, \"absorb_s\": %.4f, \"sum_check_s\": %.3f, "
              "\"open_s\": %.3f, \"verify_s\": %.4f, \"proof_bytes\": %zu, "
              "\"statement_bytes\": %zu, \"holds\": %s}\n",
              compute::name_of(type).data(), tokens, made.commit_seconds, made.multiply_seconds,
              absorbing, proving, opening, checking, encode_proof(proof).size(),
              encode_statement(made.statement).size(), holds ? "true" : "false");
  return holds ? 0 : 1;
}
