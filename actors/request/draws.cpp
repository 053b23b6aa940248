#include "actors/request/draws.hpp"

#include "compute/model/transcript.hpp"
#include "compute/text/token_logprobs.hpp"
#include "messages/check.hpp"
#include "messages/wire/frame.hpp"

namespace ovir::actors {

result<tokens_drawn> draw_all(const std::vector<std::byte>& frame, position at,
                              const std::vector<token_id>& drafts, std::vector<token_id> recent,
                              compute::sampler& sampler, compute::token_matcher* matcher,
                              std::vector<token_id> output, std::optional<std::uint32_t> logprobs) {
  const auto view = decode_frame(frame);
  OVIR_CHECK(view.has_value() && view->header.count > drafts.size());
  const std::size_t vocabulary = view->header.width;
  tokens_drawn out{at, {}};
  for (std::size_t row = 0;; ++row) {
    const position p = at + static_cast<position>(row);
    const auto logits = view->floats().subspan(row * vocabulary, vocabulary);
    compute::token_mask allowed;
    if (matcher != nullptr) {
      const auto found = matcher->allowed(output);
      if (!found) { // an earlier lead drew what it must not
        return fail(errc::malformed, "the answer so far does not keep to its constraint");
      }
      allowed = *found;
    }
    const token_id token = sampler.draw(logits, recent, p + 1, allowed, output);
    out.drawn.push_back({token, compute::logits_digest(p, logits)});
    if (logprobs) {
      out.logprobs.push_back(
          std::make_shared<const token_logprobs>(compute::logprobs_of(logits, token, *logprobs)));
    }
    if (row == drafts.size() || token != drafts[row]) {
      return out;
    }
    recent.push_back(token);
    output.push_back(token);
  }
}

} // namespace ovir::actors
