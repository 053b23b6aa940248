#pragma once

#include "compute/gguf/gguf.hpp"
#include "compute/gguf/manifest.hpp"
#include "messages/result.hpp"

#include <optional>
#include <string>
#include <string_view>

/// A model with a LoRA adapter is a model of its own: the tensors of both files, and the metadata
/// of the base with the adapter's alpha. Its manifest, and so its name, follows from what is
/// computed alone (docs/formats/adapter.md).
namespace ovir::compute {

/// How much an adapter counts. A file without this key has no adapter.
inline constexpr std::string_view lora_alpha_key = "adapter.lora.alpha";

/// Whether this is the name of a matrix of a pair.
[[nodiscard]] bool is_lora_tensor(std::string_view name) noexcept;

/// One model of a base and an adapter's file as llama.cpp writes it. Views point into the bytes of
/// both. `unsupported` where `adapter` is no LoRA adapter, is one for another architecture, or
/// where `base` has one already; `malformed` for tensors that are no pairs. Whether the pairs fit
/// the model's matrices is for `bind_model` to say.
[[nodiscard]] result<gguf> join_adapter(gguf base, gguf adapter);

/// Whether the manifest is that of a model with an adapter.
[[nodiscard]] bool has_adapter(const model_manifest& manifest) noexcept;
/// The manifest of its base. Precondition: `has_adapter(manifest)`. `malformed` where its
/// parameters are not the canonical bytes of metadata.
[[nodiscard]] result<model_manifest> base_of(const model_manifest& manifest);

/// "BASE.gguf+ADAPTER.gguf": the path of each, where `path` names two files so. The first "+"
/// behind ".gguf" divides. An adapter without a folder lies in its base's.
struct adapted_path {
  std::string base;
  std::string adapter;
};
[[nodiscard]] std::optional<adapted_path> adapted_path_from(std::string_view path);
/// The path of both, where `adapter` is one from the working folder; `base` where it is empty.
[[nodiscard]] std::string adapted_path_of(const std::string& base, const std::string& adapter);
/// What such a model is called: both files' names without folders and ".gguf", with "+" between.
[[nodiscard]] std::string adapted_name(const adapted_path& path);

} // namespace ovir::compute
