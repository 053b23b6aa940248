#include "apps/pack_model.hpp"

#include "compute/kernels/formats/packed_weights.hpp"

#include <utility>

namespace ovir::apps {

namespace {

/// How much may be packed before the pages of the file that were read for it are given back.
constexpr std::size_t release_every = std::size_t{64} << 20U;

/// The file, and the memory that took the place of most of it.
class packed_file final : public storage::mapped_file {
public:
  packed_file(std::unique_ptr<storage::mapped_file> file,
              std::unique_ptr<storage::large_memory> memory)
      : file_(std::move(file)), memory_(std::move(memory)) {}

  [[nodiscard]] std::span<const std::byte> bytes() const noexcept override {
    return file_->bytes();
  }
  void release_pages() noexcept override { file_->release_pages(); }

private:
  std::unique_ptr<storage::mapped_file> file_;
  std::unique_ptr<storage::large_memory> memory_;
};

} // namespace

result<void> pack_model(ready_model& model, layer_range layers, const compute::kernel_set& kernels,
                        storage::env& environment, compute::parallel_runner& runner,
                        const pack_progress& progress) {
  OVIR_TRY(compute::check_weights(model.weights, layers, runner));
  if (kernels.id == compute::isa::reference) {
    return {};
  }
  const compute::packing_plan plan = compute::plan_packing(model.weights, layers, kernels.id);
  const std::uint64_t memory_bytes = environment.memory_bytes();
  if (plan.bytes == 0 || (memory_bytes > 0 && plan.bytes > memory_bytes / 5 * 4)) {
    return {};
  }
  auto memory = environment.allocate(plan.bytes);
  if (!memory) {
    return {}; // slower, but nothing that a user must know of
  }
  storage::mapped_file& file = *model.source.file;
  file.release_pages();
  std::size_t released = 0;
  for (const compute::packing_plan::part& part : plan.parts) {
    compute::pack_weight(part, (*memory)->bytes().data(), runner);
    if (progress) {
      progress(part.at + compute::packed_bytes(*part.target), plan.bytes);
    }
    if (part.at - released >= release_every) {
      released = part.at;
      file.release_pages();
    }
  }
  file.release_pages();
  model.source.file =
      std::make_unique<packed_file>(std::move(model.source.file), std::move(memory).value());
  return {};
}

} // namespace ovir::apps
