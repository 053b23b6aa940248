#include "verify/units/commit_model.hpp"

#include "compute/tensor/quantized_rows.hpp"
#include "messages/check.hpp"
#include "messages/digest_tree.hpp"
#include "messages/limits/general.hpp"
#include "messages/wire/bytes.hpp"

#include <algorithm>
#include <cstring>

namespace ovir::proofs {

namespace {

using compute::gguf_tensor;
using compute::tensor_manifest;
using compute::weight;

constexpr std::string_view log_magic = "OVIRPART";
constexpr std::uint32_t log_version = 1;
constexpr std::size_t log_head = 8 + 4 + digest::size;
constexpr std::size_t log_record = 4 + 8 + 2 * digest::size;

std::vector<std::byte> log_begin(const digest& name) {
  std::vector<std::byte> bytes;
  byte_writer out{bytes};
  out.bytes(log_magic.data(), log_magic.size());
  out.number(log_version);
  out.write(name);
  return bytes;
}

} // namespace

result<const gguf_tensor*> checked_tensor(const compute::gguf& file,
                                          const tensor_manifest& wanted) {
  const gguf_tensor* const tensor = file.find_tensor(wanted.name);
  if (tensor == nullptr) {
    return fail(errc::not_found, "the model file has no tensor {}", wanted.name);
  }
  if (tensor->raw_type != wanted.raw_type || tensor->dims != wanted.dims ||
      tensor->shape != wanted.shape || tensor->data.size() != wanted.bytes) {
    return fail(errc::digest_mismatch, "tensor {} has another type or shape than its manifest says",
                wanted.name);
  }
  for (std::size_t i = 0; i < wanted.chunks.size(); ++i) {
    const std::size_t at = i * compute::manifest_chunk_bytes;
    const std::size_t size =
        std::min<std::size_t>(compute::manifest_chunk_bytes, tensor->data.size() - at);
    if (hash_plain(tensor->data.subspan(at, size)) != wanted.chunks[i]) {
      return fail(errc::digest_mismatch,
                  "tensor {} differs from its manifest within bytes {} to {}", wanted.name, at,
                  at + size - 1);
    }
  }
  return tensor;
}

weight weight_of(const gguf_tensor& tensor, const committed_tensor& shape) {
  return {.type = shape.type, .rows = shape.rows, .cols = shape.cols, .data = tensor.data.data()};
}

result<tensor_commitment> commit_matrix(const compute::gguf& file, const model_roots& roots,
                                        std::size_t index, compute::parallel_runner& runner) {
  const tensor_manifest& wanted = roots.manifest.tensors[index];
  const committed_tensor& shape = roots.matrices[index];
  OVIR_CHECK(shape.rows > 0, index);
  OVIR_ASSIGN(const gguf_tensor* const tensor, checked_tensor(file, wanted));
  return commit_tensor(weight_of(*tensor, shape), shape.fold, wanted.name, runner);
}

std::vector<digest> embedding_digests(const weight& embedding, compute::parallel_runner& runner) {
  std::vector<digest> rows(embedding.rows);
  const std::size_t parts = std::min<std::size_t>(runner.width(), embedding.rows);
  runner.run(parts, [&](std::size_t part) {
    std::vector<float> row(embedding.cols);
    const compute::slice mine = compute::slice_of(embedding.rows, 1, part, parts);
    for (std::size_t id = mine.first; id < mine.last; ++id) {
      compute::embed_row(embedding, static_cast<std::uint32_t>(id), row.data());
      rows[id] = embedding_row_digest(row);
    }
  });
  return rows;
}

result<void> fill_vectors(const compute::gguf& file, model_roots& roots,
                          compute::parallel_runner& runner) {
  const bool tied = is_tied(roots.manifest);
  for (std::size_t i = 0; i < roots.manifest.tensors.size(); ++i) {
    const tensor_manifest& wanted = roots.manifest.tensors[i];
    if (role_of(wanted.name, tied) == tensor_role::vector) {
      OVIR_ASSIGN(const gguf_tensor* const tensor, checked_tensor(file, wanted));
      roots.vectors[i].assign(tensor->data.begin(), tensor->data.end());
    } else if (wanted.name == name_of(0, unit_matrix::head, true)) {
      OVIR_ASSIGN(const gguf_tensor* const tensor, checked_tensor(file, wanted));
      const auto type = compute::tensor_type_from(wanted.raw_type);
      if (!type || wanted.dims != 2 || wanted.shape[1] > limits::vocabulary_max ||
          wanted.shape[0] > limits::embedding_max) {
        return fail(errc::unsupported, "tensor {} holds no embeddings", wanted.name);
      }
      const weight w{.type = *type,
                     .rows = static_cast<std::uint32_t>(wanted.shape[1]),
                     .cols = static_cast<std::uint32_t>(wanted.shape[0]),
                     .data = tensor->data.data()};
      roots.embedding = tree_root(embedding_digests(w, runner));
    }
  }
  return {};
}

commitment_log::commitment_log(durable_file& file, model_roots& roots)
    : file_(&file), roots_(&roots), name_(compute::name_of(roots.manifest)),
      done_(roots.matrices.size()) {}

std::vector<std::byte> commitment_log::record_of(std::size_t index,
                                                 const committed_tensor& made) const {
  std::vector<std::byte> bytes;
  byte_writer out{bytes};
  out.number(static_cast<std::uint32_t>(index));
  out.number(made.row_sum_max);
  out.write(made.root);
  hasher check{"ovir/proof/v1/kept"};
  out.write(check.update(name_).update(bytes).finish());
  return bytes;
}

result<void> commitment_log::read() {
  OVIR_ASSIGN(const std::uint64_t size, file_->size());
  const std::vector<std::byte> begin = log_begin(name_);
  const std::size_t most = log_head + done_.size() * log_record;
  std::vector<std::byte> bytes(std::min<std::uint64_t>(size, most));
  OVIR_ASSIGN(const std::size_t got, file_->read_at(0, bytes));
  bytes.resize(got);
  end_ = log_head;
  if (got < log_head || std::memcmp(bytes.data(), begin.data(), log_head) != 0) {
    OVIR_TRY(file_->truncate(0));
    OVIR_TRY(file_->write_at(0, begin));
    return file_->sync();
  }
  for (; end_ + log_record <= got; end_ += log_record) {
    const auto one = std::span{bytes}.subspan(end_, log_record);
    byte_reader in{one};
    const auto index = in.number<std::uint32_t>();
    if (index >= done_.size() || roots_->matrices[index].rows == 0) {
      break;
    }
    committed_tensor made = roots_->matrices[index];
    made.row_sum_max = in.number<std::uint64_t>();
    in.read(made.root);
    const std::vector<std::byte> whole = record_of(index, made);
    if (!std::equal(whole.begin(), whole.end(), one.begin()) || !check_tensor(made)) {
      break;
    }
    kept_ += done_[index] ? 0 : 1;
    done_[index] = true;
    roots_->matrices[index] = made;
  }
  return file_->truncate(end_);
}

result<commitment_log> commitment_log::open(durable_file& file, model_roots& roots) {
  commitment_log log{file, roots};
  OVIR_TRY(log.read());
  return log;
}

result<void> commitment_log::add(std::size_t index, const committed_tensor& made) {
  OVIR_TRY(file_->write_at(end_, record_of(index, made)));
  OVIR_TRY(file_->sync());
  end_ += log_record;
  done_[index] = true;
  ++kept_;
  roots_->matrices[index] = made;
  return {};
}

} // namespace ovir::proofs
