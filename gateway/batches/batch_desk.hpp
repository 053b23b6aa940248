#pragma once

#include "gateway/api/api_annex.hpp"
#include "gateway/api/api_surroundings.hpp"
#include "gateway/batches/batch_folder.hpp"
#include "gateway/batches/batch_runs.hpp"
#include "gateway/batches/batch_shelf.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ovir::gateway {

/// /v1/files and /v1/batches as OpenAI's clients call them. On the server's thread; the folder is
/// used on others. What is answered lasts.
class batch_desk final : public api_annex {
public:
  /// `environment` and `asker` outlive it. `folder`: where things last.
  batch_desk(const api_surroundings& around, api_asker& asker, storage::env& environment,
             std::string folder, disk_work on_disk, std::uint32_t lines_at_once);

  /// What an earlier life kept. Before the server begins. Where that cannot be read, everything is
  /// refused.
  [[nodiscard]] result<void> open();

  std::string_view methods(std::string_view path) const override;
  std::optional<std::size_t> body_bytes_for(const http_request& head) const override;
  std::optional<api_error> refuse(const http_request& head, bool draining) const override;
  void serve(http_request request, const api_key& key,
             const std::shared_ptr<http_exchange>& exchange) override;
  void tick() override;
  void measure(metric_families& to) const override;

private:
  using exchange_pointer = std::shared_ptr<http_exchange>;
  struct upload;
  struct telling;

  void serve_files(http_request request, const api_key& key, const exchange_pointer& exchange);
  void serve_batches(http_request request, const api_key& key, const exchange_pointer& exchange);

  void take_upload(http_request request, const api_key& key, const exchange_pointer& exchange);
  void keep_upload(const std::shared_ptr<upload>& up, const exchange_pointer& exchange);
  void delete_file(const stored_file& file, const exchange_pointer& exchange);
  void tell_bytes(const std::string& id, const exchange_pointer& exchange);
  void tell_piece(const std::shared_ptr<telling>& what);

  void make_batch(const http_request& request, const api_key& key,
                  const exchange_pointer& exchange);
  void drop_surplus(const std::string& owner);
  void drop_expired();

  [[nodiscard]] std::string fresh_id(std::string_view prefix) const;
  void refuse_with(const exchange_pointer& exchange, const api_error& why);
  void tell(const exchange_pointer& exchange, const json& value);

  const api_surroundings around_;
  api_asker& asker_;
  batch_folder folder_;
  batch_shelf shelf_;
  batch_runs runs_;
  std::vector<batch_record> restored_; ///< not gone on with yet
  bool open_{false};
  /// Files being told. One may be dropped on the other thread.
  std::shared_ptr<std::atomic<std::size_t>> tellings_{
      std::make_shared<std::atomic<std::size_t>>(0)};
  std::chrono::steady_clock::time_point next_look_;
};

} // namespace ovir::gateway
