#pragma once

#include "gateway/batches/batch_runs.hpp"
#include "messages/check.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

/// What `batch_runs` keeps of each batch.
namespace ovir::gateway {

/// Where the answer of a line comes to.
class batch_runs::line_exchange final : public http_exchange {
public:
  explicit line_exchange(std::function<void(const http_reply&)> told) : told_(std::move(told)) {}

  void reply(http_reply answer) override {
    gone_ = nullptr;
    if (const auto told = std::exchange(told_, nullptr)) {
      told(answer);
    }
  }
  // Lines that want a stream were refused with their batch.
  void begin_stream(http_reply) override { OVIR_CHECK(false); }
  void send(std::string) override {}
  void end_stream() override {}
  void when_gone(std::function<void()> gone) override { gone_ = std::move(gone); }

  /// Where the endpoint ends, too.
  void forget() {
    told_ = nullptr;
    gone_ = nullptr;
  }
  /// Nothing is heard any more.
  void leave() {
    told_ = nullptr;
    if (const auto gone = std::exchange(gone_, nullptr)) {
      gone();
    }
  }

private:
  std::function<void(const http_reply&)> told_;
  std::function<void()> gone_;
};

/// A batch that is not over.
struct batch_runs::run {
  /// Lines of one file that are not on the disk yet.
  struct unwritten {
    std::string text;
    std::vector<std::uint32_t> lines{};

    /// What could not be written, in front of what came since.
    void put_in_front(unwritten earlier) {
      earlier.text += text;
      earlier.lines.insert(earlier.lines.end(), lines.begin(), lines.end());
      *this = std::move(earlier);
    }
  };
  struct flight {
    std::string name;                          ///< custom_id
    std::uint32_t tries{0};                    ///< before this one
    std::shared_ptr<line_exchange> exchange{}; ///< null: it is only being read
  };
  struct pause {
    std::chrono::steady_clock::time_point until;
    std::uint32_t tries{0};
  };

  explicit run(const batch_record& batch)
      : id(batch.id), owner(batch.owner), endpoint(batch.endpoint), lines(batch.endpoint) {}

  const std::string id;
  const std::string owner;
  const std::string endpoint;
  std::shared_ptr<storage::mapped_file> input;
  line_scan lines;
  bool restored{false}; ///< an earlier life began it
  bool loaded{false};   ///< its lines are known, and which are done
  std::vector<bool> done;
  std::uint32_t done_count{0};
  std::uint32_t next{0};        ///< the first line that was never begun
  std::uint32_t search_left{0}; ///< lines that another node may drive since an earlier life
  std::map<std::uint32_t, flight> under_way;
  std::map<std::uint32_t, pause> again; ///< to be asked again
  unwritten answers;
  unwritten errors;
  std::uint64_t answers_bytes{0}; ///< that last
  std::uint64_t errors_bytes{0};
  bool busy{false};       ///< the disk's thread works for it
  bool cancelling{false}; ///< that its client ends it comes to the disk
  std::chrono::steady_clock::time_point stalled_until;
  bool told{false}; ///< the operator, that the disk refused something
  std::optional<batch_state> ending;
  std::optional<batch_fault> rest; ///< why the lines that are left have no answer
  bool over{false};
};

} // namespace ovir::gateway
