#include "apps/ovir/node/node_log.hpp"

#include "compute/base/printable.hpp"
#include "messages/limits/general.hpp"

#include <fmt/chrono.h>
#include <nlohmann/json.hpp>
#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/rotating_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <atomic>
#include <mutex>

namespace ovir::apps {

namespace {

using actors::log_level;

/// One logger of spdlog behind a lock of ours, because reopening replaces it. spdlog throws when a
/// file cannot be opened and catches what it throws while writing, which it reports by a handler.
class spdlog_node_log final : public node_log {
public:
  explicit spdlog_node_log(node_log_options options)
      : options_(std::move(options)), level_(options_.level) {}

  /// Before anything else.
  result<void> start() {
    const std::lock_guard lock{mutex_};
    return open_locked();
  }

  void write(log_level level, std::optional<request_id> request, std::string_view text) override {
    write_of({}, level, request, text);
  }

  void write_of(std::string_view part, log_level level, std::optional<request_id> request,
                std::string_view text) override {
    if (!writes(level)) {
      return;
    }
    const std::lock_guard lock{mutex_};
    const auto now = options_.now();
    const std::string line = line_of(now, part, level, request, text);
    if (logger_ == nullptr && (now < retry_at_ || !open_locked())) {
      lose(now);
      return;
    }
    if (unsaid_ > 0 &&
        put(now, line_of(now, {}, log_level::warn, std::nullopt,
                         fmt::format("{} lines are missing here: the log could not be written",
                                     unsaid_)))) {
      unsaid_ = 0;
    }
    if (logger_ == nullptr || !put(now, line)) {
      lose(now);
    }
  }

  [[nodiscard]] log_level level() const noexcept override { return level_.load(); }
  void set_level(log_level level) noexcept override { level_.store(level); }

  result<void> reopen() override {
    const std::lock_guard lock{mutex_};
    return options_.file.empty() ? result<void>{} : open_locked();
  }

  [[nodiscard]] std::uint64_t lines_lost() const noexcept override { return lost_.load(); }

private:
  [[nodiscard]] std::string line_of(std::chrono::system_clock::time_point now,
                                    std::string_view part, log_level level,
                                    std::optional<request_id> request,
                                    std::string_view text) const {
    const std::string said = compute::printable(text, limits::log_line_bytes_max);
    const std::string about = request ? fmt::format("{:016x}", request->value) : "";
    if (options_.format == log_format::for_people) {
      return fmt::format("{:<5} {} {}", to_string(level), request ? about : "-", said);
    }
    const auto since = now.time_since_epoch();
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(since).count() % 1'000;
    nlohmann::ordered_json line{
        {"time", fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z",
                             fmt::gmtime(std::chrono::system_clock::to_time_t(now)), ms)},
        {"level", to_string(level)},
        {"node", options_.node}};
    if (!part.empty()) {
      line["part"] = part;
    }
    if (request) {
      line["request"] = about;
    }
    line["message"] = said;
    return line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  }

  result<void> open_locked() {
    spdlog::sink_ptr sink;
    if (options_.file.empty()) {
      sink = std::make_shared<spdlog::sinks::stderr_sink_st>();
    } else {
      try {
        sink = std::make_shared<spdlog::sinks::rotating_file_sink_st>(
            options_.file, options_.bytes_max, options_.files_max - 1);
      } catch (const spdlog::spdlog_ex& thrown) {
        return fail(errc::io_failed, "{}: the log cannot be opened; give [log] another 'file' ({})",
                    options_.file, thrown.what());
      }
    }
    auto logger = std::make_shared<spdlog::logger>("ovir", std::move(sink));
    logger->set_formatter(std::make_unique<spdlog::pattern_formatter>(
        options_.format == log_format::as_json ? "%v" : "%Y-%m-%dT%H:%M:%S.%eZ %v",
        spdlog::pattern_time_type::utc));
    logger->set_level(spdlog::level::trace);
    logger->flush_on(spdlog::level::trace);
    logger->set_error_handler([this](const std::string&) { failed_ = true; });
    logger_ = std::move(logger);
    return {};
  }

  /// A sink that failed is dropped: rotating may have left it without a file.
  bool put(std::chrono::system_clock::time_point now, std::string_view line) {
    failed_ = false;
    logger_->log(now, spdlog::source_loc{}, spdlog::level::info,
                 spdlog::string_view_t{line.data(), line.size()});
    if (failed_) {
      logger_ = nullptr;
    }
    return !failed_;
  }

  /// Opening again takes a while when it fails, so it is not tried for every line.
  void lose(std::chrono::system_clock::time_point now) {
    lost_.fetch_add(1);
    ++unsaid_;
    if (retry_at_ <= now) {
      retry_at_ = now + limits::log_retry_wait;
    }
  }

  const node_log_options options_;
  std::atomic<log_level> level_;
  std::atomic<std::uint64_t> lost_{0};
  std::mutex mutex_;                       ///< guards what follows
  std::shared_ptr<spdlog::logger> logger_; ///< null after a failure
  std::uint64_t unsaid_{0};                ///< lost lines the log does not mention yet
  std::chrono::system_clock::time_point retry_at_;
  bool failed_{false}; ///< set by spdlog within `put`
};

} // namespace

result<node_log_options> log_options_of(const supervision::node_options& options) {
  OVIR_ASSIGN(const log_level level, actors::log_level_from_text(options.log_level));
  node_log_options out{options.log_file, options.log_bytes_max, options.log_files_max, level};
  out.format = options.log_format == "json" ? log_format::as_json : log_format::for_people;
  out.node = options.name;
  return out;
}

result<std::unique_ptr<node_log>> node_log::open(node_log_options options) {
  if (options.bytes_max == 0 || options.files_max == 0 ||
      options.files_max > limits::log_files_max) {
    return fail(errc::invalid_argument, "a log has 1 to {} files of at least a byte",
                limits::log_files_max);
  }
  auto opened = std::make_unique<spdlog_node_log>(std::move(options));
  OVIR_TRY(opened->start());
  return std::unique_ptr<node_log>{std::move(opened)};
}

} // namespace ovir::apps
