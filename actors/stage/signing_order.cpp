#include "actors/stage/signing_order.hpp"

#include "actors/stage/lead_evidence.hpp"
#include "compute/model/transcript.hpp"

#include <string>
#include <string_view>

namespace ovir::actors {

namespace {

error refusal(std::string_view part, const std::string& ordered, const std::string& here) {
  return fail(errc::invalid_argument,
              "signs nothing for this request: the order says {} {}, here is {}; order what this "
              "stage computes",
              part, ordered, here);
}

std::string name_of(const digest& what) { return to_hex(what).substr(0, 8); }

} // namespace

result<void> check_order(const evidence_order& order, const signing_facts& known) {
  const evidence_terms& terms = order.terms;
  if (terms.request != known.request) {
    return refusal("request", fmt::format("{:016x}", terms.request.value),
                   fmt::format("{:016x}", known.request.value));
  }
  if (known.model && terms.model != *known.model) {
    return refusal("model", name_of(terms.model), name_of(*known.model));
  }
  if (terms.profile != compute::profile_name) {
    return refusal("profile", fmt::format("\"{}\"", terms.profile),
                   fmt::format("\"{}\"", compute::profile_name));
  }
  if (terms.layers != known.layers) {
    return refusal("a model of layers", std::to_string(terms.layers), std::to_string(known.layers));
  }
  if (known.content && terms.content != *known.content) {
    return refusal("content", name_of(terms.content), name_of(*known.content));
  }
  if (known.unix_now && order.deadline_unix < *known.unix_now) {
    return refusal("deadline", std::to_string(order.deadline_unix),
                   fmt::format("{} by the clock", *known.unix_now));
  }
  return {};
}

digest content_of(const request_log& log, std::uint32_t layers) {
  return request_digest(facts_of(log, layers));
}

} // namespace ovir::actors
