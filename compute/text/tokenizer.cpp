#include "compute/text/tokenizer.hpp"

#include "compute/base/printable.hpp"
#include "compute/base/utf8.hpp"
#include "compute/text/tokenizer_bpe.hpp"
#include "compute/text/tokenizer_spm.hpp"

namespace ovir::compute {

result<std::unique_ptr<tokenizer>> tokenizer::make(const gguf& file) {
  constexpr std::string_view key = "tokenizer.ggml.model";
  if (file.find(key) == nullptr) {
    return fail(errc::malformed, "{} is absent; convert the model together with its tokenizer",
                key);
  }
  OVIR_ASSIGN(const std::string_view model, file.text_at(key));
  if (model == "llama") {
    return tokenizer_spm::make(file);
  }
  if (model == "gpt2") {
    return tokenizer_bpe::make(file);
  }
  return fail(errc::unsupported,
              "{}: the tokenizer '{}' is unknown to this build; it knows 'llama' and 'gpt2'", key,
              printable(model));
}

std::string tokenizer::decode(const std::vector<token_id>& ids, bool special) const {
  std::string text;
  bool space_first = has_space_prefix();
  for (const token_id id : ids) {
    const std::string bytes = piece(id, special);
    if (cuts_text(id)) {
      text += bytes;
      space_first = has_space_prefix();
      continue;
    }
    const bool drop = space_first && !bytes.empty() && bytes.front() == ' ';
    text += std::string_view{bytes}.substr(drop ? 1 : 0);
    space_first = space_first && bytes.empty();
  }
  return text;
}

tokenizer::~tokenizer() { delete words_.load(std::memory_order_acquire); }

const token_trie& tokenizer::words() const {
  const token_trie* known = words_.load(std::memory_order_acquire);
  if (known == nullptr) {
    // Threads that ask at once make one each, all alike; the first is kept.
    auto made = std::make_unique<const token_trie>(*this);
    if (words_.compare_exchange_strong(known, made.get(), std::memory_order_acq_rel)) {
      known = made.release();
    }
  }
  return *known;
}

std::string text_stream::add(token_id id) {
  held_ += vocabulary_.piece(id, /*special=*/false);
  std::string text;
  std::string_view rest = held_;
  while (!rest.empty()) {
    const utf8_step step = read_utf8(rest);
    if (step.status == utf8_status::incomplete) {
      break;
    }
    append_utf8(text, step.value);
    rest.remove_prefix(step.bytes);
  }
  held_.erase(0, held_.size() - rest.size());
  return text;
}

std::string text_stream::finish() {
  const std::string text = replace_invalid_utf8(held_);
  held_.clear();
  return text;
}

} // namespace ovir::compute
