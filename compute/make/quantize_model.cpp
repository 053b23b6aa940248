#include "compute/make/quantize_model.hpp"

#include "compute/base/printable.hpp"
#include "compute/gguf/gguf_writer.hpp"
#include "compute/kernels/reference/block_operations.hpp"
#include "compute/model/weight_bounds.hpp"
#include "compute/tensor/quantized_rows.hpp"
#include "messages/limits/general.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

namespace ovir::compute {

namespace {

struct recipe_facts {
  std::string_view name;
  tensor_type most;        ///< of most matrices
  std::uint32_t file_type; ///< `general.file_type` of such files
};

/// In the order of `quantize_recipe`.
constexpr std::array<recipe_facts, 5> recipes{{
    {"q8_0", tensor_type::q8_0, 7},
    {"q4_0", tensor_type::q4_0, 2},
    {"q4_k_m", tensor_type::q4_k, 15},
    {"q6_k", tensor_type::q6_k, 18},
    {"f32", tensor_type::f32, 0},
}};

const recipe_facts& facts_of(quantize_recipe recipe) {
  return recipes[static_cast<std::size_t>(recipe)];
}

/// Rows that are read, encoded and written together.
constexpr std::size_t elements_at_once = std::size_t{1} << 20U;

std::uint64_t aligned(std::uint64_t offset, std::uint32_t alignment) {
  return (offset + alignment - 1) / alignment * alignment;
}

/// The first and last eighth of the layers and every third between keep more bits, in matrices
/// where they matter most.
bool keeps_more_bits(std::uint64_t layer, std::uint64_t layers) {
  return layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
}

/// N of a name "blk.N.part.weight", and the part.
struct layer_name {
  std::uint64_t layer;
  std::string_view part;
};
std::optional<layer_name> layer_name_of(std::string_view name) {
  constexpr std::string_view before = "blk.";
  constexpr std::string_view behind = ".weight";
  if (!name.starts_with(before) || !name.ends_with(behind)) {
    return std::nullopt;
  }
  name = name.substr(before.size(), name.size() - before.size() - behind.size());
  std::uint64_t layer = 0;
  const auto [end, fault] = std::from_chars(name.data(), name.data() + name.size(), layer);
  if (fault != std::errc{} || end == name.data() + name.size() || *end != '.') {
    return std::nullopt;
  }
  return layer_name{layer, name.substr(static_cast<std::size_t>(end - name.data()) + 1)};
}

class planner {
public:
  planner(const gguf& model, quantize_recipe recipe) : model_(model), recipe_(recipe) {}
  result<quantize_plan> run();

private:
  [[nodiscard]] bool is_matrix(const gguf_tensor& t) const;
  [[nodiscard]] tensor_type wanted_for(const gguf_tensor& t) const;
  [[nodiscard]] tensor_type fitting(tensor_type type, std::uint64_t cols) const;
  result<void> count_layers();
  void write_front();

  const gguf& model_;
  quantize_recipe recipe_;
  std::uint64_t layers_{0};
  quantize_plan out_;
};

/// Routers and norms decide for whole vectors: they stay as they are.
bool planner::is_matrix(const gguf_tensor& t) const {
  const auto named = layer_name_of(t.name);
  const bool router = named && named->part.starts_with("ffn_gate_inp");
  return t.dims >= 2 && t.name.ends_with(".weight") && (!router || recipe_ == quantize_recipe::f32);
}

tensor_type planner::wanted_for(const gguf_tensor& t) const {
  const tensor_type most = facts_of(recipe_).most;
  const bool mixed = recipe_ == quantize_recipe::q4_k_m;
  if (!mixed && recipe_ != quantize_recipe::q4_0) {
    return most;
  }
  const bool tied = model_.find_tensor("output.weight") == nullptr;
  if (t.name == "output.weight" || (tied && t.name == "token_embd.weight")) {
    return tensor_type::q6_k;
  }
  constexpr std::array<std::string_view, 5> careful{"attn_v", "attn_qkv", "ffn_down",
                                                    "ffn_down_exps", "ffn_down_shexp"};
  const auto named = layer_name_of(t.name);
  const bool more = mixed && named && keeps_more_bits(named->layer, layers_) &&
                    std::find(careful.begin(), careful.end(), named->part) != careful.end();
  return more ? tensor_type::q6_k : most;
}

tensor_type planner::fitting(tensor_type type, std::uint64_t cols) const {
  if (cols % layout_of(type).block_elements == 0) {
    return type;
  }
  if (cols % 32 == 0) {
    return type == tensor_type::q4_k ? tensor_type::q5_0 : tensor_type::q8_0;
  }
  return tensor_type::f16;
}

result<void> planner::count_layers() {
  OVIR_ASSIGN(const std::string_view family, model_.text_at("general.architecture"));
  OVIR_ASSIGN(layers_, model_.unsigned_at(fmt::format("{}.block_count", family)));
  return {};
}

void planner::write_front() {
  constexpr std::string_view type_key = "general.file_type";
  constexpr std::string_view version_key = "general.quantization_version";
  gguf_writer meta;
  for (const gguf_entry& entry : model_.entries()) {
    if (entry.key != type_key && entry.key != version_key) {
      meta.copy(entry);
    }
  }
  meta.u32(type_key, facts_of(recipe_).file_type);
  meta.u32(version_key, 2);
  gguf_writer head;
  head.number(std::uint32_t{3});
  head.number(std::uint64_t{out_.tensors.size()});
  head.number(meta.entries());
  gguf_writer infos;
  std::uint64_t offset = 0;
  for (const quantized_tensor& t : out_.tensors) {
    infos.text(t.from->name);
    infos.number(t.from->dims);
    for (std::uint32_t d = 0; d < t.from->dims; ++d) {
      infos.number(t.from->shape[d]);
    }
    infos.number(t.raw_type);
    infos.number(offset);
    offset = aligned(offset + t.bytes, out_.alignment);
  }
  out_.front = "GGUF" + head.bytes() + meta.bytes() + infos.bytes();
  out_.front.resize(static_cast<std::size_t>(aligned(out_.front.size(), out_.alignment)), '\0');
}

result<quantize_plan> planner::run() {
  OVIR_TRY(count_layers());
  out_.alignment = model_.alignment();
  for (const gguf_tensor& t : model_.tensors()) {
    const auto type = tensor_type_from(t.raw_type);
    if (!type) {
      return fail(errc::unsupported, "tensor \"{}\" is of type {}, which this build does not know",
                  printable(t.name), name_of_raw_type(t.raw_type));
    }
    quantized_tensor to{&t, t.raw_type, t.data.size()};
    if (is_matrix(t)) {
      if (form_for(*type) != activation_form::floats && recipe_ != quantize_recipe::f32) {
        return fail(errc::unsupported,
                    "tensor \"{}\" is {} already, and quantising again would lose more than the "
                    "size says; take the model's F32, F16 or BF16 file",
                    printable(t.name), name_of(*type));
      }
      if (t.shape[0] > limits::vocabulary_max) {
        return fail(errc::over_limit,
                    "rows of tensor \"{}\" have {} elements, more than the {} allowed",
                    printable(t.name), t.shape[0], limits::vocabulary_max);
      }
      const tensor_type made = fitting(wanted_for(t), t.shape[0]);
      const tensor_layout layout = layout_of(made);
      const std::uint64_t rows = t.shape[1] * t.shape[2] * t.shape[3];
      to.raw_type = static_cast<std::uint32_t>(made);
      to.bytes = rows * (t.shape[0] / layout.block_elements * layout.block_bytes);
    }
    out_.tensors.push_back(to);
  }
  write_front();
  out_.bytes = out_.front.size();
  for (const quantized_tensor& t : out_.tensors) {
    out_.bytes = aligned(out_.bytes, out_.alignment) + t.bytes;
  }
  return std::move(out_);
}

class writer {
public:
  writer(const quantize_plan& plan, const quantize_sink& sink, const quantize_progress& progress,
         parallel_runner& runner)
      : plan_(plan), sink_(sink), progress_(progress), runner_(runner) {}
  result<void> run();

private:
  result<void> put(std::span<const std::byte> bytes);
  result<void> pad();
  result<void> encode(const quantized_tensor& t);

  const quantize_plan& plan_;
  const quantize_sink& sink_;
  const quantize_progress& progress_;
  parallel_runner& runner_;
  std::uint64_t done_{0};
};

result<void> writer::put(std::span<const std::byte> bytes) {
  OVIR_TRY(sink_(bytes));
  done_ += bytes.size();
  if (progress_) {
    progress_(done_, plan_.bytes);
  }
  return {};
}

result<void> writer::pad() {
  const std::vector<std::byte> zeros(aligned(done_, plan_.alignment) - done_);
  return zeros.empty() ? result<void>{} : put(zeros);
}

result<void> writer::encode(const quantized_tensor& t) {
  const auto& shape = t.from->shape;
  const auto cols = static_cast<std::uint32_t>(shape[0]);
  const std::uint64_t rows = shape[1] * shape[2] * shape[3];
  const auto to = static_cast<tensor_type>(t.raw_type);
  const std::uint64_t to_bytes = t.bytes / std::max<std::uint64_t>(rows, 1);
  const std::uint64_t together = std::max<std::uint64_t>(1, elements_at_once / cols);
  std::vector<std::byte> out;
  for (std::uint64_t first = 0; first < rows; first += together) {
    const std::uint64_t count = std::min(together, rows - first);
    weight from{.type = *tensor_type_from(t.from->raw_type),
                .rows = static_cast<std::uint32_t>(count),
                .cols = cols};
    from.data = t.from->data.data() + first * from.row_bytes();
    out.resize(count * to_bytes);
    if (form_for(from.type) != activation_form::floats &&
        bounds_of_rows(from, 0, from.rows).nonfinite) {
      return fail(errc::malformed, "tensor \"{}\" has a scale that is an infinity or a NaN",
                  printable(t.from->name));
    }
    std::vector<std::uint8_t> ok(count);
    runner_.run(count, [&](std::size_t r) {
      std::vector<float> row(cols);
      embed_row(from, static_cast<std::uint32_t>(r), row.data());
      ok[r] = all_finite(row) && quantize_row(to, row, out.data() + r * to_bytes) ? 1 : 0;
    });
    if (const auto bad = std::find(ok.begin(), ok.end(), std::uint8_t{0}); bad != ok.end()) {
      return fail(errc::malformed,
                  "row {} of tensor \"{}\" holds a NaN, an infinity or a number too large for {}",
                  first + static_cast<std::uint64_t>(bad - ok.begin()), printable(t.from->name),
                  name_of(to));
    }
    OVIR_TRY(put(out));
  }
  return {};
}

result<void> writer::run() {
  OVIR_TRY(put(std::as_bytes(std::span{plan_.front})));
  for (const quantized_tensor& t : plan_.tensors) {
    OVIR_TRY(pad());
    OVIR_TRY(t.raw_type == t.from->raw_type ? put(t.from->data) : encode(t));
  }
  return {};
}

} // namespace

result<quantize_recipe> quantize_recipe_from(std::string_view name) {
  std::string names;
  for (std::size_t i = 0; i < recipes.size(); ++i) {
    if (recipes[i].name == name) {
      return static_cast<quantize_recipe>(i);
    }
    names += (names.empty() ? "" : ", ") + std::string{recipes[i].name};
  }
  return fail(errc::invalid_argument, "no recipe is called \"{}\"; choose one of {}",
              printable(name), names);
}

result<quantize_plan> plan_quantized(const gguf& model, quantize_recipe recipe) {
  return planner{model, recipe}.run();
}

result<void> write_quantized(const quantize_plan& plan, const quantize_sink& sink,
                             const quantize_progress& progress, parallel_runner& runner) {
  return writer{plan, sink, progress, runner}.run();
}

} // namespace ovir::compute
