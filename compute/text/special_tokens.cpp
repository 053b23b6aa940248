#include "compute/text/special_tokens.hpp"

#include "messages/limits/general.hpp"

#include <algorithm>
#include <array>

namespace ovir::compute {

namespace {

/// Names under which published models end a turn or a text, whatever their metadata says.
constexpr std::array<std::string_view, 14> end_names{"</s>",          "<eos>",
                                                     "<|eot_id|>",    "<|eom_id|>",
                                                     "<|im_end|>",    "<|end|>",
                                                     "<EOT>",         "_<EOT>",
                                                     "[EOT]",         "[EOS]",
                                                     "<|endoftext|>", "<|end_of_text|>",
                                                     "<end_of_turn>", "<end_of_utterance>"};

result<std::optional<token_id>> id_at(const gguf& file, const token_table& table,
                                      std::string_view key) {
  if (file.find(key) == nullptr) {
    return std::optional<token_id>{};
  }
  OVIR_ASSIGN(const std::uint64_t id, file.unsigned_at(key));
  if (id >= table.size()) {
    return fail(errc::malformed, "{} is {}, but the vocabulary has {} tokens", key, id,
                table.size());
  }
  return std::optional<token_id>{static_cast<token_id>(id)};
}

bool has_kind(const token_table& table, token_id id, token_kind kind) {
  return id < table.size() && table.kind(id) == kind;
}

} // namespace

result<special_tokens> special_tokens::read(const gguf& file, const token_table& table,
                                            defaults silent) {
  special_tokens tokens;
  OVIR_TRY(tokens.read_ids(file, table, silent));
  OVIR_TRY(tokens.read_infill(file, table));
  OVIR_TRY(tokens.read_flags(file, silent));
  OVIR_TRY(tokens.collect_names(table));
  return tokens;
}

result<void> special_tokens::read_ids(const gguf& file, const token_table& table, defaults silent) {
  OVIR_ASSIGN(bos_, id_at(file, table, "tokenizer.ggml.bos_token_id"));
  OVIR_ASSIGN(eos_, id_at(file, table, "tokenizer.ggml.eos_token_id"));
  OVIR_ASSIGN(unknown_, id_at(file, table, "tokenizer.ggml.unknown_token_id"));
  OVIR_ASSIGN(const auto eot, id_at(file, table, "tokenizer.ggml.eot_token_id"));
  OVIR_ASSIGN(const auto eom, id_at(file, table, "tokenizer.ggml.eom_token_id"));
  if (silent.llama_ids) {
    if (!unknown_ && has_kind(table, 0, token_kind::unknown)) {
      unknown_ = 0;
    }
    if (!bos_ && has_kind(table, 1, token_kind::control)) {
      bos_ = 1;
    }
    if (!eos_ && has_kind(table, 2, token_kind::control)) {
      eos_ = 2;
    }
  }
  for (const auto& end : {eos_, eot, eom}) {
    if (end) {
      ends_.push_back(*end);
    }
  }
  for (const std::string_view name : end_names) {
    const auto id = table.find(name);
    if (id && table.kind(*id) == token_kind::control) {
      ends_.push_back(*id);
    }
  }
  std::sort(ends_.begin(), ends_.end());
  ends_.erase(std::unique(ends_.begin(), ends_.end()), ends_.end());
  return {};
}

result<void> special_tokens::read_infill(const gguf& file, const token_table& table) {
  const auto either = [&](std::string_view name,
                          std::string_view older) -> result<std::optional<token_id>> {
    OVIR_ASSIGN(const auto id, id_at(file, table, name));
    return id ? result<std::optional<token_id>>{id} : id_at(file, table, older);
  };
  OVIR_ASSIGN(const auto prefix,
              either("tokenizer.ggml.fim_pre_token_id", "tokenizer.ggml.prefix_token_id"));
  OVIR_ASSIGN(const auto suffix,
              either("tokenizer.ggml.fim_suf_token_id", "tokenizer.ggml.suffix_token_id"));
  OVIR_ASSIGN(const auto middle,
              either("tokenizer.ggml.fim_mid_token_id", "tokenizer.ggml.middle_token_id"));
  if (prefix && suffix && middle) {
    infill_ = infill_tokens{*prefix, *suffix, *middle};
  }
  return {};
}

result<void> special_tokens::read_flags(const gguf& file, defaults silent) {
  constexpr std::string_view bos_key = "tokenizer.ggml.add_bos_token";
  constexpr std::string_view eos_key = "tokenizer.ggml.add_eos_token";
  adds_bos_ = silent.add_bos && bos_.has_value();
  if (file.find(bos_key) != nullptr) {
    OVIR_ASSIGN(adds_bos_, file.bool_at(bos_key));
    if (adds_bos_ && !bos_) {
      return fail(errc::malformed, "{} is true, but tokenizer.ggml.bos_token_id is absent",
                  bos_key);
    }
  }
  if (file.find(eos_key) != nullptr) {
    OVIR_ASSIGN(adds_eos_, file.bool_at(eos_key));
    if (adds_eos_ && !eos_) {
      return fail(errc::malformed, "{} is true, but tokenizer.ggml.eos_token_id is absent",
                  eos_key);
    }
  }
  return {};
}

result<void> special_tokens::collect_names(const token_table& table) {
  for (token_id id = 0; id < table.size(); ++id) {
    const token_kind kind = table.kind(id);
    const bool always = kind == token_kind::user_defined;
    const bool parsed = kind == token_kind::control || kind == token_kind::unknown;
    if ((!always && !parsed) || table.text(id).empty()) {
      continue;
    }
    if (table.text(id).size() > limits::special_token_bytes_max) {
      return fail(errc::over_limit,
                  "{}[{}] is a special token of {} bytes, at most {} are "
                  "supported",
                  tokens_key, id, table.text(id).size(), limits::special_token_bytes_max);
    }
    parsed_.ids.push_back(id);
    if (always) {
      always_.ids.push_back(id);
    }
  }
  always_.finish(table);
  parsed_.finish(table);
  return {};
}

void special_tokens::name_set::finish(const token_table& table) {
  // Stable: of two tokens with one name the lower id comes first and is the one found.
  std::stable_sort(ids.begin(), ids.end(),
                   [&table](token_id a, token_id b) { return table.text(a) < table.text(b); });
  for (const token_id id : ids) {
    starts.set(static_cast<std::uint8_t>(table.text(id).front()));
  }
}

std::optional<token_id> special_tokens::name_set::longest_at(const token_table& table,
                                                             std::string_view text) const {
  if (!starts.test(static_cast<std::uint8_t>(text.front()))) {
    return std::nullopt;
  }
  // Names that share the first `depth` bytes with the text are neighbours in the sorted order; each
  // byte narrows their range. A name of exactly `depth` bytes is the first of its range.
  std::optional<token_id> longest;
  auto first = ids.begin();
  auto last = ids.end();
  for (std::size_t depth = 0; depth < text.size(); ++depth) {
    const auto byte = static_cast<std::uint8_t>(text[depth]);
    const auto byte_at = [&table, depth](token_id id) -> int {
      const std::string_view name = table.text(id);
      return name.size() == depth ? -1 : static_cast<std::uint8_t>(name[depth]);
    };
    first = std::partition_point(first, last, [&](token_id id) { return byte_at(id) < int{byte}; });
    last = std::partition_point(first, last, [&](token_id id) { return byte_at(id) == int{byte}; });
    if (first == last) {
      break;
    }
    if (table.text(*first).size() == depth + 1) {
      longest = *first;
    }
  }
  return longest;
}

special_tokens::fragment special_tokens::first_fragment(const token_table& table,
                                                        std::string_view text,
                                                        bool parse_special) const {
  const name_set& names = parse_special ? parsed_ : always_;
  if (names.ids.empty()) {
    return {text.size(), std::nullopt};
  }
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (const auto id = names.longest_at(table, text.substr(at))) {
      return at > 0 ? fragment{at, std::nullopt} : fragment{table.text(*id).size(), id};
    }
  }
  return {text.size(), std::nullopt};
}

bool special_tokens::ends_generation(token_id id) const noexcept {
  return std::binary_search(ends_.begin(), ends_.end(), id);
}

} // namespace ovir::compute
