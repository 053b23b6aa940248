#pragma once

#include "compute/gguf/gguf_writer.hpp"
#include "learning/adapter/adapter.hpp"
#include "messages/result.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// Adapters as GGUF files, as llama.cpp reads them: docs/formats/adapter.md.
namespace ovir::learning {

/// Where an adapter comes from. Texts are as they stand in the file; empty: the file says nothing.
struct provenance {
  std::string profile;  ///< "learn-1"
  std::string base;     ///< CID of the base model's manifest
  std::string data;     ///< CID of the file of examples
  std::string settings; ///< all that training depended on beside them, one line
  std::uint32_t steps{0};

  friend bool operator==(const provenance&, const provenance&) = default;
};

/// The numbers of an adapter under names that end in `suffix`.
struct named_numbers {
  std::string_view suffix; ///< behind ".lora_a" and ".lora_b"
  const lora_numbers* numbers;
};

/// A GGUF file of what `meta` holds and the tensors of each of `all`, by layer, place and matrix.
[[nodiscard]] std::string gguf_of(const compute::gguf_writer& meta, std::uint32_t rank,
                                  std::span<const named_numbers> all);

/// Metadata of an adapter.
void put_adapter(compute::gguf_writer& meta, const adapter& a, const provenance& from);

/// The file's bytes: the same for the same values.
[[nodiscard]] std::string to_file(const adapter& a, const provenance& from);

struct adapter_contents {
  adapter is;
  provenance from;
};

/// Reads any adapter whose matrices are F32, F16 or BF16 and of one rank. Everything is checked:
/// names, pairs, shapes, ranks, that each number is finite. `malformed`, `unsupported` or
/// `over_limit`; allocates in proportion to the bytes that are there.
[[nodiscard]] result<adapter_contents> adapter_from(std::span<const std::byte> file);

// For files with further tensors (training/state_file.hpp).

/// The metadata and the pairs under names without a suffix. Other tensors are refused unless they
/// end in one of `suffixes`.
[[nodiscard]] result<adapter_contents> adapter_of(const compute::gguf& file,
                                                  std::span<const std::string_view> suffixes);
/// Numbers under names that end in `suffix`. `malformed` unless they are those of `like`'s places,
/// of its shapes.
[[nodiscard]] result<lora_numbers> numbers_of(const compute::gguf& file, std::string_view suffix,
                                              const adapter& like);

} // namespace ovir::learning
