#include "compute/gguf/split_gguf.hpp"

#include "compute/base/printable.hpp"
#include "compute/gguf/gguf_parser.hpp"
#include "messages/check.hpp"
#include "messages/limits/split.hpp"

#include <algorithm>
#include <string_view>
#include <utility>

namespace ovir::compute {

namespace {

constexpr std::string_view number_key = "split.no";
constexpr std::string_view count_key = "split.count";
constexpr std::string_view tensors_key = "split.tensors.count";

/// Numbers of splits are of several types.
result<std::uint64_t> count_at(const gguf& file, std::string_view key, std::uint64_t otherwise) {
  const gguf_entry* const entry = file.find(key);
  if (entry == nullptr) {
    return otherwise;
  }
  if (const auto* n = std::get_if<std::int64_t>(&entry->value); n != nullptr && *n >= 0) {
    return static_cast<std::uint64_t>(*n);
  }
  return file.unsigned_at(key);
}

} // namespace

result<split_place> split_place_of(const gguf& file) {
  OVIR_ASSIGN(const std::uint64_t number, count_at(file, number_key, 0));
  OVIR_ASSIGN(const std::uint64_t count, count_at(file, count_key, 1));
  if (count > limits::split_files_max) {
    return fail(errc::over_limit, "\"{}\" is {}, more than the {} files this build allows",
                count_key, count, limits::split_files_max);
  }
  // Some writers say 0 in a file that is whole.
  const std::uint64_t files = std::max<std::uint64_t>(count, 1);
  if (number >= files) {
    return fail(errc::malformed, "\"{}\" is {}, but there are {} files", number_key, number, files);
  }
  return split_place{static_cast<std::uint32_t>(number), static_cast<std::uint32_t>(files)};
}

result<gguf> join_split(std::vector<gguf> parts) {
  OVIR_CHECK(!parts.empty());
  std::size_t tensors = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    OVIR_ASSIGN(const split_place place, split_place_of(parts[i]));
    if (place.number != i || place.count != parts.size()) {
      return fail(errc::malformed, "file {} of {} says that it is file {} of {}", i + 1,
                  parts.size(), place.number + 1, place.count);
    }
    for (const gguf_tensor& tensor : parts[i].tensors()) {
      const auto twin =
          std::find_if(parts.begin(), parts.begin() + static_cast<std::ptrdiff_t>(i),
                       [&](const gguf& p) { return p.find_tensor(tensor.name) != nullptr; });
      if (twin != parts.begin() + static_cast<std::ptrdiff_t>(i)) {
        return fail(errc::malformed, "the tensor \"{}\" is in file {} and in file {}",
                    printable(tensor.name), twin - parts.begin() + 1, i + 1);
      }
    }
    tensors += parts[i].tensors().size();
  }
  OVIR_ASSIGN(const std::uint64_t stated, count_at(parts.front(), tensors_key, tensors));
  if (stated != tensors) {
    return fail(errc::malformed, "the files have {} tensors, but \"{}\" is {}", tensors,
                tensors_key, stated);
  }
  return gguf_parser::join(std::move(parts));
}

} // namespace ovir::compute
