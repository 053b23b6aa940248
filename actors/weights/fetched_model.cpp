#include "actors/weights/fetched_model.hpp"

#include "compute/gguf/gguf.hpp"
#include "compute/model/model.hpp"
#include "messages/limits/fetch.hpp"

#include <algorithm>

namespace ovir::actors {

namespace {

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span{text.data(), text.size()});
}

} // namespace

result<fetched_model> fetched_model::open(storage::env& env, const std::string& state,
                                          const digest& name) {
  fetched_model model{env, state + "/models/" + to_hex(name), name};
  OVIR_TRY(env.make_folder(model.folder_));
  // What cannot be read or is damaged is fetched again.
  const auto manifest = env.read(model.folder_ + "/manifest", limits::fetch_manifest_bytes_max);
  if (!manifest || !model.use_manifest(bytes_of(*manifest))) {
    return model;
  }
  if (model.manifest_->tokenizer_bytes == 0) {
    OVIR_TRY(model.use_tokenizer({}));
    return model;
  }
  const auto words = env.read(model.folder_ + "/tokenizer", limits::fetch_piece_bytes_max);
  if (words) {
    const auto used = model.use_tokenizer(bytes_of(*words));
    if (!used && used.error().code != errc::digest_mismatch) {
      return used.error();
    }
  }
  return model;
}

result<void> fetched_model::keep(const std::string& path, std::span<const std::byte> bytes) {
  OVIR_ASSIGN(const auto staged, env_->stage(path));
  OVIR_TRY(staged->append(bytes));
  return staged->commit();
}

result<void> fetched_model::use_manifest(std::span<const std::byte> bytes) {
  if (hash_plain(bytes) != name_) {
    return fail(errc::digest_mismatch, "these {} bytes are not the manifest of model {}",
                bytes.size(), to_hex(name_).substr(0, 8));
  }
  OVIR_ASSIGN(compute::model_manifest manifest, compute::manifest_from(bytes));
  const auto shared = std::make_shared<const compute::model_manifest>(std::move(manifest));
  OVIR_ASSIGN(compute::piece_list list, compute::piece_list::of(shared));
  manifest_ = shared;
  pieces_ = std::move(list);
  return {};
}

result<void> fetched_model::take_manifest(std::span<const std::byte> bytes) {
  OVIR_TRY(use_manifest(bytes));
  OVIR_TRY(keep(folder_ + "/manifest", bytes));
  return manifest_->tokenizer_bytes == 0 ? use_tokenizer({}) : result<void>{};
}

result<void> fetched_model::take_tokenizer(std::span<const std::byte> bytes) {
  OVIR_TRY(use_tokenizer(bytes));
  return keep(folder_ + "/tokenizer", bytes);
}

result<void> fetched_model::use_tokenizer(std::span<const std::byte> bytes) {
  const auto* const text = reinterpret_cast<const char*>(bytes.data());
  OVIR_ASSIGN(compute::segment_file layout, compute::lay_out(*manifest_, {text, bytes.size()}));
  OVIR_ASSIGN(auto file, env_->open_durable(weights_path(), storage::durable_use::make));
  std::vector<std::byte> head(layout.head.size());
  OVIR_ASSIGN(const std::size_t there, file->read_at(0, head));
  const bool same =
      there == head.size() && std::equal(head.begin(), head.end(), bytes_of(layout.head).begin());
  OVIR_ASSIGN(const std::uint64_t size, file->size());
  if (!same) {
    OVIR_TRY(file->write_at(0, bytes_of(layout.head)));
  }
  if (size != layout.bytes) {
    OVIR_TRY(file->truncate(layout.bytes)); // takes no room on the disk
  }
  // A manifest that makes up no model is found out before its weights are fetched.
  OVIR_ASSIGN(const auto mapped, env_->map(weights_path()));
  OVIR_ASSIGN(const auto metadata, compute::gguf::parse(mapped->bytes()));
  for (const compute::tensor_manifest& tensor : manifest_->tensors) {
    if (metadata.find_tensor(tensor.name)->data.size() != tensor.bytes) {
      return fail(errc::malformed, "a tensor of the manifest has {} bytes, and its shape {}",
                  tensor.bytes, metadata.find_tensor(tensor.name)->data.size());
    }
  }
  OVIR_TRY(compute::bind_model(metadata));
  layout.head = {};
  layout_ = std::move(layout);
  file_ = std::move(file);
  return {};
}

result<std::vector<std::uint32_t>>
fetched_model::missing(const std::vector<std::uint32_t>& wanted) const {
  std::vector<std::uint32_t> absent;
  std::vector<std::byte> buffer(compute::manifest_chunk_bytes);
  for (const std::uint32_t index : wanted) {
    const compute::model_piece piece = pieces_->at(index);
    if (piece.tensor == compute::model_piece::tokenizer) {
      continue; // there is no file without it
    }
    const std::span<std::byte> bytes = std::span{buffer}.first(piece.bytes);
    OVIR_ASSIGN(const std::size_t read,
                file_->read_at(layout_.places[piece.tensor] + piece.offset, bytes));
    if (read != bytes.size() || hash_plain(bytes) != piece.content) {
      absent.push_back(index);
    }
  }
  return absent;
}

result<void> fetched_model::write(std::uint32_t index, std::span<const std::byte> bytes) {
  const compute::model_piece piece = pieces_->at(index);
  OVIR_CHECK(piece.tensor != compute::model_piece::tokenizer && bytes.size() == piece.bytes);
  return file_->write_at(layout_.places[piece.tensor] + piece.offset, bytes);
}

result<void> fetched_model::sync() { return file_->sync(); }

} // namespace ovir::actors
