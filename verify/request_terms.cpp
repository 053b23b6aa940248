#include "verify/request_terms.hpp"

#include <bit>

namespace ovir::compute {

digest digest_of(const request_terms& terms) {
  static_assert(std::endian::native == std::endian::little);
  const sampling_params& s = terms.sampling;
  hasher state{"ovir/request-terms/v1"};
  state.update(terms.model)
      .update_u64(terms.prompt.size())
      .update(std::as_bytes(terms.prompt))
      .update_u32(std::bit_cast<std::uint32_t>(s.temperature))
      .update_u32(s.top_k)
      .update_u64(std::bit_cast<std::uint64_t>(s.top_p))
      .update_u64(std::bit_cast<std::uint64_t>(s.min_p))
      .update_u32(std::bit_cast<std::uint32_t>(s.repeat_penalty))
      .update_u64(s.seed)
      .update_text(s.constraint)
      .update_u32(terms.max_tokens)
      .update_u64(terms.stop.size());
  for (const std::string& text : terms.stop) {
    state.update_text(text);
  }
  // One more than the number, so that none is a value of its own.
  state.update_u64(terms.logprobs ? std::uint64_t{*terms.logprobs} + 1 : 0)
      .update_u32(terms.embedding ? static_cast<std::uint32_t>(*terms.embedding) : 0)
      .update_u32(terms.receipt ? 1 : 0);
  return state.finish();
}

} // namespace ovir::compute
