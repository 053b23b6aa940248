#include "apps/hash_file.hpp"

#include "messages/hash_pieces.hpp"

namespace ovir::apps {

namespace {

constexpr std::size_t piece = std::size_t{32} << 20U;

} // namespace

digest hash_file(storage::mapped_file& file) {
  return hash_plain_in_pieces(file.bytes(), piece, [&file] { file.release_pages(); });
}

} // namespace ovir::apps
