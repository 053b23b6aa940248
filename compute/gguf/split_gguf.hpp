#pragma once

#include "compute/gguf/gguf.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <vector>

/// Models that come as several files, named `...-00001-of-00003.gguf` and so on: each is a GGUF
/// file with some of the tensors, and the first has the metadata.
namespace ovir::compute {

/// Which of how many files one is.
struct split_place {
  std::uint32_t number{0}; ///< from 0
  std::uint32_t count{1};  ///< 1: the file is a whole model
};

/// What the keys `split.no` and `split.count` say. `malformed` or `over_limit`.
[[nodiscard]] result<split_place> split_place_of(const gguf& file);

/// One model of all its files in order: the first's metadata, but what it says of the split, and
/// everybody's tensors. Views point into the files' bytes, as those of the parts do. `malformed`
/// where they are not the files of one model, named by numbers from 1.
[[nodiscard]] result<gguf> join_split(std::vector<gguf> parts);

} // namespace ovir::compute
