#include "learning/adapter/adapter_file.hpp"

#include "compute/base/printable.hpp"
#include "compute/kernels/reference/block_operations.hpp"
#include "compute/tensor/quantized_rows.hpp"
#include "messages/limits/general.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <optional>

namespace ovir::learning {

namespace {

using compute::gguf;
using compute::gguf_tensor;
using compute::gguf_writer;
using compute::printable;

constexpr std::size_t file_alignment = 32;

constexpr std::string_view type_key = "general.type";
constexpr std::string_view architecture_key = "general.architecture";
constexpr std::string_view adapter_type_key = "adapter.type";
constexpr std::string_view alpha_key = "adapter.lora.alpha";
constexpr std::string_view profile_key = "ovir.learn.profile";
constexpr std::string_view base_key = "ovir.learn.base";
constexpr std::string_view data_key = "ovir.learn.data";
constexpr std::string_view settings_key = "ovir.learn.settings";
constexpr std::string_view steps_key = "ovir.learn.steps";

constexpr std::size_t aligned(std::size_t bytes) {
  return (bytes + file_alignment - 1) / file_alignment * file_alignment;
}

/// One matrix to write.
struct planned_matrix {
  std::string name;
  std::uint64_t cols;
  const std::vector<float>* numbers;
};

std::vector<planned_matrix> plan_of(std::uint32_t rank, std::span<const named_numbers> all) {
  std::vector<planned_matrix> plan;
  for (const named_numbers& named : all) {
    for_each_pair(*named.numbers, [&](std::size_t layer, std::size_t place, const lora_pair& pair) {
      const std::string name = fmt::format("blk.{}.{}.weight", layer, targets[place].name);
      plan.push_back(
          {fmt::format("{}.lora_a{}", name, named.suffix), pair.a.size() / rank, &pair.a});
      plan.push_back({fmt::format("{}.lora_b{}", name, named.suffix), rank, &pair.b});
    });
  }
  return plan;
}

} // namespace

std::string gguf_of(const gguf_writer& meta, std::uint32_t rank,
                    std::span<const named_numbers> all) {
  const std::vector<planned_matrix> plan = plan_of(rank, all);
  gguf_writer head;
  head.number(std::uint32_t{3});
  head.number(std::uint64_t{plan.size()});
  head.number(meta.entries());
  gguf_writer infos;
  std::size_t offset = 0;
  for (const planned_matrix& m : plan) {
    infos.text(m.name);
    infos.number(std::uint32_t{2});
    infos.number(m.cols);
    infos.number(std::uint64_t{m.numbers->size() / m.cols});
    infos.number(static_cast<std::uint32_t>(compute::tensor_type::f32));
    infos.number(std::uint64_t{offset});
    offset = aligned(offset + m.numbers->size() * sizeof(float));
  }
  std::string bytes = "GGUF" + head.bytes() + meta.bytes() + infos.bytes();
  bytes.resize(aligned(bytes.size()), '\0');
  const std::size_t data = bytes.size();
  bytes.resize(data + offset, '\0');
  std::size_t at = data;
  for (const planned_matrix& m : plan) {
    const std::size_t size = m.numbers->size() * sizeof(float);
    std::memcpy(bytes.data() + at, m.numbers->data(), size);
    at = aligned(at + size);
  }
  return bytes;
}

void put_adapter(gguf_writer& meta, const adapter& a, const provenance& from) {
  meta.string(type_key, "adapter");
  meta.string(architecture_key, a.architecture);
  meta.string(adapter_type_key, "lora");
  meta.f32(alpha_key, a.alpha);
  const auto put = [&](std::string_view key, const std::string& value) {
    if (!value.empty()) {
      meta.string(key, value);
    }
  };
  put(profile_key, from.profile);
  put(base_key, from.base);
  put(data_key, from.data);
  put(settings_key, from.settings);
  meta.u32(steps_key, from.steps);
}

std::string to_file(const adapter& a, const provenance& from) {
  gguf_writer meta;
  put_adapter(meta, a, from);
  const named_numbers own[] = {{"", &a.numbers}};
  return gguf_of(meta, a.rank, own);
}

namespace {

/// What a tensor's name says.
struct matrix_name {
  std::size_t layer;
  std::size_t place;
  bool is_b;
};

std::optional<matrix_name> matrix_name_of(std::string_view name, std::string_view suffix) {
  constexpr std::string_view before = "blk.";
  if (!name.starts_with(before) || !name.ends_with(suffix)) {
    return std::nullopt;
  }
  name = name.substr(before.size(), name.size() - before.size() - suffix.size());
  std::uint32_t layer = 0;
  const auto [end, fault] = std::from_chars(name.data(), name.data() + name.size(), layer);
  const auto digits = static_cast<std::size_t>(end - name.data());
  if (fault != std::errc{} || (digits > 1 && name.front() == '0')) {
    return std::nullopt;
  }
  name.remove_prefix(digits);
  const bool is_b = name.ends_with(".weight.lora_b");
  if (!name.starts_with('.') || (!is_b && !name.ends_with(".weight.lora_a"))) {
    return std::nullopt;
  }
  name = name.substr(1, name.size() - 1 - std::string_view{".weight.lora_b"}.size());
  const auto at =
      std::find_if(targets.begin(), targets.end(), [&](const target& t) { return t.name == name; });
  if (at == targets.end()) {
    return std::nullopt;
  }
  return matrix_name{layer, static_cast<std::size_t>(at - targets.begin()), is_b};
}

/// Text of a key, or nothing where it is absent.
result<std::string> text_or_nothing(const gguf& file, std::string_view key) {
  if (file.find(key) == nullptr) {
    return std::string{};
  }
  OVIR_ASSIGN(const std::string_view text, file.text_at(key));
  if (text.size() > limits::adapter_text_bytes_max) {
    return fail(errc::over_limit, "{} has {} bytes, and {} are allowed", key, text.size(),
                limits::adapter_text_bytes_max);
  }
  return std::string{text};
}

result<void> expect_text(const gguf& file, std::string_view key, std::string_view wanted) {
  OVIR_ASSIGN(const std::string_view text, file.text_at(key));
  if (text != wanted) {
    return fail(errc::unsupported, "{} is \"{}\", and an adapter of this kind has \"{}\"", key,
                printable(text), wanted);
  }
  return {};
}

result<std::vector<float>> floats_of(const gguf_tensor& t) {
  const auto type = compute::tensor_type_from(t.raw_type);
  if (!type || compute::form_for(*type) != compute::activation_form::floats) {
    return fail(errc::unsupported,
                "tensor \"{}\" is of type {}; adapters with F32, F16 or BF16 are read",
                printable(t.name), compute::name_of_raw_type(t.raw_type));
  }
  const std::size_t count = t.data.size() / compute::layout_of(*type).block_bytes;
  std::vector<float> out(count);
  for (std::size_t i = 0; i < count; ++i) {
    out[i] = compute::float_element(*type, t.data.data(), i);
  }
  if (!compute::all_finite(out)) {
    return fail(errc::malformed, "tensor \"{}\" holds a NaN or an infinity", printable(t.name));
  }
  return out;
}

/// Rows and columns within what a model may have.
result<void> check_shape(const gguf_tensor& t, bool is_b) {
  const std::uint64_t rank = is_b ? t.shape[0] : t.shape[1];
  const std::uint64_t side = is_b ? t.shape[1] : t.shape[0];
  const std::uint64_t most =
      std::max(limits::feed_forward_max, limits::heads_max * limits::head_dim_max);
  if (t.dims > 2 || t.shape[2] != 1 || t.shape[3] != 1 || rank == 0 || side == 0) {
    return fail(errc::malformed, "tensor \"{}\" is not a matrix", printable(t.name));
  }
  if (rank > limits::adapter_rank_max || side > most) {
    return fail(errc::over_limit,
                "tensor \"{}\" has a rank of {} and a side of {}; {} and {} are allowed",
                printable(t.name), rank, side, limits::adapter_rank_max, most);
  }
  return {};
}

/// Puts one tensor in its place.
result<void> take_matrix(const gguf_tensor& t, const matrix_name& name, adapter& into) {
  OVIR_TRY(check_shape(t, name.is_b));
  const auto rank = static_cast<std::uint32_t>(name.is_b ? t.shape[0] : t.shape[1]);
  if (into.rank != 0 && into.rank != rank) {
    return fail(errc::unsupported,
                "tensor \"{}\" has a rank of {}, and others {}; one rank is read",
                printable(t.name), rank, into.rank);
  }
  if (name.layer >= limits::layers_max) {
    return fail(errc::over_limit, "tensor \"{}\" is of a layer beyond {}", printable(t.name),
                limits::layers_max - 1);
  }
  into.rank = rank;
  into.numbers.resize(std::max(into.numbers.size(), name.layer + 1));
  lora_pair& pair = into.numbers[name.layer][name.place];
  OVIR_ASSIGN((name.is_b ? pair.b : pair.a), floats_of(t));
  return {};
}

result<void> check_pairs(const adapter& a) {
  for (std::size_t layer = 0; layer < a.numbers.size(); ++layer) {
    for (std::size_t place = 0; place < targets.size(); ++place) {
      const lora_pair& pair = a.numbers[layer][place];
      if (pair.a.empty() != pair.b.empty()) {
        return fail(errc::malformed, "blk.{}.{} has one matrix of its pair; both are needed", layer,
                    targets[place].name);
      }
    }
  }
  if (a.numbers.empty()) {
    return fail(errc::malformed, "the file holds no pair of matrices");
  }
  return {};
}

} // namespace

result<adapter_contents> adapter_of(const gguf& file, std::span<const std::string_view> suffixes) {
  OVIR_TRY(expect_text(file, type_key, "adapter"));
  OVIR_TRY(expect_text(file, adapter_type_key, "lora"));
  adapter_contents out;
  OVIR_ASSIGN(out.is.architecture, text_or_nothing(file, architecture_key));
  OVIR_ASSIGN(const double alpha, file.float_at(alpha_key));
  out.is.alpha = static_cast<float>(alpha);
  if (!(alpha > 0) || alpha > static_cast<double>(limits::adapter_alpha_max)) {
    return fail(errc::malformed, "{} is {}, and must be above 0 and up to {}", alpha_key, alpha,
                limits::adapter_alpha_max);
  }
  OVIR_ASSIGN(out.from.profile, text_or_nothing(file, profile_key));
  OVIR_ASSIGN(out.from.base, text_or_nothing(file, base_key));
  OVIR_ASSIGN(out.from.data, text_or_nothing(file, data_key));
  OVIR_ASSIGN(out.from.settings, text_or_nothing(file, settings_key));
  if (file.find(steps_key) != nullptr) {
    OVIR_ASSIGN(const std::uint64_t steps, file.unsigned_at(steps_key));
    if (steps > limits::learn_steps_max) {
      return fail(errc::over_limit, "{} is {}, and {} are allowed", steps_key, steps,
                  limits::learn_steps_max);
    }
    out.from.steps = static_cast<std::uint32_t>(steps);
  }
  for (const gguf_tensor& t : file.tensors()) {
    if (const auto name = matrix_name_of(t.name, "")) {
      OVIR_TRY(take_matrix(t, *name, out.is));
    } else if (std::none_of(suffixes.begin(), suffixes.end(), [&](std::string_view suffix) {
                 return matrix_name_of(t.name, suffix).has_value();
               })) {
      return fail(errc::unsupported,
                  "tensor \"{}\" is not one of a pair that this version reads: blk.N.NAME.weight "
                  "with .lora_a or .lora_b",
                  printable(t.name));
    }
  }
  OVIR_TRY(check_pairs(out.is));
  return out;
}

result<lora_numbers> numbers_of(const gguf& file, std::string_view suffix, const adapter& like) {
  adapter read;
  for (const gguf_tensor& t : file.tensors()) {
    if (const auto name = matrix_name_of(t.name, suffix)) {
      OVIR_TRY(take_matrix(t, *name, read));
    }
  }
  read.numbers.resize(std::max(read.numbers.size(), like.numbers.size()));
  bool same = read.numbers.size() == like.numbers.size();
  for (std::size_t layer = 0; same && layer < like.numbers.size(); ++layer) {
    for (std::size_t place = 0; place < targets.size(); ++place) {
      const lora_pair& wanted = like.numbers[layer][place];
      const lora_pair& found = read.numbers[layer][place];
      same = same && found.a.size() == wanted.a.size() && found.b.size() == wanted.b.size();
    }
  }
  if (!same) {
    return fail(errc::malformed,
                "the tensors ending in \"{}\" are not those of the adapter's pairs", suffix);
  }
  return std::move(read.numbers);
}

result<adapter_contents> adapter_from(std::span<const std::byte> file) {
  OVIR_ASSIGN(const gguf parsed, gguf::parse(file));
  return adapter_of(parsed, {});
}

} // namespace ovir::learning
