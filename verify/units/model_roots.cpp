#include "verify/units/model_roots.hpp"

#include "compute/forward/segment_file.hpp"
#include "compute/kernels/reference/plain_blocks.hpp"
#include "messages/check.hpp"
#include "messages/wire/bytes.hpp"
#include "verify/proofs/commitment.hpp"

#include <algorithm>
#include <cstring>
#include <limits>

namespace ovir::proofs {

namespace {

using compute::model_manifest;
using compute::tensor_manifest;

constexpr std::string_view roots_magic = "OVIRROOT";
constexpr std::uint32_t roots_version = 1;
constexpr std::array<std::string_view, layer_matrices> matrix_parts{
    "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"};
constexpr std::string_view embedding_name = "token_embd.weight";
constexpr std::string_view head_name = "output.weight";
constexpr std::string_view output_norm_name = "output_norm.weight";
constexpr std::string_view rope_name = "rope_freqs.weight";

/// "attn_q" of "blk.3.attn_q.weight"; empty of any other name.
std::string_view part_of_layer(std::string_view name) {
  constexpr std::string_view front = "blk.";
  constexpr std::string_view back = ".weight";
  if (!name.starts_with(front) || !name.ends_with(back)) {
    return {};
  }
  name = name.substr(front.size(), name.size() - front.size() - back.size());
  const std::size_t dot = name.find('.');
  const std::string_view number = name.substr(0, dot);
  const bool digits = !number.empty() && std::all_of(number.begin(), number.end(),
                                                     [](char c) { return c >= '0' && c <= '9'; });
  return digits && dot != std::string_view::npos ? name.substr(dot + 1) : std::string_view{};
}

std::size_t index_of(const model_manifest& manifest, std::string_view name) {
  const auto at = std::lower_bound(
      manifest.tensors.begin(), manifest.tensors.end(), name,
      [](const tensor_manifest& t, std::string_view wanted) { return t.name < wanted; });
  return at == manifest.tensors.end() || at->name != name
             ? manifest.tensors.size()
             : static_cast<std::size_t>(at - manifest.tensors.begin());
}

result<committed_tensor> matrix_shape(const tensor_manifest& t) {
  const auto type = compute::tensor_type_from(t.raw_type);
  constexpr std::uint64_t most = std::numeric_limits<std::uint32_t>::max();
  if (!type || t.dims != 2 || t.shape[0] > most || t.shape[1] > most) {
    return fail(errc::unsupported, "tensor {} is no matrix whose products can be proven", t.name);
  }
  committed_tensor tensor;
  tensor.type = *type;
  tensor.rows = static_cast<std::uint32_t>(t.shape[1]);
  tensor.cols = static_cast<std::uint32_t>(t.shape[0]);
  tensor.fold = fold_for(tensor.rows, tensor.cols);
  if (const auto fits = check_tensor(tensor); !fits) {
    return in_context(fmt::format("tensor {}", t.name), fits.error());
  }
  return tensor;
}

result<void> check_vector(const tensor_manifest& t) {
  const bool fits = t.raw_type == static_cast<std::uint32_t>(compute::tensor_type::f32) &&
                    t.dims == 1 && t.bytes == t.shape[0] * sizeof(float) && t.bytes > 0 &&
                    t.bytes <= compute::manifest_chunk_bytes && t.chunks.size() == 1;
  return fits ? result<void>{}
              : fail(errc::unsupported, "tensor {} is no vector of F32 of at most 1 MiB", t.name);
}

std::vector<float> values_of(std::span<const std::byte> bytes) {
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
  return values;
}

/// A file of the parameters alone, which says what the whole model's says.
result<compute::model_config> config_of_manifest(const model_manifest& manifest) {
  const std::size_t embedding = index_of(manifest, embedding_name);
  if (embedding == manifest.tensors.size()) {
    return fail(errc::malformed, "the manifest has no tensor {}", embedding_name);
  }
  model_manifest bare;
  bare.parameters = manifest.parameters;
  bare.tokenizer = hash_plain({});
  const auto parameters = [](const model_manifest& m) { return compute::lay_out(m, {}); };
  OVIR_ASSIGN(const compute::segment_file first, parameters(bare));
  OVIR_ASSIGN(const compute::gguf said, compute::gguf::parse(std::as_bytes(std::span{first.head})));
  OVIR_ASSIGN(const std::string_view architecture, said.text_at("general.architecture"));
  const std::string key = fmt::format("{}.vocab_size", architecture);
  if (said.find(key) != nullptr) {
    return compute::read_config(said);
  }
  // As a file does that does not say it: the number of the embedding's rows.
  const auto put = [&](std::uint32_t value) {
    bare.parameters.append(reinterpret_cast<const char*>(&value), sizeof value);
  };
  put(static_cast<std::uint32_t>(key.size()));
  bare.parameters += key;
  put(static_cast<std::uint32_t>(compute::gguf_type::u32));
  put(static_cast<std::uint32_t>(manifest.tensors[embedding].shape[1]));
  OVIR_ASSIGN(const compute::segment_file second, parameters(bare));
  OVIR_ASSIGN(const compute::gguf whole,
              compute::gguf::parse(std::as_bytes(std::span{second.head})));
  return compute::read_config(whole);
}

/// Whether blocks are plain by the parameters; that they are by their tensors, `role_of` says.
result<void> require_plain(const compute::model_config& config) {
  static constexpr std::byte present{};
  const compute::weight any{.rows = 1, .cols = 1, .data = &present};
  compute::model m;
  m.config = config;
  m.layers.resize(config.layers);
  for (compute::layer_weights& layer : m.layers) {
    for (compute::weight* const one :
         {&layer.attn_norm, &layer.ffn_norm, &layer.attn_q, &layer.attn_k, &layer.attn_v,
          &layer.attn_output, &layer.ffn_gate, &layer.ffn_up, &layer.ffn_down}) {
      *one = any;
    }
  }
  return compute::require_plain_blocks(m, "proofs of units");
}

/// Looks tensors of a model up by name and checks their shapes.
class tensor_finder {
public:
  explicit tensor_finder(const model_roots& roots) : roots_(roots) {}

  result<committed_tensor> matrix(std::string_view name, std::uint32_t rows, std::uint32_t cols) {
    const std::size_t i = index_of(roots_.manifest, name);
    if (i == roots_.matrices.size() || roots_.matrices[i].rows != rows ||
        roots_.matrices[i].cols != cols) {
      return fail(errc::malformed, "the manifest has no tensor {} of {} rows of {}", name, rows,
                  cols);
    }
    ++found_;
    return roots_.matrices[i];
  }
  result<std::vector<float>> vector(std::string_view name, std::uint32_t size) {
    const std::size_t i = index_of(roots_.manifest, name);
    if (i == roots_.vectors.size() || roots_.vectors[i].size() != size * sizeof(float)) {
      return fail(errc::malformed, "the manifest has no vector {} of {} numbers", name, size);
    }
    ++found_;
    return values_of(roots_.vectors[i]);
  }
  [[nodiscard]] bool has(std::string_view name) const {
    return index_of(roots_.manifest, name) < roots_.manifest.tensors.size();
  }
  [[nodiscard]] std::size_t found() const { return found_; }

private:
  const model_roots& roots_;
  std::size_t found_{0};
};

std::uint32_t rows_of(const compute::model_config& c, unit_matrix which) {
  switch (which) {
  case unit_matrix::q: return c.q_dim();
  case unit_matrix::k:
  case unit_matrix::v: return c.kv_dim();
  case unit_matrix::gate:
  case unit_matrix::up: return c.ffn_dim;
  case unit_matrix::head: return c.vocabulary;
  case unit_matrix::output:
  case unit_matrix::down: break;
  }
  return c.dim;
}

std::uint32_t cols_of(const compute::model_config& c, unit_matrix which) {
  switch (which) {
  case unit_matrix::output: return c.q_dim();
  case unit_matrix::down: return c.ffn_dim;
  default: return c.dim;
  }
}

} // namespace

std::optional<tensor_role> role_of(std::string_view name, bool tied) {
  if (name == embedding_name) {
    return tied ? tensor_role::matrix : tensor_role::embedding;
  }
  if (name == head_name) {
    return tensor_role::matrix;
  }
  const std::string_view part = part_of_layer(name);
  if (name == output_norm_name || name == rope_name || part == "attn_norm" || part == "ffn_norm") {
    return tensor_role::vector;
  }
  const bool known =
      std::find(matrix_parts.begin(), matrix_parts.end(), part) != matrix_parts.end();
  return known ? std::optional{tensor_role::matrix} : std::nullopt;
}

bool is_tied(const model_manifest& manifest) {
  return index_of(manifest, head_name) == manifest.tensors.size();
}

std::string name_of(layer_index layer, unit_matrix which, bool tied) {
  if (which == unit_matrix::head) {
    return std::string{tied ? embedding_name : head_name};
  }
  return fmt::format("blk.{}.{}.weight", layer, matrix_parts[static_cast<std::size_t>(which)]);
}

result<model_roots> shape_of(model_manifest manifest) {
  model_roots roots;
  const bool tied = is_tied(manifest);
  for (const tensor_manifest& t : manifest.tensors) {
    const auto role = role_of(t.name, tied);
    if (!role) {
      return fail(errc::unsupported,
                  "the model has a tensor {}: proofs of units know the blocks of plain llama "
                  "models only",
                  t.name);
    }
    roots.matrices.emplace_back();
    if (*role == tensor_role::matrix) {
      OVIR_ASSIGN(roots.matrices.back(), matrix_shape(t));
    } else if (*role == tensor_role::vector) {
      OVIR_TRY(check_vector(t));
    }
  }
  roots.vectors.resize(manifest.tensors.size());
  roots.manifest = std::move(manifest);
  return roots;
}

std::vector<std::byte> encode_roots(const model_roots& roots) {
  std::vector<std::byte> bytes;
  byte_writer out{bytes};
  out.bytes(roots_magic.data(), roots_magic.size());
  out.number(roots_version);
  const std::string manifest = compute::to_bytes(roots.manifest);
  out.number(static_cast<std::uint32_t>(manifest.size()));
  out.bytes(manifest.data(), manifest.size());
  out.write(roots.embedding);
  for (std::size_t i = 0; i < roots.matrices.size(); ++i) {
    if (roots.matrices[i].rows > 0) {
      out.number(roots.matrices[i].row_sum_max);
      out.write(roots.matrices[i].root);
    }
    out.bytes(roots.vectors[i].data(), roots.vectors[i].size());
  }
  return bytes;
}

result<model_roots> decode_roots(std::span<const std::byte> bytes) {
  if (bytes.size() > limits::roots_bytes_max) {
    return fail(errc::over_limit, "roots of {} bytes; at most {} are read", bytes.size(),
                limits::roots_bytes_max);
  }
  if (bytes.size() < roots_magic.size() ||
      std::memcmp(bytes.data(), roots_magic.data(), roots_magic.size()) != 0) {
    return fail(errc::malformed, "these bytes are no roots of a model");
  }
  byte_reader in{bytes.subspan(roots_magic.size())};
  if (const auto version = in.number<std::uint32_t>(); version != roots_version) {
    return fail(errc::unsupported, "roots of version {}; this program reads version {}", version,
                roots_version);
  }
  const auto size = in.number<std::uint32_t>();
  if (size > in.rest().size()) {
    return fail(errc::malformed, "the roots end within their manifest");
  }
  OVIR_ASSIGN(model_manifest manifest, compute::manifest_from(in.rest().first(size)));
  in.skip(size);
  OVIR_ASSIGN(model_roots roots, shape_of(std::move(manifest)));
  in.read(roots.embedding);
  for (std::size_t i = 0; i < roots.matrices.size() && in.sound(); ++i) {
    const tensor_manifest& t = roots.manifest.tensors[i];
    if (committed_tensor& matrix = roots.matrices[i]; matrix.rows > 0) {
      matrix.row_sum_max = in.number<std::uint64_t>();
      in.read(matrix.root);
      if (const auto fits = check_tensor(matrix); !fits) {
        return in_context(fmt::format("tensor {}", t.name), fits.error());
      }
    } else if (t.dims == 1 && in.rest().size() >= t.bytes) {
      const std::span<const std::byte> vector = in.rest().first(t.bytes);
      if (hash_plain(vector) != t.chunks.front()) {
        return fail(errc::digest_mismatch,
                    "the vector {} of the roots is not the one that the manifest names", t.name);
      }
      roots.vectors[i].assign(vector.begin(), vector.end());
      in.skip(t.bytes);
    } else if (t.dims == 1) {
      in.skip(in.rest().size() + 1);
    }
  }
  if (!in.finished()) {
    return fail(errc::malformed, "the roots end early or go on behind their last tensor");
  }
  return roots;
}

const committed_tensor& public_model::matrix(layer_index layer, unit_matrix which) const {
  return which == unit_matrix::head ? head
                                    : layers[layer].matrices[static_cast<std::size_t>(which)];
}

result<public_model> public_model_of(const model_roots& roots) {
  public_model m;
  m.name = compute::name_of(roots.manifest);
  m.embedding = roots.embedding;
  OVIR_ASSIGN(m.config, config_of_manifest(roots.manifest));
  const compute::model_config& c = m.config;
  OVIR_TRY(require_plain(c));
  const bool tied = is_tied(roots.manifest);
  tensor_finder find{roots};
  OVIR_ASSIGN(m.output_norm, find.vector(output_norm_name, c.dim));
  if (find.has(rope_name)) {
    OVIR_ASSIGN(m.rope_factors, find.vector(rope_name, c.rope_dim / 2));
  }
  OVIR_ASSIGN(m.head, find.matrix(name_of(0, unit_matrix::head, tied), c.vocabulary, c.dim));
  for (layer_index l = 0; l < c.layers; ++l) {
    public_layer layer;
    OVIR_ASSIGN(layer.attention_norm,
                find.vector(fmt::format("blk.{}.attn_norm.weight", l), c.dim));
    OVIR_ASSIGN(layer.feed_forward_norm,
                find.vector(fmt::format("blk.{}.ffn_norm.weight", l), c.dim));
    for (std::size_t i = 0; i < layer_matrices; ++i) {
      const auto which = static_cast<unit_matrix>(i);
      OVIR_ASSIGN(layer.matrices[i],
                  find.matrix(name_of(l, which, tied), rows_of(c, which), cols_of(c, which)));
    }
    m.layers.push_back(std::move(layer));
  }
  const std::size_t other = tied ? 0 : 1; // the embedding
  if (find.found() + other != roots.manifest.tensors.size()) {
    return fail(errc::malformed, "the manifest has {} tensors, where its parameters ask for {}",
                roots.manifest.tensors.size(), find.found() + other);
  }
  return m;
}

} // namespace ovir::proofs
