#include "compute/gguf/gguf_writer.hpp"

#include <variant>

namespace ovir::compute {

namespace {

/// A number of the metadata in the width of its type.
template <class T>
void put_number(gguf_writer& out, gguf_type type, T value) {
  switch (type) {
  case gguf_type::u8: return out.number(static_cast<std::uint8_t>(value));
  case gguf_type::i8: return out.number(static_cast<std::int8_t>(value));
  case gguf_type::u16: return out.number(static_cast<std::uint16_t>(value));
  case gguf_type::i16: return out.number(static_cast<std::int16_t>(value));
  case gguf_type::u32: return out.number(static_cast<std::uint32_t>(value));
  case gguf_type::i32: return out.number(static_cast<std::int32_t>(value));
  case gguf_type::f32: return out.number(static_cast<float>(value));
  case gguf_type::u64: return out.number(static_cast<std::uint64_t>(value));
  case gguf_type::i64: return out.number(static_cast<std::int64_t>(value));
  case gguf_type::f64: return out.number(static_cast<double>(value));
  case gguf_type::boolean:
  case gguf_type::string:
  case gguf_type::array: break;
  }
}

} // namespace

void gguf_writer::copy(const gguf_entry& from) {
  entry(from.key, from.type);
  std::visit(
      [&](const auto& value) {
        using value_type = std::decay_t<decltype(value)>;
        if constexpr (std::is_same_v<value_type, std::string_view>) {
          text(value);
        } else if constexpr (std::is_same_v<value_type, bool>) {
          number(static_cast<std::uint8_t>(value ? 1 : 0));
        } else if constexpr (std::is_same_v<value_type, gguf_array>) {
          number(static_cast<std::uint32_t>(value.element));
          number(value.count);
          bytes_.append(reinterpret_cast<const char*>(value.bytes.data()), value.bytes.size());
        } else {
          put_number(*this, from.type, value);
        }
      },
      from.value);
}

} // namespace ovir::compute
