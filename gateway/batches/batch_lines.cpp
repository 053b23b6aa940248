#include "gateway/batches/batch_lines.hpp"

#include "gateway/http/event_id.hpp"
#include "gateway/http/parameters.hpp"
#include "messages/limits/batches.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <span>
#include <utility>

namespace ovir::gateway {

namespace {

constexpr std::string_view line_begin = R"({"id":"batch_req_)";

std::string line_text(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

/// `{"id":"batch_req_0123...ef_17",` of the batch "batch_0123...ef".
std::string begin_of(std::string_view batch, std::uint32_t index) {
  return fmt::format(R"({}{}_{}",)", line_begin, batch.substr(batch.find('_') + 1), index);
}

batch_fault fault_of(const api_error& why, std::uint64_t number) {
  return {why.code.empty() ? "invalid_value" : why.code, why.message, why.param, number};
}

/// The body as it is written: the order of a schema's members decides how an answer is constrained.
std::string body_in(std::string_view text) {
  const auto line = nlohmann::ordered_json::parse(text, nullptr, false);
  return line.at("body").dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

} // namespace

std::variant<batch_line, batch_fault>
batch_line_from(std::string_view text, std::string_view endpoint, std::uint64_t number) {
  if (text.size() > limits::batch_line_bytes_max) {
    return batch_fault{"line_too_long",
                       fmt::format("the line has {} bytes, at most {} are allowed", text.size(),
                                   limits::batch_line_bytes_max),
                       {},
                       number};
  }
  const auto value = parse_object(text);
  if (!value) {
    return batch_fault{"invalid_json_line", "the line: " + value.error().message, {}, number};
  }
  parameters in{*value};
  batch_line line;
  line.name = in.text("custom_id", limits::batch_name_bytes_max);
  const std::string method = in.text("method", limits::batch_name_bytes_max);
  const std::string url = in.text("url", limits::batch_name_bytes_max);
  const json& body = in.raw("body");
  if (line.name.empty()) {
    in.refuse("custom_id", "must be a text of its own for each line");
  }
  if (method != "POST") {
    in.refuse("method", "must be 'POST'");
  }
  if (url != endpoint) {
    in.refuse("url", fmt::format("must be the batch's endpoint, '{}'", endpoint));
  }
  if (!body.is_object()) {
    in.refuse("body", "must be the body of a request");
  } else if (const auto stream = body.find("stream");
             stream != body.end() && !stream->is_null() && *stream != json(false)) {
    in.refuse("body.stream", "must be false: a batch has no streams");
  }
  in.done();
  if (in.failure()) {
    return fault_of(*in.failure(), number);
  }
  line.body = body_in(text);
  return line;
}

bool line_scan::step(std::string_view input, std::size_t bytes) {
  const std::uint64_t until = at_ + bytes;
  while (!over_ && at_ < input.size() && at_ < until) {
    if (begins_.size() == limits::batch_lines_max) {
      find_fault({"too_many_lines", fmt::format("the input has more than {} lines; divide it",
                                                limits::batch_lines_max)});
      over_ = true;
      break;
    }
    begins_.push_back(at_);
    const std::string_view one = line(input, lines() - 1);
    at_ += one.size() + 1;
    look_at(one);
    over_ = faults_.size() == limits::batch_faults_max;
  }
  over_ = over_ || at_ >= input.size();
  return over_;
}

void line_scan::look_at(std::string_view line) {
  auto read = batch_line_from(line, endpoint_, begins_.size());
  if (auto* const fault = std::get_if<batch_fault>(&read)) {
    return find_fault(std::move(*fault));
  }
  const std::string& name = std::get<batch_line>(read).name;
  if (!names_.insert(hash("ovir/batch-name/v1", std::as_bytes(std::span{name}))).second) {
    find_fault({"duplicate_custom_id", "'custom_id' is that of an earlier line", "custom_id",
                begins_.size()});
  }
}

void line_scan::find_fault(batch_fault fault) { faults_.push_back(std::move(fault)); }

std::string_view line_scan::line(std::string_view input, std::uint32_t index) const {
  const std::string_view rest = input.substr(begins_.at(index));
  return rest.substr(0, rest.find('\n'));
}

request_id request_of_line(std::string_view batch, std::uint32_t index) {
  const digest name = hasher{"ovir/batch-request/v1"}.update_text(batch).update_u32(index).finish();
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < sizeof value; ++i) {
    value |= std::uint64_t{name.bytes.at(i)} << (8 * i);
  }
  return request_id{std::max<std::uint64_t>(value, 1)};
}

std::string answered_line(std::string_view batch, std::uint32_t index, std::string_view name,
                          const http_reply& reply) {
  return fmt::format(R"({}"custom_id":{},"response":{{"status_code":{},"request_id":"{}",)"
                     R"("body":{}}},"error":null}})"
                     "\n",
                     begin_of(batch, index), line_text(name), reply.status,
                     to_text(request_of_line(batch, index)), reply.body);
}

std::string unanswered_line(std::string_view batch, std::uint32_t index, std::string_view name,
                            std::string_view code, std::string_view why) {
  return fmt::format(R"({}"custom_id":{},"response":null,"error":{{"code":{},"message":{}}}}})"
                     "\n",
                     begin_of(batch, index), line_text(name), line_text(code), line_text(why));
}

result<written_lines> written_lines_from(std::string_view text, std::string_view batch) {
  const std::string begin = fmt::format("{}{}_", line_begin, batch.substr(batch.find('_') + 1));
  written_lines lines;
  for (;;) {
    const std::string_view rest = text.substr(lines.bytes);
    const std::size_t end = rest.find('\n');
    if (end == rest.npos) {
      return lines;
    }
    const std::string_view line = rest.substr(0, end);
    const std::string_view digits =
        line.starts_with(begin) ? line.substr(begin.size()) : std::string_view{};
    std::uint32_t index = 0;
    const auto [after, wrong] =
        std::from_chars(digits.data(), digits.data() + digits.size(), index);
    if (digits.empty() || wrong != std::errc{} || after == digits.data() + digits.size() ||
        *after != '"' || index >= limits::batch_lines_max) {
      return fail(errc::malformed, "a line of the file is none of the batch's");
    }
    lines.indexes.push_back(index);
    lines.bytes += end + 1;
  }
}

} // namespace ovir::gateway
