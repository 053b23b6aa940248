#pragma once

#include "gateway/http/bounded_json.hpp"
#include "messages/digest.hpp"
#include "messages/ids.hpp"
#include "messages/node_id.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// What a node finds of an answer: by its receipt, by what verifiers signed about it, and by who
/// was convicted (docs/formats/http.md).
namespace ovir::gateway {

/// The first of these that is so.
enum class answer_verdict : std::uint8_t {
  wrong,     ///< the receipt does not hold against itself
  convicted, ///< who had a part in it stated elsewhere what it did not compute
  disputed,  ///< a verifier computed something else
  strangers, ///< signers of it are no members here
  audited,   ///< others computed all of it again
  in_part,   ///< some of it
  unaudited, ///< none of it
};
[[nodiscard]] std::string_view to_string(answer_verdict verdict) noexcept;

struct answer_party {
  node_id node;
  std::string name; ///< of a member; else empty
};

struct answer_check {
  struct failure {
    std::string what;
    std::optional<answer_party> by; ///< whose word it is
  };
  struct reuse {
    answer_party author;
    std::uint64_t units{0};
  };
  struct stage {
    layer_range layers;
    answer_party by;
    std::string software;
    bool member{false};
    bool convicted{false};
    std::uint32_t windows{0};
    std::uint32_t right{0}; ///< windows that a verifier found so
    std::uint32_t wrong{0};
    std::uint32_t missing{0};             ///< looked at in vain, and by no one else
    std::vector<std::uint32_t> unaudited; ///< windows that none computed again
    std::vector<reuse> reused;            ///< units that it took from others
    std::uint64_t compute_us{0};          ///< a claim, as the next
    std::uint64_t elapsed_us{0};
  };
  struct finding {
    std::uint32_t stage{0};
    std::uint32_t window{0};
    std::string_view what;
  };
  struct audit {
    answer_party by;
    std::string_view kernels;
    std::string software;
    std::uint64_t unix_seconds{0};
    std::vector<finding> findings;
  };
  struct claims { ///< of the lead
    std::uint64_t first_token_us{0};
    std::uint64_t prefill_us{0};
    std::uint64_t decode_us{0};
  };

  answer_verdict verdict{answer_verdict::unaudited};
  std::string text; ///< a sentence for people
  std::vector<failure> failures;
  digest receipt; ///< its name
  digest transcript;
  digest model;
  request_id request; ///< in the cluster
  std::size_t prompt{0};
  std::size_t output{0};
  answer_party lead;
  std::vector<stage> stages;
  std::vector<audit> audits;
  std::vector<failure> rejected; ///< addenda that do not count
  std::string unaudited;         ///< why some of it is; empty: none is
  claims stated;
};

/// What the endpoint saw of an answer itself.
struct answer_time {
  std::chrono::milliseconds took{0};
  std::chrono::milliseconds slack{0}; ///< that its deadline left
};
[[nodiscard]] json json_of(const answer_check& found, request_id id,
                           const std::optional<answer_time>& seen);

} // namespace ovir::gateway
