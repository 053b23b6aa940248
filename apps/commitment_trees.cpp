#include "apps/commitment_trees.hpp"

#include "verify/proofs/reed_solomon.hpp"

#include <cstring>
#include <span>

namespace ovir::apps {

namespace {

std::string tree_path(const std::string& folder, const digest& root) {
  return folder + "/" + to_hex(root) + ".tree";
}

} // namespace

result<void> write_tree(storage::env& environment, const std::string& folder,
                        const proofs::tensor_commitment& made) {
  OVIR_TRY(environment.make_folder(folder));
  OVIR_ASSIGN(const auto file, environment.stage(tree_path(folder, made.tensor.root)));
  OVIR_TRY(file->append(std::as_bytes(made.tree.leaves())));
  return file->commit();
}

std::optional<proofs::column_tree> read_tree(storage::env& environment, const std::string& folder,
                                             const proofs::committed_tensor& tensor) {
  const auto file = environment.map(tree_path(folder, tensor.root));
  const std::size_t leaves = proofs::code_length(tensor.span() / 2);
  if (!file || (*file)->bytes().size() != leaves * digest::size) {
    return std::nullopt;
  }
  std::vector<digest> all(leaves);
  std::memcpy(all.data(), (*file)->bytes().data(), leaves * digest::size);
  proofs::column_tree tree{std::move(all)};
  return tree.root() == tensor.root ? std::optional{std::move(tree)} : std::nullopt;
}

} // namespace ovir::apps
