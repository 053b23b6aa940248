#include "compute/gguf/join_adapter.hpp"

#include "compute/base/printable.hpp"
#include "compute/gguf/gguf_parser.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

namespace ovir::compute {

namespace {

constexpr std::string_view first_ending = ".weight.lora_a";
constexpr std::string_view second_ending = ".weight.lora_b";
constexpr std::string_view file_ending = ".gguf";

/// The alpha as a manifest's parameters have it, up to its value. Its key is the first of all.
std::string alpha_entry() {
  const auto bytes_of = [](std::uint32_t n) {
    return std::string{reinterpret_cast<const char*>(&n), sizeof n};
  };
  return bytes_of(static_cast<std::uint32_t>(lora_alpha_key.size())) + std::string{lora_alpha_key} +
         bytes_of(static_cast<std::uint32_t>(gguf_type::f32));
}

result<void> expect_text(const gguf& file, std::string_view key, std::string_view wanted) {
  OVIR_ASSIGN(const std::string_view text, file.text_at(key));
  if (text != wanted) {
    return fail(errc::unsupported, "the adapter's {} is \"{}\", and \"{}\" is needed", key,
                printable(text), printable(wanted));
  }
  return {};
}

std::string_view file_name(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

} // namespace

bool is_lora_tensor(std::string_view name) noexcept {
  return name.ends_with(first_ending) || name.ends_with(second_ending);
}

result<gguf> join_adapter(gguf base, gguf adapter) {
  OVIR_TRY(expect_text(adapter, "general.type", "adapter"));
  OVIR_TRY(expect_text(adapter, "adapter.type", "lora"));
  OVIR_ASSIGN(const std::string_view architecture, base.text_at("general.architecture"));
  OVIR_TRY(expect_text(adapter, "general.architecture", architecture));
  const gguf_entry* const alpha = adapter.find(lora_alpha_key);
  if (alpha == nullptr || alpha->type != gguf_type::f32) {
    return fail(errc::malformed, "the adapter has no \"{}\" as a number of 32 bits",
                lora_alpha_key);
  }
  if (base.find(lora_alpha_key) != nullptr) {
    return fail(errc::unsupported, "the base has an adapter already; name its own base");
  }
  for (const gguf_tensor& t : adapter.tensors()) {
    if (!is_lora_tensor(t.name)) {
      return fail(errc::unsupported,
                  "the adapter's tensor \"{}\" is not one of a pair: blk.N.NAME.weight with "
                  ".lora_a or .lora_b",
                  printable(t.name));
    }
  }
  return gguf_parser::add(std::move(base), adapter, lora_alpha_key);
}

bool has_adapter(const model_manifest& manifest) noexcept {
  return std::any_of(manifest.tensors.begin(), manifest.tensors.end(),
                     [](const tensor_manifest& t) { return is_lora_tensor(t.name); });
}

result<model_manifest> base_of(const model_manifest& manifest) {
  const std::string entry = alpha_entry();
  if (!manifest.parameters.starts_with(entry) ||
      manifest.parameters.size() < entry.size() + sizeof(float)) {
    return fail(errc::malformed,
                "the manifest has pairs of an adapter and no \"{}\" before its "
                "other parameters; fetch it again",
                lora_alpha_key);
  }
  model_manifest base = manifest;
  base.parameters.erase(0, entry.size() + sizeof(float));
  std::erase_if(base.tensors, [](const tensor_manifest& t) { return is_lora_tensor(t.name); });
  return base;
}

std::optional<adapted_path> adapted_path_from(std::string_view path) {
  const std::string divider = std::string{file_ending} + "+";
  const std::size_t at = path.find(divider);
  if (at == std::string_view::npos || at + divider.size() == path.size()) {
    return std::nullopt;
  }
  const std::string_view base = path.substr(0, at + file_ending.size());
  const std::string_view adapter = path.substr(at + divider.size());
  const bool beside = adapter.find('/') == std::string_view::npos;
  const std::string_view folder = base.substr(0, base.size() - file_name(base).size());
  return adapted_path{std::string{base},
                      std::string{beside ? folder : std::string_view{}} + std::string{adapter}};
}

std::string adapted_path_of(const std::string& base, const std::string& adapter) {
  const bool here = adapter.find('/') == std::string::npos;
  return adapter.empty() ? base : base + (here ? "+./" : "+") + adapter;
}

std::string adapted_name(const adapted_path& path) {
  const auto bare = [](std::string_view name) {
    name = file_name(name);
    return std::string{name.substr(
        0, name.size() - (name.ends_with(file_ending) ? file_ending.size() : std::size_t{0}))};
  };
  return bare(path.base) + "+" + bare(path.adapter);
}

} // namespace ovir::compute
