#pragma once

#include "compute/gguf/gguf.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// What a model file says about itself, for people. Works for any GGUF that parses, also of
/// architectures and types this build does not compute.
namespace ovir::compute {

/// Sums over the tensors of a file.
struct type_total {
  std::string_view type; ///< GGUF's name, e.g. "Q4_K"
  std::uint64_t tensors{0};
  std::uint64_t elements{0};
  std::uint64_t bytes{0}; ///< 0 where the size of the type is not known
};
struct tensor_totals {
  std::uint64_t elements{0};       ///< of all tensors: the model's parameters
  std::uint64_t bytes{0};          ///< of all tensors' data, without padding
  std::vector<type_total> by_type; ///< most bytes first, then by name
};

[[nodiscard]] std::uint64_t elements_of(const gguf_tensor& tensor) noexcept;
[[nodiscard]] tensor_totals totals_of(const gguf& file);

/// One metadata value on one line: strings escaped and shortened to about `bytes_max`, of arrays
/// the first elements and the count.
[[nodiscard]] std::string text_of_value(const gguf_entry& entry, std::size_t bytes_max);

/// The table `ovir model inspect` prints: header, metadata, tensors, totals. Ends with a newline.
/// Safe to print: what the file controls is escaped. Length: a few hundred bytes per entry and
/// tensor.
[[nodiscard]] std::string inspect_table(const gguf& file);

} // namespace ovir::compute
