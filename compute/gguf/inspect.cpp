#include "compute/gguf/inspect.hpp"

#include "compute/base/printable.hpp"
#include "compute/gguf/gguf_parser.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <iterator>
#include <numeric>
#include <type_traits>

namespace ovir::compute {

namespace {

constexpr std::size_t value_bytes_max = 72;
constexpr std::size_t name_bytes_max = 64;
constexpr std::size_t elements_shown_max = 8;

template <class T>
std::string number_at(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof(T));
  if constexpr (sizeof(T) == 1) {
    return fmt::format("{}", static_cast<int>(value)); // not a character
  } else {
    return fmt::format("{}", value);
  }
}

std::string element_text(gguf_type type, const std::byte* at) {
  switch (type) {
  case gguf_type::u8: return number_at<std::uint8_t>(at);
  case gguf_type::i8: return number_at<std::int8_t>(at);
  case gguf_type::u16: return number_at<std::uint16_t>(at);
  case gguf_type::i16: return number_at<std::int16_t>(at);
  case gguf_type::u32: return number_at<std::uint32_t>(at);
  case gguf_type::i32: return number_at<std::int32_t>(at);
  case gguf_type::f32: return number_at<float>(at);
  case gguf_type::u64: return number_at<std::uint64_t>(at);
  case gguf_type::i64: return number_at<std::int64_t>(at);
  case gguf_type::f64: return number_at<double>(at);
  case gguf_type::boolean: return *at == std::byte{0} ? "false" : "true";
  case gguf_type::string:
  case gguf_type::array: break;
  }
  return {};
}

std::string quoted(std::string_view text, std::size_t bytes_max) {
  return '"' + printable(text, bytes_max) + '"';
}

/// Reads the string at `at` of an array that `gguf::parse` checked, and steps over it.
std::string_view string_at(const gguf_array& array, std::size_t& at) {
  std::uint64_t length = 0;
  std::memcpy(&length, array.bytes.data() + at, sizeof(length));
  const auto* first = reinterpret_cast<const char*>(array.bytes.data()) + at + sizeof(length);
  at += sizeof(length) + static_cast<std::size_t>(length);
  return {first, static_cast<std::size_t>(length)};
}

std::string array_text(const gguf_array& array, std::size_t bytes_max) {
  const std::size_t shown =
      static_cast<std::size_t>(std::min<std::uint64_t>(array.count, elements_shown_max));
  std::string out = "[";
  std::size_t at = 0;
  std::size_t i = 0;
  for (; i < shown && out.size() < bytes_max; ++i) {
    out += i == 0 ? "" : ", ";
    if (array.element == gguf_type::string) {
      out += quoted(string_at(array, at), bytes_max / 2);
    } else {
      out += element_text(array.element, array.bytes.data() + at);
      at += element_bytes(array.element);
    }
  }
  return out + (i < array.count ? ", ...]" : "]");
}

std::string type_text(const gguf_entry& entry) {
  if (const auto* array = std::get_if<gguf_array>(&entry.value)) {
    return fmt::format("{}[{}]", name_of(array->element), array->count);
  }
  return std::string{name_of(entry.type)};
}

std::string shape_text(const gguf_tensor& tensor) {
  std::string out = fmt::format("{}", tensor.shape[0]);
  for (std::uint32_t d = 1; d < tensor.dims; ++d) {
    out += fmt::format(" x {}", tensor.shape[d]);
  }
  return out;
}

using table_cells = std::vector<std::string>;

/// In characters, so that accents do not shift a column.
std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;
  }));
}

/// Appends a line of titles and `rows` lines, columns as wide as their widest cell. Asks for every
/// row twice, for its widths and for its text, because a hostile file may have so many that keeping
/// their cells would take more memory than the file.
void append_table(std::string& out, const table_cells& titles, std::size_t rows,
                  const std::function<table_cells(std::size_t)>& cells_of) {
  std::vector<std::size_t> widths(titles.size());
  std::size_t bytes = 0;
  const auto measure = [&](const table_cells& cells) {
    for (std::size_t c = 0; c < cells.size(); ++c) {
      widths[c] = std::max(widths[c], width_of(cells[c]));
      bytes += cells[c].size() - width_of(cells[c]);
    }
  };
  measure(titles);
  for (std::size_t i = 0; i < rows; ++i) {
    measure(cells_of(i));
  }
  const auto append = [&](const table_cells& cells) {
    out += ' ';
    for (std::size_t c = 0; c < cells.size(); ++c) {
      out += ' ';
      out += cells[c];
      if (c + 1 < cells.size()) {
        out.append(widths[c] - width_of(cells[c]) + 1, ' ');
      }
    }
    out += '\n';
  };
  bytes += (std::accumulate(widths.begin(), widths.end(), 2 * widths.size() + 2)) * (rows + 1);
  out.reserve(out.size() + bytes);
  append(titles);
  for (std::size_t i = 0; i < rows; ++i) {
    append(cells_of(i));
  }
}

table_cells tensor_cells(const gguf_tensor& tensor) {
  return {printable(tensor.name, name_bytes_max), std::string{name_of_raw_type(tensor.raw_type)},
          shape_text(tensor), tensor.data.empty() ? "?" : fmt::format("{}", tensor.data.size()),
          fmt::format("{}", tensor.offset)};
}

std::string mebibytes(std::uint64_t bytes) {
  return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1 << 20));
}

} // namespace

std::uint64_t elements_of(const gguf_tensor& tensor) noexcept {
  // Cannot wrap: the parser bounds the product.
  return tensor.shape[0] * tensor.shape[1] * tensor.shape[2] * tensor.shape[3];
}

tensor_totals totals_of(const gguf& file) {
  tensor_totals totals;
  for (const gguf_tensor& tensor : file.tensors()) {
    const std::string_view name = name_of_raw_type(tensor.raw_type);
    auto found = std::find_if(totals.by_type.begin(), totals.by_type.end(),
                              [&](const type_total& t) { return t.type == name; });
    if (found == totals.by_type.end()) {
      found = totals.by_type.insert(found, type_total{name});
    }
    const std::uint64_t elements = elements_of(tensor);
    ++found->tensors;
    found->elements += elements;
    found->bytes += tensor.data.size();
    totals.elements += elements;
    totals.bytes += tensor.data.size();
  }
  std::sort(totals.by_type.begin(), totals.by_type.end(),
            [](const type_total& a, const type_total& b) {
              return a.bytes != b.bytes ? a.bytes > b.bytes : a.type < b.type;
            });
  return totals;
}

std::string text_of_value(const gguf_entry& entry, std::size_t bytes_max) {
  return std::visit(
      [&](const auto& value) -> std::string {
        using value_type = std::decay_t<decltype(value)>;
        if constexpr (std::is_same_v<value_type, gguf_array>) {
          return array_text(value, bytes_max);
        } else if constexpr (std::is_same_v<value_type, std::string_view>) {
          return quoted(value, bytes_max);
        } else if constexpr (std::is_same_v<value_type, double>) {
          // An f32 with the digits of an f32.
          return entry.type == gguf_type::f32 ? fmt::format("{}", static_cast<float>(value))
                                              : fmt::format("{}", value);
        } else {
          return fmt::format("{}", value);
        }
      },
      entry.value);
}

std::string inspect_table(const gguf& file) {
  std::string out = fmt::format("GGUF version {}, alignment {}, tensor data at byte {}\n",
                                file.version(), file.alignment(), file.data_offset());
  const auto entries = file.entries();
  if (!entries.empty()) {
    fmt::format_to(std::back_inserter(out), "\nmetadata ({})\n", entries.size());
    append_table(out, {"key", "type", "value"}, entries.size(), [&](std::size_t i) {
      return table_cells{printable(entries[i].key, name_bytes_max), type_text(entries[i]),
                         text_of_value(entries[i], value_bytes_max)};
    });
  }
  const auto tensors = file.tensors();
  if (!tensors.empty()) {
    fmt::format_to(std::back_inserter(out), "\ntensors ({})\n", tensors.size());
    append_table(out, {"name", "type", "shape", "bytes", "offset"}, tensors.size(),
                 [&](std::size_t i) { return tensor_cells(tensors[i]); });
  }
  const tensor_totals totals = totals_of(file);
  fmt::format_to(std::back_inserter(out), "\n{} parameters in {} bytes ({})\n", totals.elements,
                 totals.bytes, mebibytes(totals.bytes));
  if (!totals.by_type.empty()) {
    append_table(out, {"type", "tensors", "parameters", "bytes"}, totals.by_type.size(),
                 [&](std::size_t i) {
                   const type_total& t = totals.by_type[i];
                   return table_cells{std::string{t.type}, fmt::format("{}", t.tensors),
                                      fmt::format("{}", t.elements), fmt::format("{}", t.bytes)};
                 });
  }
  return out;
}

} // namespace ovir::compute
