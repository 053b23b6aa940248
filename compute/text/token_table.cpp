#include "compute/text/token_table.hpp"

#include "messages/limits/general.hpp"

#include <algorithm>
#include <bit>
#include <functional>
#include <variant>

namespace ovir::compute {

namespace {

std::optional<std::uint8_t> hex_digit(char c) noexcept {
  if (c >= '0' && c <= '9') {
    return static_cast<std::uint8_t>(c - '0');
  }
  if (c >= 'A' && c <= 'F') {
    return static_cast<std::uint8_t>(c - 'A' + 10);
  }
  if (c >= 'a' && c <= 'f') {
    return static_cast<std::uint8_t>(c - 'a' + 10);
  }
  return std::nullopt;
}

} // namespace

std::optional<std::uint8_t> byte_named(std::string_view text) noexcept {
  if (text.size() != 6 || text.substr(0, 3) != "<0x" || text[5] != '>') {
    return std::nullopt;
  }
  const auto high = hex_digit(text[3]);
  const auto low = hex_digit(text[4]);
  if (!high || !low) {
    return std::nullopt;
  }
  return static_cast<std::uint8_t>(*high * 16U + *low);
}

result<gguf_array> required_array(const gguf& file, std::string_view key, std::uint64_t count_max) {
  const gguf_entry* entry = file.find(key);
  if (entry == nullptr) {
    return fail(errc::malformed, "{} is absent; convert the model together with its tokenizer",
                key);
  }
  const auto* array = std::get_if<gguf_array>(&entry->value);
  if (array == nullptr) {
    return fail(errc::malformed, "{} is not an array", key);
  }
  if (array->count > count_max) {
    return fail(errc::over_limit, "{} has {} elements, at most {} are supported", key, array->count,
                count_max);
  }
  return *array;
}

result<token_table> token_table::read(const gguf& file) {
  OVIR_ASSIGN(const gguf_array array, required_array(file, tokens_key, limits::vocabulary_max));
  OVIR_ASSIGN(const std::vector<std::string_view> texts, strings_of(array));
  if (texts.empty()) {
    return fail(errc::malformed, "{} is empty; a model needs at least one token", tokens_key);
  }
  token_table table;
  table.texts_.reserve(array.bytes.size());
  table.ends_.reserve(texts.size() + 1);
  table.ends_.push_back(0);
  for (const std::string_view text : texts) {
    table.texts_ += text;
    table.ends_.push_back(table.texts_.size());
    table.longest_ = std::max(table.longest_, text.size());
  }
  table.kinds_.assign(texts.size(), token_kind::normal);
  OVIR_TRY(table.read_kinds(file));
  table.build_index();
  return table;
}

result<void> token_table::read_kinds(const gguf& file) {
  if (file.find(token_type_key) == nullptr) {
    return {};
  }
  OVIR_ASSIGN(const gguf_array array, required_array(file, token_type_key, limits::vocabulary_max));
  OVIR_ASSIGN(const std::vector<std::int32_t> kinds, integers_of(array));
  if (kinds.size() != kinds_.size()) {
    return fail(errc::malformed, "{} has {} elements for {} tokens; the lengths must be equal",
                token_type_key, kinds.size(), kinds_.size());
  }
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    if (kinds[i] < 0 || kinds[i] > static_cast<std::int32_t>(token_kind::byte)) {
      return fail(errc::malformed, "{}[{}] is {}; token types are 0 to 6", token_type_key, i,
                  kinds[i]);
    }
    kinds_[i] = static_cast<token_kind>(kinds[i]);
  }
  return {};
}

bool token_table::is_ordinary(token_id id) const noexcept {
  const token_kind kind = kinds_[id];
  return kind == token_kind::normal || kind == token_kind::unused || kind == token_kind::undefined;
}

void token_table::build_index() {
  // At most half full, so that probing ends soon and always finds an empty slot.
  index_.assign(std::bit_ceil(std::size_t{size()} * 2), 0);
  for (token_id id = 0; id < size(); ++id) {
    if (is_ordinary(id)) {
      add_to_index(id);
    }
  }
  for (token_id id = 0; id < size(); ++id) {
    if (!is_ordinary(id)) {
      add_to_index(id);
    }
  }
}

std::size_t token_table::slot_of(std::string_view text) const noexcept {
  const std::size_t mask = index_.size() - 1;
  std::size_t slot = std::hash<std::string_view>{}(text)&mask;
  while (index_[slot] != 0 && this->text(index_[slot] - 1) != text) {
    slot = (slot + 1) & mask;
  }
  return slot;
}

void token_table::add_to_index(token_id id) {
  if (text(id).empty()) {
    return;
  }
  const std::size_t slot = slot_of(text(id));
  if (index_[slot] == 0) {
    index_[slot] = id + 1;
  }
}

std::optional<token_id> token_table::find(std::string_view text) const noexcept {
  if (text.empty() || text.size() > longest_) {
    return std::nullopt;
  }
  const std::uint32_t entry = index_[slot_of(text)];
  return entry == 0 ? std::nullopt : std::optional<token_id>{entry - 1};
}

std::optional<token_id> token_table::find_ordinary(std::string_view text) const noexcept {
  const auto id = find(text);
  return id && is_ordinary(*id) ? id : std::nullopt;
}

} // namespace ovir::compute
