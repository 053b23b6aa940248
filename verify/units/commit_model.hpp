#pragma once

#include "compute/base/parallel.hpp"
#include "compute/gguf/gguf.hpp"
#include "messages/durable_file.hpp"
#include "verify/proofs/commitment.hpp"
#include "verify/units/model_roots.hpp"

#include <cstddef>
#include <vector>

/// Making a model's roots, a tensor at a time.
namespace ovir::proofs {

/// `digest_mismatch` where the file's tensor is not the one that the manifest names, with the place
/// of the first wrong chunk; `not_found` without it. Reads the whole tensor.
[[nodiscard]] result<const compute::gguf_tensor*>
checked_tensor(const compute::gguf& file, const compute::tensor_manifest& wanted);

/// The matrix of a tensor that `checked_tensor` passes.
[[nodiscard]] compute::weight weight_of(const compute::gguf_tensor& tensor,
                                        const committed_tensor& shape);

/// Commits to tensor `index` of the manifest, a matrix, after `checked_tensor`. Costs and errors as
/// of `commit_tensor`. Precondition: usable scales (`compute::check_weights`).
[[nodiscard]] result<tensor_commitment> commit_matrix(const compute::gguf& file,
                                                      const model_roots& roots, std::size_t index,
                                                      compute::parallel_runner& runner);

/// Fills vectors and the root of embeddings, which take no time beside the matrices.
[[nodiscard]] result<void> fill_vectors(const compute::gguf& file, model_roots& roots,
                                        compute::parallel_runner& runner);

/// The digests of all tokens' embeddings, of which `model_roots::embedding` is the root.
[[nodiscard]] std::vector<digest> embedding_digests(const compute::weight& embedding,
                                                    compute::parallel_runner& runner);

/// Commitments that are done, kept in a file, so that who is interrupted goes on after the last
/// tensor. A record that is cut short, or of another model, counts as none.
class commitment_log {
public:
  /// Reads what `file` keeps of this model into `roots`; a file of another one is begun anew. Both
  /// must outlive it.
  [[nodiscard]] static result<commitment_log> open(durable_file& file, model_roots& roots);

  /// Whether tensor `index` is done.
  [[nodiscard]] bool has(std::size_t index) const { return done_[index]; }
  [[nodiscard]] std::size_t kept() const noexcept { return kept_; }
  /// Takes the commitment of a matrix into the roots. It lasts when this returns.
  [[nodiscard]] result<void> add(std::size_t index, const committed_tensor& made);

private:
  commitment_log(durable_file& file, model_roots& roots);
  [[nodiscard]] std::vector<std::byte> record_of(std::size_t index,
                                                 const committed_tensor& made) const;
  [[nodiscard]] result<void> read();

  durable_file* file_;
  model_roots* roots_;
  digest name_;
  std::vector<bool> done_;
  std::size_t kept_{0};
  std::uint64_t end_{0};
};

} // namespace ovir::proofs
