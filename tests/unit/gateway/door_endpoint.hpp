#pragma once

#include "gateway/doors/anthropic_door.hpp"
#include "gateway/doors/ollama_door.hpp"
#include "gateway/doors/responses_door.hpp"
#include "tests/unit/gateway/made_up_endpoint.hpp"

#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ovir::gateway {

/// The endpoint with all its doors and a model that chats.
class door_endpoint : public endpoint {
protected:
  door_endpoint() {
    cluster_.list.front().context = 512;
    doors_ = {&anthropic_, &ollama_, &responses_};
    options_.chat_format = "chatml";
    options_.version = "7.8.9";
    restart(options_);
  }

  /// A cluster that tells the answer in these texts, a token each, and ends it.
  void answer(const std::vector<std::string>& texts, finish_reason why = finish_reason::stop) {
    const std::uint64_t to = tag();
    std::string whole;
    std::uint32_t index = 0;
    for (const std::string& text : texts) {
      whole += text;
      app_->calls().on_token(to, {index++, 5, text});
    }
    generation_outcome end = outcome(whole, index);
    end.end = why;
    end.cached_tokens = 3;
    app_->calls().on_end(to, end);
  }

  /// Keys are needed from now on; the text of the only one.
  std::string use_one_key(api_key key) {
    options_.keys_needed = true;
    restart(options_);
    known_keys keys;
    key.name = "ann";
    const std::array<std::byte, 32> secret{};
    const std::string text = keys.table.add(key, secret, keys.with).value();
    app_->use_keys(keys);
    return text;
  }

  /// Type and data of each event.
  static std::vector<std::pair<std::string, json>> events_of(const std::string& body) {
    std::vector<std::pair<std::string, json>> events;
    std::istringstream lines{body};
    std::string type;
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with("event: ")) {
        type = line.substr(7);
      } else if (line.starts_with("data: ")) {
        events.emplace_back(type, json::parse(line.substr(6)));
      }
    }
    return events;
  }
  static std::vector<std::string> types_of(const std::string& body) {
    std::vector<std::string> types;
    for (const auto& [type, data] : events_of(body)) {
      types.push_back(type);
    }
    return types;
  }

  /// As the models of these tests write a call.
  static std::string call_text(const std::string& name, const std::string& arguments) {
    return "<tool_call>\n{\"name\": \"" + name + "\", \"arguments\": " + arguments +
           "}\n</tool_call>";
  }

  anthropic_door anthropic_;
  ollama_door ollama_;
  responses_door responses_;
  api_options options_;
};

} // namespace ovir::gateway
