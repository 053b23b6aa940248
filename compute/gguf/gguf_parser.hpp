#pragma once

#include "compute/gguf/gguf.hpp"
#include "messages/result.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ovir::compute {

/// Bytes of one element of a fixed-size metadata type; 0 for strings, arrays and unknown types.
[[nodiscard]] std::size_t element_bytes(gguf_type type) noexcept;

/// What is being read, put into words only when it turns out wrong: a file may have 65,536 names
/// and escaping every one of them for an error that never comes costs more than parsing.
struct gguf_field {
  std::string_view what;                ///< "the type of"
  std::string_view name{};              ///< of the key or tensor; from the file, not escaped
  std::optional<std::uint64_t> index{}; ///< of a nameless entry

  [[nodiscard]] std::string text() const;
};

/// Reads one file from front to back. Used once, by `gguf::parse`. Everything the file claims is
/// compared with the bytes left before anything is reserved for it.
class gguf_parser {
public:
  explicit gguf_parser(std::span<const std::byte> file) : file_(file) {}
  [[nodiscard]] result<gguf> run();
  /// The metadata of the first and the tensors of all. Precondition: no two tensors of one name.
  [[nodiscard]] static result<gguf> join(std::vector<gguf> parts);
  /// `base` with the tensors of `other` and its entry `key`. `malformed` where a name is in both.
  /// Precondition: `other` has the key.
  [[nodiscard]] static result<gguf> add(gguf base, const gguf& other, std::string_view key);

private:
  result<void> read_header();
  result<void> read_entries();
  result<void> read_entry(std::uint64_t index);
  result<void> read_tensors();
  result<void> read_tensor(std::uint64_t index);
  result<void> read_shape(gguf_tensor& tensor);
  result<void> adopt_alignment();
  result<void> place_tensors();
  result<void> place_tensor(gguf_tensor& tensor);
  result<void> refuse_duplicates();
  result<void> refuse_overlaps() const;

  template <class T>
  result<T> number(const gguf_field& field);
  result<std::string_view> text(const gguf_field& field, std::uint64_t bytes_max);
  result<std::string_view> name(const gguf_field& field);
  result<gguf_value> value(std::string_view key, std::uint32_t type);
  result<gguf_value> boolean(std::string_view key);
  result<gguf_array> array(std::string_view key);
  result<void> skip_strings(std::string_view key, std::uint64_t count);
  result<void> check_booleans(std::string_view key, std::uint64_t count) const;
  [[nodiscard]] std::uint64_t left() const noexcept { return file_.size() - at_; }

  std::span<const std::byte> file_;
  std::uint64_t at_{0}; ///< offset of the next byte; never beyond the file
  std::uint64_t entry_count_{0};
  std::uint64_t tensor_count_{0};
  gguf out_;
};

} // namespace ovir::compute
