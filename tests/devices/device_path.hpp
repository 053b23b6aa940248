#pragma once

#include "compute/forward/segment.hpp"
#include "compute/model/model.hpp"
#include "messages/ids.hpp"

#include <memory>
#include <string>
#include <vector>

namespace ovir::test {

/// A model cut into stages, of which some are computed on the test device.
class device_path {
public:
  /// `cuts`: the first layers of all stages but the first. `on_device`: a letter for each stage,
  /// 'd' on the device and 'c' on the processor. Throws where a stage cannot be made.
  device_path(const compute::model& m, const std::vector<layer_index>& cuts,
              const std::string& on_device);

  struct request {
    std::vector<compute::segment_state> states;
    position length{0};
  };
  /// What a step of a request gives: of the last stage's logits, and the leaves of all.
  struct outcome {
    std::vector<float> logits;
    std::vector<compute::unit_leaf> leaves;
    std::string failed; ///< what the first stage that failed said
    friend bool operator==(const outcome&, const outcome&) = default;
  };

  [[nodiscard]] request open(std::uint32_t positions) const;

  struct part {
    request* of{nullptr};
    std::vector<token_id> tokens;
    std::uint32_t logit_rows{0};
    std::uint32_t drafts{0};
  };
  /// One pass of all parts through all stages.
  std::vector<outcome> step(const std::vector<part>& parts);
  outcome step(const part& one) { return step(std::vector<part>{one}).front(); }

  /// Leaves of windows that are begun.
  [[nodiscard]] static std::vector<compute::unit_leaf> open_leaves(const request& r);
  /// K and V of all stages up to the request's length, layer after layer.
  [[nodiscard]] std::vector<std::byte> kv_of(const request& r) const;

  [[nodiscard]] compute::segment& stage(std::size_t i) { return *stages_[i]; }

private:
  std::vector<std::unique_ptr<compute::segment>> stages_;
};

/// Token ids of a vocabulary, always the same.
[[nodiscard]] std::vector<token_id> device_tokens(std::size_t n, std::uint32_t vocabulary,
                                                  std::uint32_t seed = 13);

} // namespace ovir::test
