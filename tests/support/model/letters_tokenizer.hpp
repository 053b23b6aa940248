#pragma once

#include "compute/text/tokenizer.hpp"

#include <string>

namespace ovir::test {

/// Ids below 10 end a generation; others are letters.
class letters final : public compute::tokenizer {
public:
  result<std::vector<token_id>> encode(std::string_view, options) const override {
    return fail(errc::unsupported, "letters are not encoded");
  }
  std::string piece(token_id id, bool) const override {
    return id < 10 ? std::string{} : std::string(1, static_cast<char>(id));
  }
  std::uint32_t vocabulary() const noexcept override { return 128; }
  std::optional<token_id> bos() const noexcept override { return std::nullopt; }
  std::optional<token_id> eos() const noexcept override { return 0; }
  bool adds_bos() const noexcept override { return false; }
  bool ends_generation(token_id id) const noexcept override { return id < 10; }
  bool has_space_prefix() const noexcept override { return false; }
};

} // namespace ovir::test
