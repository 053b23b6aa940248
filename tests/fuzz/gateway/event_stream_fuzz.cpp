#include "gateway/api/answer_writer.hpp"
#include "gateway/http/bounded_json.hpp"

#include <cstdint>
#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// Any bytes as the text of answers, in any pieces: what goes out is events by the letter of the
// HTML standard, which an unforgiving reader takes apart into the same text. The first byte says
// which kind of stream; 0xff ends a piece, and the bit above its length says whose it is.
namespace {

using namespace ovir::gateway;

void expect(bool holds) {
  if (!holds) {
    std::abort();
  }
}

struct event {
  std::string id;
  std::string data;
};

/// No line but "id: ", "data: " and comments, one data line per event, nothing left over, none of
/// the characters that a reader would take for the end of a line.
std::vector<event> read(std::string_view stream) {
  std::vector<event> events;
  std::optional<event> open;
  while (!stream.empty()) {
    const std::size_t end = stream.find('\n');
    expect(end != std::string_view::npos);
    const std::string_view line = stream.substr(0, end);
    stream.remove_prefix(end + 1);
    expect(line.find('\r') == std::string_view::npos && line.find('\0') == std::string_view::npos);
    if (line.empty()) {
      if (open) {
        events.push_back(std::move(*open));
        open.reset();
      }
    } else if (line.starts_with("id: ")) {
      open = open.value_or(event{});
      open->id = line.substr(4);
    } else if (line.starts_with("data: ")) {
      open = open.value_or(event{});
      expect(open->data.empty());
      open->data = line.substr(6);
    } else {
      expect(line.starts_with(": "));
    }
  }
  expect(!open);
  return events;
}

/// As JSON writers put what is not UTF-8: each wrong byte replaced.
std::string as_text(const std::string& bytes) {
  const std::string document = json(bytes).dump(-1, ' ', false, json::error_handler_t::replace);
  return json::parse(document).get<std::string>();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) {
    return 0;
  }
  const std::uint8_t how = data[0];
  answer_shape shape;
  shape.kind = (how & 1U) != 0 ? api_kind::chat : api_kind::completion;
  shape.id = ovir::request_id{0xabc};
  shape.answers = {ovir::request_id{0xabc}, ovir::request_id{0xabd}};
  shape.model = "m";
  shape.stream = true;
  shape.include_usage = (how & 2U) != 0;
  answer_writer writer{shape};
  std::vector<std::string> texts(2);  // as they went in
  std::vector<std::string> wanted(2); // as they come out
  std::vector<std::uint32_t> next(2);
  std::string stream;
  const std::string_view rest{reinterpret_cast<const char*>(data) + 1, size - 1};
  for (std::size_t at = 0; at < rest.size();) {
    const std::size_t end = std::min(rest.find('\xff', at), rest.size());
    const std::string piece{rest.substr(at, end - at)};
    const std::size_t who = piece.size() & 1U;
    at = end + 1;
    stream += writer.on_token(static_cast<std::uint32_t>(who), {next[who]++, 0, piece});
    texts[who] += piece;
    wanted[who] += as_text(piece);
    if ((how & 4U) != 0) {
      stream += beat_event();
    }
  }
  for (std::uint32_t who = 0; who < 2; ++who) {
    const std::string tail = (how & 8U) != 0 ? "\r\n\ndata: x" : "";
    generation_outcome outcome;
    outcome.tokens = next[who];
    outcome.text = texts[who] + tail;
    wanted[who] += as_text(tail);
    stream += writer.on_end(who, std::move(outcome));
  }
  std::vector<std::string> told(2);
  const std::vector<event> events = read(stream);
  expect(!events.empty() && events.back().data == "[DONE]" && events.back().id.empty());
  for (std::size_t i = 0; i + 1 < events.size(); ++i) {
    expect(event_id_from(events[i].id).has_value());
    const json document = json::parse(events[i].data, nullptr, false);
    expect(document.is_object());
    for (const json& choice : document.at("choices")) {
      const std::size_t who = choice.at("index");
      const json& said = shape.kind == api_kind::chat ? choice.at("delta") : choice;
      const char* const key = shape.kind == api_kind::chat ? "content" : "text";
      told.at(who) += said.value(key, "");
    }
  }
  expect(told == wanted);
  return 0;
}
