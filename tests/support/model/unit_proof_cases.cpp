#include "tests/support/model/unit_proof_cases.hpp"

#include "messages/wire/bytes.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "tests/support/model/kernel_inputs.hpp"
#include "tests/support/model/proof_cases.hpp"
#include "verify/proofs/product_rounds.hpp"
#include "verify/units/commit_model.hpp"
#include "verify/units/piece_walk.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <iterator>
#include <utility>

namespace ovir::test {

namespace {

using proofs::committed_tensor;
using proofs::proof_statement;
using proofs::proven_piece;
using proofs::proven_weights;
using proofs::unit_proof;

constexpr std::uint32_t tiny_prompt = 3;
constexpr std::uint32_t tiny_output = 2;

/// The matrices of a piece in the order of its products.
std::vector<unit_matrix> order_of(const proven_piece& piece, std::uint32_t layers) {
  std::vector<unit_matrix> all{unit_matrix::k,      unit_matrix::v,    unit_matrix::q,
                               unit_matrix::output, unit_matrix::gate, unit_matrix::up,
                               unit_matrix::down};
  if (piece.layer + 1 == layers) {
    all.push_back(unit_matrix::head);
  }
  return all;
}

const compute::weight& weight_in(const compute::model& m, layer_index layer, unit_matrix which) {
  const compute::layer_weights& w = m.layers[layer];
  const compute::weight* const all[] = {&w.attn_q,   &w.attn_k, &w.attn_v,   &w.attn_output,
                                        &w.ffn_gate, &w.ffn_up, &w.ffn_down, &m.output};
  return *all[static_cast<std::size_t>(which)];
}

} // namespace

told_receipt::told_receipt(receipt what) : r(std::move(what)), bytes(encode_receipt(r)) {
  const auto found = compute::check_receipt(r, {compute::signer_policy::kind::any, {}});
  EXPECT_TRUE(found.empty()) << found.front().what;
}

unit_scene::unit_scene(std::vector<std::byte> model_bytes, std::uint32_t prompt,
                       std::uint32_t output, std::optional<boundary_lie> lie)
    : model(std::move(model_bytes)), computed(cast, model, prompt, output, lie), told(computed.r) {
  compute::serial_runner serial;
  roots = proofs::shape_of(compute::manifest_of(model.file()).value()).value();
  EXPECT_TRUE(proofs::fill_vectors(model.file(), roots, serial));
  for (std::size_t i = 0; i < roots.matrices.size(); ++i) {
    if (roots.matrices[i].rows > 0) {
      auto made = proofs::commit_matrix(model.file(), roots, i, serial).value();
      roots.matrices[i] = made.tensor;
      trees.emplace(made.tensor.root, std::move(made.tree));
    }
  }
  roots_bytes = encode_roots(roots);
}

result<unit_proof> unit_scene::prove(std::vector<proofs::unit_choice> choices,
                                     const told_receipt& about) const {
  compute::serial_runner serial;
  const proofs::proof_material from{
      &about.r,
      hash_plain(about.bytes),
      &model.get(),
      &roots,
      hash_plain(roots_bytes),
      [&](const committed_tensor& tensor, const compute::weight&, std::string_view) {
        return result<proofs::column_tree>{trees.at(tensor.root)};
      }};
  return prove_units(from, choices, *compute::select_kernels(std::nullopt).value(), serial);
}

std::vector<compute::receipt_failure> unit_scene::check(std::span<const std::byte> proof,
                                                        const told_receipt& about) const {
  compute::serial_runner serial;
  const auto failed = [](const error& why) {
    return std::vector<compute::receipt_failure>{
        {why.message, std::nullopt, std::nullopt, std::nullopt}};
  };
  const auto read = proofs::decode_unit_proof(proof);
  if (!read) {
    return failed(read.error());
  }
  const auto found =
      check_unit_proof({&about.r, hash_plain(about.bytes), &roots, hash_plain(roots_bytes)}, *read,
                       *compute::select_kernels(std::nullopt).value(), serial);
  return found ? *found : failed(found.error());
}

unit_draft::unit_draft(const unit_scene& s, const unit_proof& from)
    : proof(from), statement(proofs::decode_statement(from.statement).value()) {
  for (const proven_piece& piece : proof.pieces) {
    for (const unit_matrix which : order_of(piece, s.model.get().config.layers)) {
      const std::size_t i = weights.size();
      weights.push_back({&weight_in(s.model.get(), piece.layer, which),
                         &s.trees.at(statement.products[i].weights.root)});
    }
  }
  EXPECT_EQ(weights.size(), statement.products.size());
}

std::vector<std::byte> unit_draft::proven(const std::vector<proven_weights>* opened) const {
  compute::serial_runner serial;
  proof_statement bound = statement;
  bound.context = context_of(proof);
  proofs::transcript script;
  absorb_statement(script, bound);
  proofs::product_proof products;
  for (const auto& group : groups_of(bound)) {
    auto sum = prove_group_sum(bound, group, weights, serial, script);
    for (const std::size_t i : group) {
      sum.proof.openings.push_back(open_columns(bound.products[i].weights,
                                                (opened == nullptr ? weights : *opened)[i],
                                                sum.columns, serial));
    }
    products.groups.push_back(std::move(sum.proof));
  }
  unit_proof made = proof;
  made.statement = encode_statement(bound);
  made.proof = encode_proof(products);
  return encode_unit_proof(made);
}

std::vector<std::byte> unit_draft::stale() const {
  unit_proof made = proof;
  proof_statement bound = statement;
  bound.context = context_of(proof);
  made.statement = encode_statement(bound);
  return encode_unit_proof(made);
}

compute::synth_spec tiny_spec() {
  compute::synth_spec spec;
  spec.layers = 3;
  spec.dim = 64;
  spec.ffn_dim = 64;
  spec.heads = 2;
  spec.kv_heads = 1;
  spec.vocabulary = 260;
  spec.context = 64;
  spec.quantization = compute::synth_quantization::q8_0;
  return spec;
}

const unit_scene& tiny_scene() {
  static const unit_scene made{synthetic_model(tiny_spec()), tiny_prompt, tiny_output};
  return made;
}

namespace {

using bytes = std::vector<std::byte>;
using tensor_change = std::function<void(std::span<std::byte> tensor)>;

constexpr const char* changed_tensor = "blk.1.ffn_up.weight";

bytes changed_model(const tensor_change& change) {
  bytes file = synthetic_model(tiny_spec());
  const auto parsed = compute::gguf::parse(file);
  const compute::gguf_tensor* const tensor = parsed->find_tensor(changed_tensor);
  change(std::span{file}.subspan(tensor->offset, tensor->data.size()));
  return file;
}

/// The receipt of a liar's work in the name of the true model, signed anew.
told_receipt renamed(const unit_scene& liar) {
  receipt r = liar.computed.r;
  r.asked.model = tiny_scene().computed.r.asked.model;
  for (std::size_t i = 0; i < r.stages.size(); ++i) {
    liar.cast.sign_link(r, i);
    liar.cast.sign_stage(r, i);
  }
  liar.cast.follow_statements(r);
  liar.cast.close(r);
  return told_receipt{r};
}

/// Who computed a layer with other weights and stated and signed what follows.
struct weight_liar {
  explicit weight_liar(const tensor_change& change)
      : scene(changed_model(change), tiny_prompt, tiny_output), about(renamed(scene)),
        draft(scene, scene.prove({{{1, 2}, 0, 1}}).value()) {
    draft.proof.receipt = hash_plain(about.bytes);
    draft.proof.roots = hash_plain(tiny_scene().roots_bytes);
    proofs::state_digests(about.r, draft.proof.pieces[0]);
  }
  unit_scene scene;
  told_receipt about;
  unit_draft draft; ///< all in order, but the tensor and its root are the liar's
};

const weight_liar& liar(std::size_t which) {
  constexpr std::size_t row = 68; // two blocks of a scale and 32 weights
  static const weight_liar made[] = {
      weight_liar{[](std::span<std::byte> t) { t[5 * row + 9] ^= std::byte{0x40}; }},
      weight_liar{[](std::span<std::byte> t) { t[7 * row] ^= std::byte{1}; }}, // a scale
      weight_liar{[](std::span<std::byte> t) {
        std::swap_ranges(t.begin() + 2 * row, t.begin() + 3 * row, t.begin() + 9 * row);
      }}};
  return made[which];
}
constexpr std::size_t up_product = 5; // of a piece

/// Honest proofs that forgers begin with.
struct honest_work {
  honest_work()
      : one(tiny_scene().prove({{{1, 2}, 0, 1}}).value()),
        two(tiny_scene().prove({{{0, 2}, 0, 1}}).value()),
        last(tiny_scene().prove({{{2, 3}, 0, 1}}).value()), later([] {
          receipt r = tiny_scene().computed.r;
          r.first_token_us += 1;
          tiny_scene().cast.close(r);
          return r;
        }()),
        of_later(tiny_scene().prove({{{1, 2}, 0, 1}}, later).value()) {}

  unit_proof one;     ///< layer 1, with its rows
  unit_proof two;     ///< layers 0 and 1, chained
  unit_proof last;    ///< layer 2, with logits
  told_receipt later; ///< differs in a time alone
  unit_proof of_later;
};
const honest_work& honest_proofs() {
  static const honest_work made;
  return made;
}

unit_draft draft_one() { return {tiny_scene(), honest_proofs().one}; }
unit_draft draft_two() { return {tiny_scene(), honest_proofs().two}; }

bytes wrong_sum(kernel_random& random) {
  unit_draft d = draft_one();
  auto& sums = d.statement.products[random.below(7)].sums;
  sums[random.below(static_cast<std::uint32_t>(sums.size()))] += 1 + random.below(9);
  return d.proven();
}
bytes sums_that_match(kernel_random& random) {
  unit_draft d = draft_one();
  auto& sums = d.statement.products[random.below(7)].sums;
  const std::uint32_t at = random.below(static_cast<std::uint32_t>(sums.size()) - 1);
  sums[at] += 77;
  sums[at + 1] -= 77;
  return d.proven();
}
bytes lies_across_products(kernel_random& random) {
  unit_draft d = draft_two();
  d.statement.products[3].sums[random.below(64)] += 5;
  d.statement.products[10].sums[random.below(64)] -= 5;
  return d.proven();
}
/// True products of inputs that do not follow.
bytes other_inputs(kernel_random& random) {
  unit_draft d = draft_one();
  const std::size_t i = random.below(7);
  auto& product = d.statement.products[i];
  std::int8_t& q = product.inputs.q[random.below(64)];
  q = static_cast<std::int8_t>(q == 127 ? 126 : q + 1);
  product.sums = plain_sums(*d.weights[i].weights, product.inputs);
  return d.proven();
}
bytes other_scales_of_inputs(kernel_random& random) {
  unit_draft d = draft_one();
  const std::size_t i = random.below(7);
  auto& product = d.statement.products[i];
  std::int32_t& k = product.inputs.k[random.below(2)];
  k = k == 4'095 ? 4'094 : k + 1;
  product.sums = plain_sums(*d.weights[i].weights, product.inputs);
  return d.proven();
}

bytes product_left_out(kernel_random& random) {
  unit_draft d = draft_two();
  const std::ptrdiff_t at = random.below(14);
  d.statement.products.erase(d.statement.products.begin() + at);
  d.weights.erase(d.weights.begin() + at);
  return d.proven();
}
bytes product_twice(kernel_random& random) {
  unit_draft d = draft_one();
  const std::size_t at = random.below(7);
  d.statement.products.push_back(d.statement.products[at]);
  d.weights.push_back(d.weights[at]);
  return d.proven();
}
bytes products_swapped(kernel_random& random) {
  unit_draft d = draft_one();
  const std::size_t at = random.below(6);
  std::swap(d.statement.products[at], d.statement.products[at + 1]);
  std::swap(d.weights[at], d.weights[at + 1]);
  return d.proven();
}
/// The products of another layer in place of this one's.
bytes layers_swapped(kernel_random& random) {
  unit_draft d = draft_two();
  const std::size_t at = random.below(7);
  std::swap(d.statement.products[at], d.statement.products[at + 7]);
  std::swap(d.weights[at], d.weights[at + 7]);
  return d.proven();
}
bytes token_left_out(kernel_random& random) {
  unit_draft d = draft_one();
  auto& product = d.statement.products[random.below(7)];
  product.inputs = proofs::batch_part(product.inputs, 0, product.inputs.tokens - 1);
  product.sums.resize(product.sums.size() - product.weights.rows);
  return d.proven();
}

bytes other_rows(kernel_random& random) {
  unit_draft d = draft_one();
  d.proof.pieces[0].rows[random.below(256)] += 0.5F;
  return d.proven();
}
/// Rows that go in are others, and said to be stated so.
bytes other_rows_stated(kernel_random& random) {
  unit_draft d = draft_one();
  d.proof.pieces[0].rows[random.below(256)] *= 1.5F;
  d.proof.pieces[0].inputs[0].bytes[random.below(32)] ^= 1U;
  return d.proven();
}
bytes other_output(kernel_random& random) {
  unit_draft d = draft_one();
  d.proof.pieces[0].outputs[0].bytes[random.below(32)] ^= 4U;
  return d.proven();
}
bytes other_keys(kernel_random& random) {
  unit_draft d = draft_two();
  d.proof.pieces[random.below(2)].kv[0].bytes[random.below(32)] ^= 4U;
  return d.proven();
}
bytes other_embedding(kernel_random& random) {
  unit_draft d = draft_two();
  d.proof.pieces[0].rows[random.below(256)] += 0.25F;
  return d.proven();
}
bytes embeddings_swapped(kernel_random& random) {
  unit_draft d = draft_two();
  proven_piece& piece = d.proof.pieces[0];
  const std::size_t at = random.below(3);
  if (piece.paths[at] == piece.paths[at + 1]) { // one token twice
    piece.paths[at].pop_back();
    return d.proven();
  }
  std::swap(piece.paths[at], piece.paths[at + 1]);
  std::swap_ranges(piece.rows.begin() + static_cast<std::ptrdiff_t>(at * 64),
                   piece.rows.begin() + static_cast<std::ptrdiff_t>(at * 64 + 64),
                   piece.rows.begin() + static_cast<std::ptrdiff_t>(at * 64 + 64));
  return d.proven();
}
bytes path_too_long(kernel_random& random) {
  unit_draft d = draft_two();
  d.proof.pieces[0].paths[random.below(4)].emplace_back();
  return d.proven();
}

bytes another_layer(kernel_random& random) {
  unit_draft d = draft_one();
  d.proof.pieces[0].layer = 2;
  if (random.below(2) == 0) {
    proofs::state_digests(tiny_scene().told.r, d.proof.pieces[0]);
  }
  return d.proven();
}
bytes pieces_swapped(kernel_random&) {
  unit_draft d = draft_two();
  std::swap(d.proof.pieces[0], d.proof.pieces[1]);
  return d.proven();
}
bytes rows_from_nowhere(kernel_random&) {
  unit_draft d = draft_one();
  d.proof.pieces[0].source = proofs::row_source::computed;
  d.proof.pieces[0].rows.clear();
  return d.proven();
}
bytes positions_too_many(kernel_random& random) {
  unit_draft d = draft_one();
  proven_piece& piece = d.proof.pieces[0];
  piece.positions += 1 + random.below(4);
  piece.rows.resize(std::size_t{piece.positions} * 64);
  return d.proven();
}
bytes window_that_is_not(kernel_random&) {
  unit_draft d = draft_one();
  proven_piece& piece = d.proof.pieces[0];
  piece.last = 2;
  piece.positions = 36;
  piece.rows.resize(std::size_t{36} * 64);
  piece.inputs.resize(2);
  piece.outputs.resize(2);
  piece.kv.resize(2);
  return d.proven();
}

bytes another_receipts(kernel_random&) { return encode_unit_proof(honest_proofs().of_later); }
bytes another_receipts_renamed(kernel_random& random) {
  unit_draft d{tiny_scene(), honest_proofs().of_later};
  d.proof.receipt = honest_proofs().one.receipt;
  if (random.below(2) == 0) {
    unit_proof made = d.proof; // the old context
    return encode_unit_proof(made);
  }
  return d.stale();
}
bytes other_roots_named(kernel_random& random) {
  unit_draft d = draft_one();
  d.proof.roots.bytes[random.below(32)] ^= 1U;
  return d.proven();
}
bytes stale_context(kernel_random& random) {
  unit_proof made = honest_proofs().one;
  made.pieces[0].kv[0].bytes[random.below(32)] ^= 1U;
  return encode_unit_proof(made);
}
bytes proof_of_other_units(kernel_random&) {
  unit_proof made = honest_proofs().one;
  made.proof = honest_proofs().last.proof;
  return encode_unit_proof(made);
}
bytes statement_of_other_units(kernel_random&) {
  unit_proof made = honest_proofs().one;
  made.statement = honest_proofs().last.statement;
  made.proof = honest_proofs().last.proof;
  return encode_unit_proof(made);
}

bytes queries_cut(kernel_random& random) {
  unit_proof made = honest_proofs().one;
  made.proof.resize(made.proof.size() - 1 - random.below(2'000));
  return encode_unit_proof(made);
}
bytes queries_repeated(kernel_random& random) {
  unit_proof made = honest_proofs().one;
  auto products = proofs::decode_proof(made.proof).value();
  auto& openings = products.groups[0].openings[0];
  openings[random.below(33)] = openings[33];
  openings[0].symbols[0].re ^= 1U;
  made.proof = encode_proof(products);
  return encode_unit_proof(made);
}
bytes bytes_behind(kernel_random& random) {
  bytes made = encode_unit_proof(honest_proofs().one);
  made.resize(made.size() + 1 + random.below(9));
  return made;
}
bytes bytes_missing(kernel_random& random) {
  bytes made = encode_unit_proof(honest_proofs().two);
  made.resize(made.size() - 1 - random.below(static_cast<std::uint32_t>(made.size() - 1)));
  return made;
}
bytes one_bit(kernel_random& random) {
  bytes made = encode_unit_proof(honest_proofs().two);
  made[random.below(static_cast<std::uint32_t>(made.size()))] ^=
      std::byte{static_cast<std::uint8_t>(1U << random.below(8))};
  return made;
}
bytes one_bit_of_head(kernel_random& random) {
  bytes made = encode_unit_proof(honest_proofs().two);
  made[random.below(400)] ^= std::byte{static_cast<std::uint8_t>(1U << random.below(8))};
  return made;
}

using unit_forger = bytes (*)(kernel_random&);
const std::pair<const char*, unit_forger> unit_forgers[] = {
    {"wrong sum", wrong_sum},
    {"sums that match", sums_that_match},
    {"lies across products", lies_across_products},
    {"other inputs", other_inputs},
    {"other scales of inputs", other_scales_of_inputs},
    {"product left out", product_left_out},
    {"product twice", product_twice},
    {"products swapped", products_swapped},
    {"layers swapped", layers_swapped},
    {"token left out", token_left_out},
    {"other rows", other_rows},
    {"other rows stated", other_rows_stated},
    {"other output", other_output},
    {"other keys", other_keys},
    {"other embedding", other_embedding},
    {"embeddings swapped", embeddings_swapped},
    {"path too long", path_too_long},
    {"another layer", another_layer},
    {"pieces swapped", pieces_swapped},
    {"rows from nowhere", rows_from_nowhere},
    {"positions too many", positions_too_many},
    {"window that is not", window_that_is_not},
    {"another receipt's", another_receipts},
    {"another receipt's, renamed", another_receipts_renamed},
    {"other roots", other_roots_named},
    {"stale context", stale_context},
    {"proof of other units", proof_of_other_units},
    {"statement of other units", statement_of_other_units},
    {"queries cut", queries_cut},
    {"queries repeated", queries_repeated},
    {"bytes behind", bytes_behind},
    {"bytes missing", bytes_missing},
    {"one bit", one_bit},
    {"one bit of the head", one_bit_of_head},
};

/// By who computed with another weight, scale or order of rows.
void add_weight_liars(std::vector<unit_case>& cases) {
  constexpr const char* what[] = {"weight", "scale", "order of rows"};
  for (std::size_t which = 0; which < std::size(what); ++which) {
    const weight_liar& by = liar(which);
    const auto add = [&](const char* how, bytes made) {
      cases.push_back(
          {fmt::format("other {}, {}", what[which], how), false, std::move(made), &by.about});
    };
    add("its root", by.draft.proven());
    unit_draft told = by.draft; // the true root
    auto& product = told.statement.products[up_product];
    const committed_tensor& truth = tiny_scene().roots.matrices[static_cast<std::size_t>(
        std::find_if(tiny_scene().roots.manifest.tensors.begin(),
                     tiny_scene().roots.manifest.tensors.end(),
                     [](const auto& t) { return t.name == changed_tensor; }) -
        tiny_scene().roots.manifest.tensors.begin())];
    product.weights = truth;
    add("the true root", told.proven());
    std::vector<proven_weights> opened = told.weights;
    opened[up_product] = {&tiny_scene().model.get().layers[1].ffn_up,
                          &tiny_scene().trees.at(truth.root)};
    add("true columns", told.proven(&opened));
    opened[up_product].weights = told.weights[up_product].weights;
    add("its columns in the true tree", told.proven(&opened));
  }
}

} // namespace

std::vector<unit_case> make_unit_cases(std::uint64_t seed) {
  kernel_random random{seed};
  const told_receipt* const about = &tiny_scene().told;
  std::vector<unit_case> cases;
  cases.push_back({"honest", true, encode_unit_proof(honest_proofs().one), about});
  cases.push_back({"honest, chained", true, encode_unit_proof(honest_proofs().two), about});
  for (const auto& [kind, forge] : unit_forgers) {
    cases.push_back({kind, false, forge(random), about});
  }
  cases.push_back({"an older receipt's", false, encode_unit_proof(honest_proofs().one),
                   &honest_proofs().later});
  add_weight_liars(cases);
  return cases;
}

} // namespace ovir::test
