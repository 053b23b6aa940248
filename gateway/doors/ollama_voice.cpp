#include "gateway/doors/ollama_voice.hpp"

#include "gateway/api/answer_writer.hpp"
#include "gateway/api/embedding_json.hpp"
#include "gateway/doors/answer_blocks.hpp"
#include "gateway/doors/door_body.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <ctime>
#include <utility>

namespace ovir::gateway {

namespace {

constexpr std::string_view ndjson = "application/x-ndjson";

std::string ollama_time(std::uint64_t unix_seconds) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(static_cast<std::time_t>(unix_seconds)));
}

/// A file's name without its ending, with Ollama's usual tag.
std::string ollama_name(const served_model& model) {
  constexpr std::string_view ending = ".gguf";
  std::string name = model.name;
  if (name.ends_with(ending)) {
    name.resize(name.size() - ending.size());
  }
  return name + ":latest";
}

json ollama_details() {
  return {{"parent_model", ""},        {"format", "gguf"},     {"family", ""},
          {"families", json::array()}, {"parameter_size", ""}, {"quantization_level", ""}};
}

json ollama_model(const served_model& model) {
  const std::string name = ollama_name(model);
  return {{"name", name},
          {"model", name},
          {"modified_at", ollama_time(0)},
          {"size", 0}, // not known here: layers lie on many machines
          {"digest", to_hex(model.id)},
          {"details", ollama_details()}};
}

json ollama_shown(const served_model& model) {
  return {{"modelfile", ""},
          {"parameters", ""},
          {"template", model.chat_template},
          {"license", ""},
          {"modified_at", ollama_time(0)},
          {"details", ollama_details()},
          {"model_info",
           {{"general.architecture", "ovir"}, // so that clients find the next one
            {"ovir.context_length", model.context},
            {"general.name", model.title.empty() ? model.name : model.title},
            {"ovir.model", to_hex(model.id)},
            {"ovir.cid", to_cid(model.id)}}},
          {"capabilities", {"completion", "tools", "embedding"}}};
}

json ollama_call(const answer_block& block) {
  return {
      {"function", {{"name", block.name}, {"arguments", json::parse(block.text, nullptr, false)}}}};
}

/// Of a chat or a generation.
class ollama_voice final : public answer_voice {
public:
  ollama_voice(ollama_task task, std::string model, std::uint64_t created)
      : chat_(task == ollama_task::chat), model_(std::move(model)), created_(created) {}

  std::string add(const tool_call_reader::pieces& more) override {
    return lines_of(blocks_.add(more));
  }

  std::string finish(const answer_end& end) override {
    std::string lines = lines_of(blocks_.finish());
    end_ = end;
    return lines + dumped(ended(chunk("", json::array()))) + "\n";
  }

  std::string body() const override {
    std::string text;
    json calls = json::array();
    for (const answer_block& block : blocks_.all()) {
      if (!block.is_call) {
        text += block.text;
      } else if (answer_blocks::is_whole(block)) {
        calls.push_back(ollama_call(block));
      }
    }
    return dumped(ended(chunk(text, std::move(calls))));
  }

  std::string beat() override { return {}; } // a line is always a part of the answer

  std::string failed(const api_error& why) override { return ollama_error(why) + "\n"; }

private:
  [[nodiscard]] json chunk(const std::string& text, json calls) const {
    json one{{"model", model_}, {"created_at", ollama_time(created_)}, {"done", false}};
    if (!chat_) {
      one["response"] = text;
      return one;
    }
    one["message"] = {{"role", "assistant"}, {"content", text}};
    if (!calls.empty()) {
      one["message"]["tool_calls"] = std::move(calls);
    }
    return one;
  }

  /// Calls are told once they are whole.
  [[nodiscard]] std::string lines_of(const std::vector<block_step>& steps) const {
    std::string lines;
    for (const block_step& step : steps) {
      const answer_block& block = blocks_.all()[step.block];
      if (step.what == block_step::kind::more && !block.is_call) {
        lines += dumped(chunk(step.more, json::array())) + "\n";
      } else if (step.what == block_step::kind::close && answer_blocks::is_whole(block)) {
        lines += dumped(chunk("", json::array({ollama_call(block)}))) + "\n";
      }
    }
    return lines;
  }

  [[nodiscard]] json ended(json last) const {
    last["done"] = true;
    switch (end_.why) {
    case finish_reason::stop: last["done_reason"] = "stop"; break;
    case finish_reason::length: last["done_reason"] = "length"; break;
    case finish_reason::cancelled: last["done_reason"] = "cancelled"; break;
    }
    last["total_duration"] = end_.took.count();
    last["load_duration"] = 0;
    last["prompt_eval_count"] = end_.prompt_tokens;
    last["prompt_eval_duration"] = end_.first.count();
    last["eval_count"] = end_.tokens;
    last["eval_duration"] = (end_.took - end_.first).count();
    last["ovir"] = end_.evidence;
    return last;
  }

  bool chat_;
  std::string model_;
  std::uint64_t created_;
  answer_blocks blocks_;
  answer_end end_;
};

/// Of vectors, which are told whole.
class ollama_vectors final : public answer_voice {
public:
  ollama_vectors(ollama_task task, std::string model)
      : one_(task == ollama_task::embeddings), model_(std::move(model)) {}

  std::string add(const tool_call_reader::pieces& more) override {
    static_cast<void>(more);
    return {};
  }
  std::string finish(const answer_end& end) override {
    vectors_.push_back(embedding_json(end.vector, false));
    evidence_.push_back(end.evidence);
    took_ = end.took;
    prompt_tokens_ = end.prompt_tokens;
    return {};
  }
  std::string body() const override {
    if (one_) {
      return dumped(json{{"embedding", vectors_.front()}, {"ovir", evidence_.front()}});
    }
    return dumped(json{{"model", model_},
                       {"embeddings", vectors_},
                       {"total_duration", took_.count()},
                       {"load_duration", 0},
                       {"prompt_eval_count", prompt_tokens_},
                       {"ovir", evidence_}});
  }
  std::string beat() override { return {}; }
  std::string failed(const api_error& why) override { return ollama_error(why) + "\n"; }

private:
  bool one_;
  std::string model_;
  std::vector<json> vectors_;
  std::vector<json> evidence_;
  std::chrono::nanoseconds took_{0};
  std::uint64_t prompt_tokens_{0};
};

class whole_ollama_form final : public answer_form {
public:
  whole_ollama_form(ollama_task task, const ollama_request& request)
      : task_(task), called_(request.called), alone_(request.model_alone),
        stream_(request.asked.stream) {}

  std::unique_ptr<answer_voice> voice(const answer_shape& shape) const override {
    if (task_ == ollama_task::embed || task_ == ollama_task::embeddings) {
      return std::make_unique<ollama_vectors>(task_, called_);
    }
    return std::make_unique<ollama_voice>(task_, called_, shape.created);
  }
  std::string_view stream_type() const override { return ndjson; }
  std::string error_body(const api_error& why) const override { return ollama_error(why); }
  form_purpose purpose() const override {
    return alone_ ? form_purpose::model : form_purpose::answer;
  }

  http_reply told(const served_model& model, std::uint64_t tokens) const override {
    static_cast<void>(tokens);
    http_reply reply;
    if (task_ == ollama_task::show) {
      reply.body = dumped(ollama_shown(model));
      return reply;
    }
    json said{{"status", "success"}}; // it is here already
    if (task_ != ollama_task::pull) {
      said = {{"model", called_},
              {"created_at", ollama_time(0)},
              {"done", true},
              {"done_reason", "load"}};
      if (task_ == ollama_task::chat) {
        said["message"] = {{"role", "assistant"}, {"content", ""}};
      } else {
        said["response"] = "";
      }
    }
    reply.body = dumped(said);
    if (stream_) {
      reply.content_type = ndjson;
      reply.body += "\n";
    }
    return reply;
  }

private:
  ollama_task task_;
  std::string called_;
  bool alone_;
  bool stream_;
};

} // namespace

std::shared_ptr<const answer_form> ollama_form(ollama_task task, const ollama_request& request) {
  return std::make_shared<whole_ollama_form>(task, request);
}

std::string ollama_error(const api_error& why) { return dumped(json{{"error", why.message}}); }

std::string ollama_models(std::span<const served_model> models, bool running) {
  json list = json::array();
  for (const served_model& model : models) {
    json one = ollama_model(model);
    if (running) {
      one["expires_at"] = "9999-12-31T23:59:59Z"; // the swarm keeps it
      one["size_vram"] = 0;
      one["context_length"] = model.context;
      one.erase("modified_at");
    }
    list.push_back(std::move(one));
  }
  return dumped(json{{"models", std::move(list)}});
}

} // namespace ovir::gateway
