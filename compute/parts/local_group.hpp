#pragma once

#include "compute/base/parallel.hpp"
#include "compute/forward/layer_engine.hpp"
#include "compute/kernels/kernels.hpp"
#include "compute/parts/segment_part.hpp"
#include "messages/result.hpp"

#include <functional>
#include <memory>
#include <span>
#include <vector>

namespace ovir::compute {

/// All members of a group in one process, one after another, with an exchange in memory: what a
/// group computes without a network. An engine for `segment::make_with`. K and V of the members'
/// heads are their own; new rows are copied to the requests' caches, as every engine does.
class local_group final : public layer_engine {
public:
  /// What crosses, as a test may look at it or change it: of a member, before the others have it.
  using watch = std::function<void(const crossing_place&, std::uint32_t member,
                                   std::vector<std::byte>& bytes)>;

  /// `runner` for checking and packing. Errors are those of `segment_part::make`.
  [[nodiscard]] static result<std::unique_ptr<local_group>>
  make(const model& whole, const segment_cut& cut, const kernel_set& kernels,
       parallel_runner& runner, bool pack = false);

  void watch_crossings(watch each) { watch_ = std::move(each); }
  /// What crossed and was taken, of all members in their order: for records of it.
  using witness = std::function<void(const crossing_place&, activation_form,
                                     std::span<const std::span<const std::byte>>)>;
  void witness_crossings(witness each) { witness_ = std::move(each); }

  [[nodiscard]] result<void> run(engine_pass& pass) override;
  [[nodiscard]] bool has_head() const noexcept override;
  [[nodiscard]] result<void> head(std::span<const float* const> rows, std::span<float> logits,
                                  std::span<std::uint8_t> ok) override;

private:
  struct request;
  local_group(std::vector<std::unique_ptr<segment_part>> members, const model_config& config);
  [[nodiscard]] result<request*> prepare(engine_session& s) const;
  [[nodiscard]] result<void> begin(engine_pass& pass);
  [[nodiscard]] result<void> exchange();
  void keep_kv(engine_session& s) const;

  std::vector<std::unique_ptr<segment_part>> members_;
  model_config config_;
  layer_range layers_;
  parallel_runner* runner_{nullptr}; ///< of the last pass
  watch watch_{};
  witness witness_{};
};

} // namespace ovir::compute
