#include "apps/ovir-verify/unit_proof.hpp"

#include "apps/compute_threads.hpp"
#include "apps/console.hpp"
#include "apps/open_model.hpp"
#include "verify/units/unit_verifier.hpp"

#include <memory>

namespace ovir::apps {

namespace {

/// Address space of one more thread: its stack.
constexpr std::uint64_t stack_bytes = std::uint64_t{16} << 20U;

struct proof_exhibits {
  std::unique_ptr<storage::mapped_file> receipt;
  std::unique_ptr<storage::mapped_file> proof;
  std::unique_ptr<storage::mapped_file> roots;
};

std::string pieces_text(const proofs::unit_proof& proof) {
  std::string text;
  for (const proofs::proven_piece& piece : proof.pieces) {
    text += fmt::format("proven: layer {} over windows {} to {} follows from the committed weights "
                        "and what goes in\n",
                        piece.layer, piece.first, piece.last - 1);
  }
  return text + "what goes in is as the receipt states it; boundaries, keys and values, logits and "
                "tokens that follow are as stated\n";
}

json pieces_document(const proofs::unit_proof& proof) {
  json all = json::array();
  for (const proofs::proven_piece& piece : proof.pieces) {
    for (std::uint32_t w = piece.first; w < piece.last; ++w) {
      all.push_back({{"window", w}, {"layer", piece.layer}});
    }
  }
  return all;
}

/// One character, 1 for right, and what is to be printed.
result<std::string> judge_proof(const unit_proof_orders& orders, const proof_exhibits& given) {
  const std::span<const std::byte> bytes = given.receipt->bytes();
  const auto read = parse_receipt({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  if (!read) {
    return in_context(orders.receipt, read.error());
  }
  const auto* const whole = std::get_if<receipt>(&*read);
  if (whole == nullptr) {
    return fail(errc::invalid_argument, "{} is compact; a proof of units needs the whole receipt",
                orders.receipt);
  }
  const auto roots = proofs::decode_roots(given.roots->bytes());
  if (!roots) {
    return in_context(orders.roots, roots.error());
  }
  const auto proof = proofs::decode_unit_proof(given.proof->bytes());
  if (!proof) {
    return in_context(orders.proof, proof.error());
  }
  std::vector<compute::receipt_failure> found = compute::check_receipt(*whole, orders.who);
  const bool sound = found.empty();
  if (sound) {
    OVIR_ASSIGN(const compute::kernel_set* const kernels, kernels_from(orders.isa));
    compute_threads runner{orders.threads};
    auto wrong = proofs::check_unit_proof(
        {whole, hash_plain(bytes), &*roots, hash_plain(given.roots->bytes())}, *proof, *kernels,
        runner);
    if (!wrong) {
      return in_context(orders.proof, wrong.error());
    }
    found = std::move(*wrong);
  }
  std::string verdict(1, found.empty() ? '1' : '0');
  if (orders.as_json) {
    json document = verdict_document(*read, "proof", found);
    document["proven"] = found.empty() ? pieces_document(*proof) : json::array();
    document["roots"] = to_cid(hash_plain(given.roots->bytes()));
    document["sandboxed"] = true;
    document["convicts"] = !sound;
    return verdict + to_text(document) + "\n";
  }
  verdict += verdict_text(*read, "proof", found);
  if (found.empty()) {
    verdict += pieces_text(*proof);
  } else if (sound) {
    verdict += "this convicts no node: replay the unit with ovir-verify --replay\n";
  }
  return verdict;
}

} // namespace

result<exit_code> verify_unit_proof(const unit_proof_orders& orders, storage::env& environment,
                                    const std::atomic<bool>& interrupted) {
  proof_exhibits given;
  OVIR_ASSIGN(given.receipt, map_file(environment, orders.receipt));
  OVIR_ASSIGN(given.proof, map_file(environment, orders.proof));
  OVIR_ASSIGN(given.roots, map_file(environment, orders.roots));
  sandbox_limits bounds = orders.bounds;
  bounds.memory_bytes += orders.threads * stack_bytes;
  OVIR_ASSIGN(const std::string verdict,
              run_sandboxed(
                  bounds, [&] { return judge_proof(orders, given); }, interrupted));
  if (verdict.empty()) {
    return fail(errc::internal, "the sandboxed process gave no verdict");
  }
  OVIR_TRY(write_output(std::string_view{verdict}.substr(1)));
  return verdict.front() == '1' ? exit_code::done : exit_code::wrong;
}

} // namespace ovir::apps
