#pragma once

#include "gateway/batches/batch_record.hpp"
#include "gateway/http/http_exchange.hpp"
#include "messages/digest.hpp"
#include "messages/ids.hpp"
#include "messages/result.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

/// The lines of a batch: what they ask, and what is written of their answers. Cores.
namespace ovir::gateway {

/// A line of an input: a request of the batch's endpoint.
struct batch_line {
  std::string name; ///< its custom_id
  std::string body; ///< of the request, its members in their order
};

/// The line `number` (from 1) of an input, without its end. A fault says what is wrong with it; not
/// whether its model or its parameters exist, which its answer says.
[[nodiscard]] std::variant<batch_line, batch_fault>
batch_line_from(std::string_view text, std::string_view endpoint, std::uint64_t number);

/// Goes through an input in steps, so that others get their turn: where its lines are, and whether
/// each is a request and no custom_id is twice.
class line_scan {
public:
  explicit line_scan(std::string endpoint) : endpoint_(std::move(endpoint)) {}

  /// About `bytes` more of `input`, which is the same in each step. True: it is over, because all
  /// was seen or limits::batch_faults_max faults were found.
  [[nodiscard]] bool step(std::string_view input, std::size_t bytes);

  [[nodiscard]] const std::vector<batch_fault>& faults() const noexcept { return faults_; }
  [[nodiscard]] std::uint32_t lines() const noexcept {
    return static_cast<std::uint32_t>(begins_.size());
  }
  /// Of line `index` (from 0).
  [[nodiscard]] std::string_view line(std::string_view input, std::uint32_t index) const;

private:
  void look_at(std::string_view line);
  void find_fault(batch_fault fault);

  std::string endpoint_;
  std::vector<std::uint64_t> begins_;
  std::uint64_t at_{0};
  bool over_{false};
  std::set<digest> names_;
  std::vector<batch_fault> faults_;
};

/// The id under which the gateway asks line `index`: the same whenever it is asked, so that a line
/// that runs already is gone on with.
[[nodiscard]] request_id request_of_line(std::string_view batch, std::uint32_t index);

/// What an output or an error file says of a line, with the end of the line.
[[nodiscard]] std::string answered_line(std::string_view batch, std::uint32_t index,
                                        std::string_view name, const http_reply& reply);
/// Of a line without an answer.
[[nodiscard]] std::string unanswered_line(std::string_view batch, std::uint32_t index,
                                          std::string_view name, std::string_view code,
                                          std::string_view why);

/// The lines that an output or an error file has.
struct written_lines {
  std::vector<std::uint32_t> indexes;
  std::uint64_t bytes{0}; ///< of whole lines: what is behind them was cut off by a crash
};
/// `malformed` for a whole line that is none of this batch.
[[nodiscard]] result<written_lines> written_lines_from(std::string_view text,
                                                       std::string_view batch);

} // namespace ovir::gateway
