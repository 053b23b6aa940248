#include "gateway/api/tool_call_reader.hpp"

#include "compute/text/constraint.hpp"

#include <algorithm>
#include <string_view>

namespace ovir::gateway {

namespace {

constexpr std::string_view head_begin = R"({"name": ")";
constexpr std::string_view head_end = R"(", "arguments": )";

/// Bytes at the end of `text` that `mark` may begin with.
std::size_t begun(std::string_view text, std::string_view mark) {
  std::size_t n = std::min(text.size(), mark.size() - 1);
  while (!text.ends_with(mark.substr(0, n))) {
    --n;
  }
  return n;
}

} // namespace

void tool_call_reader::read(pieces& out, bool last) {
  const std::string open = std::string{compute::tool_call_open} + std::string{head_begin};
  const std::string close = "}" + std::string{compute::tool_call_close};
  const auto give_arguments = [&](const std::string& text) {
    if (!text.empty()) {
      if (out.calls.empty() || out.calls.back().call != calls_ - 1) {
        out.calls.push_back({calls_ - 1, {}, {}});
      }
      out.calls.back().arguments += text;
    }
  };
  for (;;) {
    if (at_ == place::content) {
      // Between two calls there is a line's end, which is nobody's text.
      if (calls_ > 0 && held_.starts_with('\n')) {
        held_.erase(0, 1);
      }
      const std::size_t found = held_.find(open);
      const std::size_t text =
          found != std::string::npos ? found : held_.size() - (last ? 0 : begun(held_, open));
      out.content += held_.substr(0, text);
      held_.erase(0, text);
      if (found == std::string::npos) {
        return;
      }
      held_.erase(0, open.size());
      at_ = place::head;
    }
    if (at_ == place::head) {
      const std::size_t found = held_.find(head_end);
      if (found == std::string::npos) {
        if (last) { // cut off within the name: no call
          held_.clear();
        }
        return;
      }
      out.calls.push_back({calls_++, held_.substr(0, found), {}});
      held_.erase(0, found + head_end.size());
      at_ = place::arguments;
    }
    const std::size_t found = held_.find(close);
    const std::size_t text =
        found != std::string::npos ? found : held_.size() - (last ? 0 : begun(held_, close));
    give_arguments(held_.substr(0, text));
    held_.erase(0, text);
    if (found == std::string::npos) {
      return;
    }
    held_.erase(0, close.size());
    at_ = place::content;
  }
}

tool_call_reader::pieces tool_call_reader::add(const std::string& text) {
  pieces out;
  held_ += text;
  read(out, false);
  return out;
}

tool_call_reader::pieces tool_call_reader::finish() {
  pieces out;
  read(out, true);
  return out;
}

} // namespace ovir::gateway
