#include "compute/gguf/gguf_parser.hpp"

#include "compute/base/printable.hpp"
#include "messages/limits/general.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>
#include <utility>

namespace ovir::compute {

static_assert(std::endian::native == std::endian::little, "GGUF numbers are read in memory order");

namespace {

// The least a metadata entry (key length, one byte of key, type, one byte of value) and a tensor
// (name length, one byte of name, dimension count, one dimension, type, offset) take in a file.
constexpr std::uint64_t entry_bytes_min = 8 + 1 + 4 + 1;
constexpr std::uint64_t tensor_bytes_min = 8 + 1 + 4 + 8 + 4 + 8;

constexpr std::uint32_t version_min = 2;
constexpr std::uint32_t version_max = 3;

constexpr std::string_view damaged = "the file is damaged or cut short, fetch it again";

template <class T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

} // namespace

std::size_t element_bytes(gguf_type type) noexcept {
  switch (type) {
  case gguf_type::u8:
  case gguf_type::i8:
  case gguf_type::boolean: return 1;
  case gguf_type::u16:
  case gguf_type::i16: return 2;
  case gguf_type::u32:
  case gguf_type::i32:
  case gguf_type::f32: return 4;
  case gguf_type::u64:
  case gguf_type::i64:
  case gguf_type::f64: return 8;
  case gguf_type::string:
  case gguf_type::array: return 0;
  }
  return 0;
}

std::string gguf_field::text() const {
  std::string out{what};
  if (!name.empty()) {
    out += fmt::format(" \"{}\"", printable(name));
  }
  return index ? out + fmt::format(" {}", *index) : out;
}

result<gguf> gguf_parser::run() {
  OVIR_TRY(read_header());
  OVIR_TRY(read_entries());
  OVIR_TRY(adopt_alignment());
  OVIR_TRY(read_tensors());
  OVIR_TRY(refuse_duplicates());
  OVIR_TRY(place_tensors());
  OVIR_TRY(refuse_overlaps());
  return std::move(out_);
}

template <class T>
result<T> gguf_parser::number(const gguf_field& field) {
  if (left() < sizeof(T)) {
    return fail(errc::malformed, "{} at byte {} needs {} bytes, but the file ends after {}; {}",
                field.text(), at_, sizeof(T), left(), damaged);
  }
  const T value = load<T>(file_.data() + at_);
  at_ += sizeof(T);
  return value;
}

result<std::string_view> gguf_parser::text(const gguf_field& field, std::uint64_t bytes_max) {
  const std::uint64_t start = at_;
  OVIR_ASSIGN(const std::uint64_t length, number<std::uint64_t>(field));
  if (length > left()) {
    return fail(errc::malformed, "{} at byte {} claims {} bytes of text, but only {} are left; {}",
                field.text(), start, length, left(), damaged);
  }
  if (length > bytes_max) {
    return fail(errc::over_limit, "{} at byte {} is {} bytes long, more than the {} allowed",
                field.text(), start, length, bytes_max);
  }
  const std::string_view view{reinterpret_cast<const char*>(file_.data() + at_),
                              static_cast<std::size_t>(length)};
  at_ += length;
  return view;
}

result<std::string_view> gguf_parser::name(const gguf_field& field) {
  const std::uint64_t start = at_;
  OVIR_ASSIGN(const std::string_view view, text(field, limits::key_bytes_max));
  if (view.empty()) {
    return fail(errc::malformed, "{} at byte {} is empty", field.text(), start);
  }
  if (!is_utf8(view)) {
    return fail(errc::malformed, "{} at byte {} is not UTF-8: \"{}\"", field.text(), start,
                printable(view));
  }
  return view;
}

result<void> gguf_parser::read_header() {
  if (left() < 4 || std::memcmp(file_.data(), "GGUF", 4) != 0) {
    return fail(errc::malformed,
                "the file does not begin with \"GGUF\"; it is not a GGUF model, or it is damaged");
  }
  at_ = 4;
  OVIR_ASSIGN(const std::uint32_t version, number<std::uint32_t>(gguf_field{"the version"}));
  if (version == 1) {
    return fail(errc::unsupported, "the file is GGUF version 1 (byte 4), which was replaced in "
                                   "2023; convert it to version 3");
  }
  if ((version & 0xFFFFU) == 0 && version != 0) {
    return fail(errc::unsupported,
                "the file is big-endian GGUF (version {:#010x} at byte 4); "
                "convert it to little-endian",
                version);
  }
  if (version < version_min || version > version_max) {
    return fail(errc::unsupported,
                "the file is GGUF version {} (byte 4), this build reads {} to "
                "{}",
                version, version_min, version_max);
  }
  out_.version_ = version;
  OVIR_ASSIGN(tensor_count_, number<std::uint64_t>({"the tensor count"}));
  OVIR_ASSIGN(entry_count_, number<std::uint64_t>({"the metadata count"}));
  if (tensor_count_ > limits::tensors_max) {
    return fail(errc::over_limit, "the tensor count at byte 8 is {}, more than the {} allowed",
                tensor_count_, limits::tensors_max);
  }
  if (entry_count_ > limits::metadata_entries_max) {
    return fail(errc::over_limit, "the metadata count at byte 16 is {}, more than the {} allowed",
                entry_count_, limits::metadata_entries_max);
  }
  if (entry_count_ * entry_bytes_min + tensor_count_ * tensor_bytes_min > left()) {
    return fail(errc::malformed,
                "the counts at byte 8 claim {} tensors and {} metadata entries, more than the {} "
                "bytes after them can hold; {}",
                tensor_count_, entry_count_, left(), damaged);
  }
  return {};
}

result<void> gguf_parser::read_entries() {
  // Fits: the counts were compared with the bytes that follow.
  out_.entries_.reserve(static_cast<std::size_t>(entry_count_));
  for (std::uint64_t i = 0; i < entry_count_; ++i) {
    OVIR_TRY(read_entry(i));
  }
  return {};
}

result<void> gguf_parser::read_entry(std::uint64_t index) {
  OVIR_ASSIGN(const std::string_view key, name(gguf_field{"the key of metadata entry", {}, index}));
  const std::uint64_t type_at = at_;
  OVIR_ASSIGN(const std::uint32_t type, number<std::uint32_t>(gguf_field{"the type of", key}));
  if (type > static_cast<std::uint32_t>(gguf_type::f64)) {
    return fail(errc::malformed, "the type of \"{}\" at byte {} is {}, which GGUF does not define",
                printable(key), type_at, type);
  }
  OVIR_ASSIGN(gguf_value v, value(key, type));
  out_.entries_.push_back({key, static_cast<gguf_type>(type), std::move(v)});
  return {};
}

result<gguf_value> gguf_parser::value(std::string_view key, std::uint32_t type) {
  const auto read = [&]<class T, class Wide>(T, Wide) -> result<gguf_value> {
    OVIR_ASSIGN(const T v, number<T>(gguf_field{"the value of", key}));
    return gguf_value{static_cast<Wide>(v)};
  };
  switch (static_cast<gguf_type>(type)) {
  case gguf_type::u8: return read(std::uint8_t{}, std::uint64_t{});
  case gguf_type::i8: return read(std::int8_t{}, std::int64_t{});
  case gguf_type::u16: return read(std::uint16_t{}, std::uint64_t{});
  case gguf_type::i16: return read(std::int16_t{}, std::int64_t{});
  case gguf_type::u32: return read(std::uint32_t{}, std::uint64_t{});
  case gguf_type::i32: return read(std::int32_t{}, std::int64_t{});
  case gguf_type::u64: return read(std::uint64_t{}, std::uint64_t{});
  case gguf_type::i64: return read(std::int64_t{}, std::int64_t{});
  case gguf_type::f32: return read(float{}, double{});
  case gguf_type::f64: return read(double{}, double{});
  case gguf_type::boolean: return boolean(key);
  case gguf_type::string: {
    OVIR_ASSIGN(const std::string_view v,
                text(gguf_field{"the value of", key}, limits::string_bytes_max));
    return gguf_value{v};
  }
  case gguf_type::array: {
    OVIR_ASSIGN(const gguf_array v, array(key));
    return gguf_value{v};
  }
  }
  return fail(errc::internal, "metadata type {} was not checked", type);
}

result<gguf_value> gguf_parser::boolean(std::string_view key) {
  const std::uint64_t start = at_;
  OVIR_ASSIGN(const std::uint8_t v, number<std::uint8_t>(gguf_field{"the value of", key}));
  if (v > 1) {
    return fail(errc::malformed, "the value of \"{}\" at byte {} is {}, a boolean is 0 or 1",
                printable(key), start, v);
  }
  return gguf_value{v == 1};
}

result<gguf_array> gguf_parser::array(std::string_view key) {
  const std::uint64_t start = at_;
  const gguf_field field{"the array", key};
  OVIR_ASSIGN(const std::uint32_t raw, number<std::uint32_t>(field));
  if (raw == static_cast<std::uint32_t>(gguf_type::array)) {
    return fail(errc::unsupported, "{} at byte {} holds arrays; nested arrays are not read",
                field.text(), start);
  }
  if (raw > static_cast<std::uint32_t>(gguf_type::f64)) {
    return fail(errc::malformed,
                "the element type of {} at byte {} is {}, which GGUF does not define", field.text(),
                start, raw);
  }
  OVIR_ASSIGN(const std::uint64_t count, number<std::uint64_t>(field));
  gguf_array array{static_cast<gguf_type>(raw), count, {}};
  // A string takes at least the eight bytes of its length.
  const std::size_t fixed = element_bytes(array.element);
  const std::uint64_t each_min = fixed == 0 ? 8 : fixed;
  if (count > left() / each_min) {
    return fail(errc::malformed, "{} at byte {} claims {} elements, but only {} bytes are left; {}",
                field.text(), start, count, left(), damaged);
  }
  if (count > limits::array_elements_max) {
    return fail(errc::over_limit, "{} at byte {} has {} elements, more than the {} allowed",
                field.text(), start, count, limits::array_elements_max);
  }
  const std::uint64_t first = at_;
  if (array.element == gguf_type::string) {
    OVIR_TRY(skip_strings(key, count));
  } else {
    if (array.element == gguf_type::boolean) {
      OVIR_TRY(check_booleans(key, count));
    }
    at_ += count * fixed;
  }
  array.bytes =
      file_.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(at_ - first));
  return array;
}

result<void> gguf_parser::skip_strings(std::string_view key, std::uint64_t count) {
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t length = left() < 8 ? 0 : load<std::uint64_t>(file_.data() + at_);
    if (left() < 8 || length > left() - 8) {
      return fail(errc::malformed,
                  "element {} of the array \"{}\" at byte {} reaches beyond the end of the file; "
                  "{}",
                  i, printable(key), at_, damaged);
    }
    if (length > limits::string_bytes_max) {
      return fail(errc::over_limit,
                  "element {} of the array \"{}\" at byte {} is {} bytes long, more than the {} "
                  "allowed",
                  i, printable(key), at_, length, limits::string_bytes_max);
    }
    at_ += 8 + length;
  }
  return {};
}

result<void> gguf_parser::check_booleans(std::string_view key, std::uint64_t count) const {
  for (std::uint64_t i = 0; i < count; ++i) {
    if (file_[static_cast<std::size_t>(at_ + i)] > std::byte{1}) {
      return fail(errc::malformed,
                  "element {} of the array \"{}\" at byte {} is not a boolean (0 or 1)", i,
                  printable(key), at_ + i);
    }
  }
  return {};
}

result<void> gguf_parser::adopt_alignment() {
  // Before the entries are indexed, so a plain search; the first of two duplicates counts until
  // `refuse_duplicates` ends the matter.
  const auto found = std::find_if(out_.entries_.begin(), out_.entries_.end(),
                                  [](const auto& e) { return e.key == "general.alignment"; });
  if (found == out_.entries_.end()) {
    return {};
  }
  const auto* value = std::get_if<std::uint64_t>(&found->value);
  if (found->type != gguf_type::u32 || value == nullptr) {
    return fail(errc::malformed, "\"general.alignment\" is not an unsigned 32-bit integer");
  }
  if (!std::has_single_bit(*value)) {
    return fail(errc::malformed, "\"general.alignment\" is {}, it must be a power of two", *value);
  }
  if (*value > limits::alignment_max) {
    return fail(errc::over_limit, "\"general.alignment\" is {}, more than the {} allowed", *value,
                limits::alignment_max);
  }
  out_.alignment_ = static_cast<std::uint32_t>(*value);
  return {};
}

result<void> gguf_parser::read_tensors() {
  out_.tensors_.reserve(static_cast<std::size_t>(tensor_count_));
  for (std::uint64_t i = 0; i < tensor_count_; ++i) {
    OVIR_TRY(read_tensor(i));
  }
  return {};
}

result<void> gguf_parser::read_tensor(std::uint64_t index) {
  gguf_tensor tensor;
  OVIR_ASSIGN(tensor.name, name(gguf_field{"the name of tensor", {}, index}));
  OVIR_TRY(read_shape(tensor));
  const std::uint64_t type_at = at_;
  OVIR_ASSIGN(tensor.raw_type,
              number<std::uint32_t>(gguf_field{"the type of tensor", tensor.name}));
  if (name_of_raw_type(tensor.raw_type).empty()) {
    return fail(errc::unsupported,
                "the type of tensor \"{}\" at byte {} is {}, a number this build does not know",
                printable(tensor.name), type_at, tensor.raw_type);
  }
  const std::uint64_t offset_at = at_;
  OVIR_ASSIGN(tensor.offset,
              number<std::uint64_t>(gguf_field{"the offset of tensor", tensor.name}));
  if (tensor.offset % out_.alignment_ != 0) {
    return fail(errc::malformed,
                "the offset of tensor \"{}\" at byte {} is {}, not a multiple of the alignment {}",
                printable(tensor.name), offset_at, tensor.offset, out_.alignment_);
  }
  out_.tensors_.push_back(tensor);
  return {};
}

result<void> gguf_parser::read_shape(gguf_tensor& tensor) {
  const gguf_field field{"the shape of tensor", tensor.name};
  const std::uint64_t start = at_;
  OVIR_ASSIGN(tensor.dims, number<std::uint32_t>(field));
  if (tensor.dims == 0 || tensor.dims > limits::tensor_dims_max) {
    return fail(errc::malformed, "{} at byte {} has {} dimensions, GGUF allows 1 to {}",
                field.text(), start, tensor.dims, limits::tensor_dims_max);
  }
  constexpr std::uint64_t elements_max = std::uint64_t{1} << 46U;
  static_assert(limits::tensors_max <= std::uint64_t{1} << 16U, "sums over tensors fit as well");
  std::uint64_t elements = 1;
  for (std::uint32_t d = 0; d < tensor.dims; ++d) {
    const std::uint64_t dimension_at = at_;
    OVIR_ASSIGN(tensor.shape[d], number<std::uint64_t>(field));
    if (tensor.shape[d] == 0) {
      return fail(errc::malformed, "dimension {} of {} at byte {} is zero", d, field.text(),
                  dimension_at);
    }
    // So that nobody who multiplies the dimensions of a tensor of unknown size wraps around.
    if (tensor.shape[d] > elements_max / elements) {
      return fail(errc::malformed, "dimension {} of {} at byte {} is {}, too many elements", d,
                  field.text(), dimension_at, tensor.shape[d]);
    }
    elements *= tensor.shape[d];
  }
  return {};
}

result<void> gguf_parser::place_tensors() {
  const std::uint64_t mask = out_.alignment_ - 1;
  out_.data_offset_ = (at_ + mask) & ~mask;
  if (out_.tensors_.empty()) {
    // A vocabulary file may end without padding.
    out_.data_offset_ = std::min<std::uint64_t>(out_.data_offset_, file_.size());
    return {};
  }
  if (out_.data_offset_ > file_.size()) {
    return fail(errc::malformed, "the tensor data begins at byte {}, but the file ends at {}; {}",
                out_.data_offset_, file_.size(), damaged);
  }
  for (gguf_tensor& tensor : out_.tensors_) {
    OVIR_TRY(place_tensor(tensor));
  }
  return {};
}

result<void> gguf_parser::place_tensor(gguf_tensor& tensor) {
  const std::uint64_t room = file_.size() - out_.data_offset_;
  if (tensor.offset > room) {
    return fail(errc::malformed, "tensor \"{}\" begins {} bytes into data of only {} bytes; {}",
                printable(tensor.name), tensor.offset, room, damaged);
  }
  const std::uint64_t offset_in_data = tensor.offset;
  tensor.offset += out_.data_offset_;
  const auto layout = layout_of_raw_type(tensor.raw_type);
  if (!layout) {
    return {};
  }
  if (tensor.shape[0] % layout->block_elements != 0) {
    return fail(errc::malformed,
                "the row length {} of tensor \"{}\" is not a multiple of the {} elements in a {} "
                "block",
                tensor.shape[0], printable(tensor.name), layout->block_elements,
                name_of_raw_type(tensor.raw_type));
  }
  // Compared by division at every step, so no product can wrap around.
  std::uint64_t bytes = layout->block_bytes;
  const std::uint64_t available = room - offset_in_data;
  for (std::uint32_t d = 0; d < limits::tensor_dims_max; ++d) {
    const std::uint64_t factor =
        d == 0 ? tensor.shape[0] / layout->block_elements : tensor.shape[d];
    if (factor > available / bytes) {
      return fail(errc::malformed,
                  "tensor \"{}\" ({} of {} x {} x {} x {}) at byte {} needs more than the {} bytes "
                  "left in the file; {}",
                  printable(tensor.name), name_of_raw_type(tensor.raw_type), tensor.shape[0],
                  tensor.shape[1], tensor.shape[2], tensor.shape[3], tensor.offset, available,
                  damaged);
    }
    bytes *= factor;
  }
  tensor.data =
      file_.subspan(static_cast<std::size_t>(tensor.offset), static_cast<std::size_t>(bytes));
  return {};
}

result<gguf> gguf_parser::join(std::vector<gguf> parts) {
  gguf_parser whole{{}};
  whole.out_ = parts.front();
  std::erase_if(whole.out_.entries_,
                [](const gguf_entry& e) { return e.key.starts_with("split."); });
  for (std::size_t i = 1; i < parts.size(); ++i) {
    whole.out_.tensors_.insert(whole.out_.tensors_.end(), parts[i].tensors_.begin(),
                               parts[i].tensors_.end());
  }
  OVIR_TRY(whole.refuse_duplicates()); // makes the indices, too
  return std::move(whole.out_);
}

result<gguf> gguf_parser::add(gguf base, const gguf& other, std::string_view key) {
  gguf_parser whole{{}};
  whole.out_ = std::move(base);
  for (const gguf_tensor& tensor : other.tensors()) {
    if (whole.out_.find_tensor(tensor.name) != nullptr) {
      return fail(errc::malformed, "the tensor \"{}\" is in both files", printable(tensor.name));
    }
  }
  whole.out_.tensors_.insert(whole.out_.tensors_.end(), other.tensors_.begin(),
                             other.tensors_.end());
  whole.out_.entries_.push_back(*other.find(key));
  OVIR_TRY(whole.refuse_duplicates());
  return std::move(whole.out_);
}

result<void> gguf_parser::refuse_duplicates() {
  const auto index_by = [](const auto& items, auto text_of) {
    std::vector<std::uint32_t> order(items.size());
    std::iota(order.begin(), order.end(), 0U);
    std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
      return text_of(items[a]) < text_of(items[b]);
    });
    const auto twin =
        std::adjacent_find(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
          return text_of(items[a]) == text_of(items[b]);
        });
    return std::pair{std::move(order),
                     twin == order.end() ? std::string_view{} : text_of(items[*twin])};
  };
  const auto offset_of = [this](std::string_view text) {
    return reinterpret_cast<const std::byte*>(text.data()) - file_.data();
  };
  auto [by_key, key] = index_by(out_.entries_, [](const gguf_entry& e) { return e.key; });
  if (!key.empty()) {
    return fail(errc::malformed, "the metadata key \"{}\" at byte {} occurs more than once",
                printable(key), offset_of(key));
  }
  auto [by_name, tensor] = index_by(out_.tensors_, [](const gguf_tensor& t) { return t.name; });
  if (!tensor.empty()) {
    return fail(errc::malformed, "the tensor name \"{}\" at byte {} occurs more than once",
                printable(tensor), offset_of(tensor));
  }
  out_.entries_by_key_ = std::move(by_key);
  out_.tensors_by_name_ = std::move(by_name);
  return {};
}

result<void> gguf_parser::refuse_overlaps() const {
  std::vector<const gguf_tensor*> order;
  order.reserve(out_.tensors_.size());
  for (const gguf_tensor& tensor : out_.tensors_) {
    order.push_back(&tensor);
  }
  std::sort(order.begin(), order.end(), [](const gguf_tensor* a, const gguf_tensor* b) {
    return std::pair{a->offset, a} < std::pair{b->offset, b};
  });
  const gguf_tensor* previous = nullptr;
  for (const gguf_tensor* tensor : order) {
    if (tensor->data.empty()) {
      continue; // of unknown size
    }
    if (previous != nullptr && tensor->offset - previous->offset < previous->data.size()) {
      return fail(errc::malformed,
                  "tensor \"{}\" at byte {} overlaps tensor \"{}\", which ends at byte {}",
                  printable(tensor->name), tensor->offset, printable(previous->name),
                  previous->offset + previous->data.size());
    }
    previous = tensor;
  }
  return {};
}

} // namespace ovir::compute
