#pragma once

#include "actors/path/model_catalog.hpp"
#include "compute/forward/segment.hpp"
#include "compute/kernels/kernels.hpp"
#include "compute/text/sampler.hpp"
#include "messages/request/params.hpp"
#include "node/node.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace ovir::swarm {

/// Who computes: the kernels that `ovir node` uses on this processor, or a stand-in of the same
/// interface whose results depend on all of their inputs, too, and cost next to nothing.
enum class arithmetic : std::uint8_t { kernels, stand_in };
[[nodiscard]] std::string_view to_string(arithmetic how) noexcept;

/// A request to it, as every client may make one.
struct wanted_answer {
  std::vector<token_id> prompt;
  sampling_params sampling;
  std::uint32_t max_tokens{16};
};

/// How large the keys and values of a position are: a few bytes, or as many as fill disks.
enum class width : std::uint8_t { narrow, wide };

/// The model of a swarm: 8 layers, random weights, small. Loaded once, held by every node.
class tiny_model {
public:
  static constexpr std::uint32_t layers = 8;
  static constexpr std::uint32_t vocabulary = 320;
  static constexpr std::string_view path = "tiny.gguf";

  /// `counts`: what it computes is counted (`kernels_counted`).
  tiny_model(arithmetic how, width kept, bool counts = false);

  /// Of nodes that `hold`; on a node without the role worker, nothing.
  /// One that `lies` computes something wrong now and then.
  [[nodiscard]] supervision::model_loader loader(bool holds, bool lies) const;
  /// Bytes of memory in which a node holds so many layers, and no more, with a request's room.
  [[nodiscard]] std::uint64_t memory_for(std::uint32_t held) const;
  /// What one process alone answers.
  [[nodiscard]] const std::vector<token_id>& answer(const wanted_answer& wanted);
  [[nodiscard]] const digest& id() const noexcept { return id_; }
  /// Of an answer, as clients read it.
  [[nodiscard]] std::string text(const std::vector<token_id>& tokens) const;
  [[nodiscard]] bool ends(const std::vector<token_id>& tokens) const;

private:
  const compute::kernel_set* kernels_;
  std::shared_ptr<const std::vector<std::byte>> bytes_;
  std::shared_ptr<const compute::model_manifest> manifest_;
  digest id_;
  std::unique_ptr<compute::segment> whole_;
  actors::model_catalog::entry entry_; ///< of `whole_`
  std::map<std::string, std::vector<token_id>> answers_;
};

} // namespace ovir::swarm
