#include "compute/tensor/tensor.hpp"

#include <array>
#include <string>

namespace ovir::compute {

namespace {

/// One GGUF type number. A layout of zeros means that the size is not known here.
struct raw_type {
  std::string_view name;
  tensor_layout layout;
};

constexpr tensor_layout unknown_size{0, 0};

// Index is the type number. 4 and 5 predate GGUF and 31 to 33 and 36 to 38 were withdrawn from
// files; their numbers are kept so that an old file is refused by name.
constexpr std::array<raw_type, 43> raw_types{{
    {"F32", {1, 4}},          {"F16", {1, 2}},          {"Q4_0", {32, 18}},
    {"Q4_1", {32, 20}},       {"Q4_2", unknown_size},   {"Q4_3", unknown_size},
    {"Q5_0", {32, 22}},       {"Q5_1", {32, 24}},       {"Q8_0", {32, 34}},
    {"Q8_1", {32, 36}},       {"Q2_K", {256, 84}},      {"Q3_K", {256, 110}},
    {"Q4_K", {256, 144}},     {"Q5_K", {256, 176}},     {"Q6_K", {256, 210}},
    {"Q8_K", {256, 292}},     {"IQ2_XXS", {256, 66}},   {"IQ2_XS", {256, 74}},
    {"IQ3_XXS", {256, 98}},   {"IQ1_S", {256, 50}},     {"IQ4_NL", {32, 18}},
    {"IQ3_S", {256, 110}},    {"IQ2_S", {256, 82}},     {"IQ4_XS", {256, 136}},
    {"I8", {1, 1}},           {"I16", {1, 2}},          {"I32", {1, 4}},
    {"I64", {1, 8}},          {"F64", {1, 8}},          {"IQ1_M", {256, 56}},
    {"BF16", {1, 2}},         {"Q4_0_4_4", {32, 18}},   {"Q4_0_4_8", {32, 18}},
    {"Q4_0_8_8", {32, 18}},   {"TQ1_0", {256, 54}},     {"TQ2_0", {256, 66}},
    {"IQ4_NL_4_4", {32, 18}}, {"IQ4_NL_4_8", {32, 18}}, {"IQ4_NL_8_8", {32, 18}},
    {"MXFP4", {32, 17}},      {"NVFP4", unknown_size},  {"Q1_0", unknown_size},
    {"Q2_0", unknown_size},
}};

} // namespace

std::string_view name_of(tensor_type type) noexcept {
  return name_of_raw_type(static_cast<std::uint32_t>(type));
}

std::optional<tensor_type> tensor_type_from(std::uint32_t raw) noexcept {
  const auto type = static_cast<tensor_type>(raw);
  if (layout_of(type).block_bytes == 0) {
    return std::nullopt;
  }
  return type;
}

std::string_view tensor_type_names() {
  static const std::string names = [] {
    std::string out;
    for (std::uint32_t raw = 0; raw < raw_types.size(); ++raw) {
      if (tensor_type_from(raw)) {
        out += (out.empty() ? "" : ", ") + std::string{raw_types[raw].name};
      }
    }
    return out;
  }();
  return names;
}

std::string_view name_of_raw_type(std::uint32_t raw) noexcept {
  return raw < raw_types.size() ? raw_types[raw].name : std::string_view{};
}

std::optional<tensor_layout> layout_of_raw_type(std::uint32_t raw) noexcept {
  if (raw >= raw_types.size() || raw_types[raw].layout.block_bytes == 0) {
    return std::nullopt;
  }
  return raw_types[raw].layout;
}

} // namespace ovir::compute
