#include "gateway/api/completion_request.hpp"

#include "gateway/api/constraint_request.hpp"
#include "gateway/http/parameters.hpp"
#include "messages/limits/constraint.hpp"
#include "messages/limits/gateway.hpp"
#include "messages/limits/general.hpp"
#include "messages/limits/logprobs.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <system_error>
#include <utility>

namespace ovir::gateway {

namespace {

constexpr std::uint64_t seed_max = (std::uint64_t{1} << 63U) - 1;
constexpr double temperature_max = 2; ///< as with OpenAI

std::optional<std::vector<token_id>> tokens_of(const json& list) {
  std::vector<token_id> ids;
  for (const json& id : list) {
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() >= limits::vocabulary_max) {
      return std::nullopt;
    }
    ids.push_back(id.get<token_id>());
  }
  return ids;
}

void read_prompts(parameters& in, std::string_view key, std::size_t most, completion_request& out) {
  const json& value = in.raw(key);
  constexpr std::string_view form = "must be a text, a list of texts, a list of token ids, or a "
                                    "list of such lists";
  const auto add_tokens = [&](const json& list) {
    auto ids = tokens_of(list);
    if (!ids || ids->empty()) {
      in.refuse(key, std::string{form});
    } else {
      out.prompts.emplace_back(std::move(*ids));
    }
  };
  if (value.is_string()) {
    out.prompts.emplace_back(value.get<std::string>());
  } else if (!value.is_array() || value.empty()) {
    in.refuse(key, value.is_null() ? "is missing" : std::string{form});
  } else if (value.front().is_number()) {
    add_tokens(value);
  } else if (value.size() > most) {
    in.refuse(key,
              fmt::format("has {} texts; at most {} are answered together", value.size(), most));
  } else {
    for (const json& one : value) {
      if (one.is_string()) {
        out.prompts.emplace_back(one.get<std::string>());
      } else if (one.is_array()) {
        add_tokens(one);
      } else {
        in.refuse(key, std::string{form});
      }
    }
  }
}

/// A text, or a list of parts of type "text".
std::string content_of(parameters& in) {
  const json& value = in.raw("content");
  if (value.is_string()) {
    return value.get<std::string>();
  }
  std::string text;
  if (!value.is_array()) {
    in.refuse("content", value.is_null() ? "is missing" : "must be a text or a list of text parts");
    return text;
  }
  for (const json& part : value) {
    if (!part.is_object() || !part.contains("text") || !part["text"].is_string() ||
        part.value("type", json{}) != "text" || part.size() != 2) {
      in.refuse("content", "may only have parts of type 'text'");
      return {};
    }
    text += part["text"].get_ref<const std::string&>();
  }
  return text;
}

void read_calls(parameters& in, chat_message& message) {
  const json& list = in.raw("tool_calls");
  constexpr std::string_view form = "must be a list of {\"id\", \"type\": \"function\", "
                                    "\"function\": {\"name\", \"arguments\"}}";
  const auto text = [](const json& object, const char* key) -> std::optional<std::string> {
    const auto found = object.find(key);
    return found != object.end() && found->is_string() ? std::optional{found->get<std::string>()}
                                                       : std::nullopt;
  };
  if (!list.is_array() || list.size() > limits::constraint_tools_max) {
    in.refuse("tool_calls", std::string{form});
    return;
  }
  for (const json& one : list) {
    const bool whole = one.is_object() && one.size() == 3 && text(one, "type") == "function" &&
                       text(one, "id") && one.contains("function") && one["function"].is_object();
    const auto name = whole ? text(one["function"], "name") : std::nullopt;
    const auto arguments = whole ? text(one["function"], "arguments") : std::nullopt;
    if (!name || !arguments || one["function"].size() != 2) {
      in.refuse("tool_calls", std::string{form});
      return;
    }
    message.calls.push_back({*text(one, "id"), *name, *arguments});
  }
}

void read_message(parameters& all, const json& value, std::size_t i, completion_request& out) {
  const std::string where = fmt::format("messages[{}]", i);
  if (!value.is_object()) {
    all.refuse(bad_parameter(where, fmt::format("'{}' must be an object", where)));
    return;
  }
  parameters in{value, where + "."};
  chat_message message;
  message.role = in.text("role", limits::api_name_bytes_max);
  if (message.role == "developer") { // the newer name of the same
    message.role = "system";
  }
  if (!in.failure() && message.role != "system" && message.role != "user" &&
      message.role != "assistant" && message.role != "tool") {
    in.refuse("role", "must be system, developer, user, assistant or tool");
  }
  const bool calls = message.role == "assistant" && in.has("tool_calls");
  if (calls) {
    read_calls(in, message);
  } else {
    in.only_empty("tool_calls", "are of the assistant");
  }
  if (!calls || in.has("content")) { // who calls need not say anything
    message.content = content_of(in);
  } else {
    static_cast<void>(in.raw("content"));
  }
  if (message.role == "tool") {
    message.answers = in.text("tool_call_id", limits::api_name_bytes_max);
  }
  in.only_empty("name", "chat formats here have no place for names");
  in.only_empty("refusal", "chat formats here have no place for refusals");
  in.only_empty("audio", "only text is understood");
  in.only_empty("function_call", "is 'tool_calls' by now");
  in.only_empty("annotations", "chat formats here have no place for annotations");
  for (const char* const key : {"reasoning", "reasoning_content"}) {
    in.only_empty(key, "chat formats here have no place for thoughts");
  }
  in.done();
  if (in.failure()) {
    all.refuse(*in.failure());
  } else {
    out.messages.push_back(std::move(message));
  }
}

void read_messages(parameters& in, completion_request& out) {
  const json& list = in.raw("messages");
  if (!list.is_array() || list.empty() || list.size() > limits::api_messages_max) {
    in.refuse("messages",
              fmt::format("must be a list of 1 to {} messages", limits::api_messages_max));
    return;
  }
  for (std::size_t i = 0; i < list.size() && !in.failure(); ++i) {
    read_message(in, list[i], i, out);
  }
}

/// {"17": -1.5}: token ids as texts, as with OpenAI.
void read_biases(parameters& in, sampling_params& out) {
  const json& value = in.raw("logit_bias");
  if (value.is_null()) {
    return;
  }
  if (!value.is_object() || value.size() > limits::token_biases_max) {
    return in.refuse("logit_bias", fmt::format("must be an object of at most {} token ids with a "
                                               "bias each",
                                               limits::token_biases_max));
  }
  std::vector<token_bias> biases;
  for (const auto& [key, bias] : value.items()) {
    token_bias one;
    const auto [end, wrong] = std::from_chars(key.data(), key.data() + key.size(), one.token);
    if (wrong != std::errc{} || end != key.data() + key.size() || !bias.is_number()) {
      return in.refuse("logit_bias", "must have a token id as each key and a number as its value");
    }
    one.bias = static_cast<float>(bias.get<double>());
    biases.push_back(one);
  }
  auto ordered = ordered_biases(std::move(biases)); // "7" and "07" are one token
  if (!ordered) {
    return in.refuse(bad_parameter("logit_bias", ordered.error().message));
  }
  sampling_params alone;
  alone.logit_bias = *std::move(ordered);
  if (const auto sound = check(alone); !sound) {
    return in.refuse(bad_parameter("logit_bias", sound.error().message));
  }
  out.logit_bias = std::move(alone.logit_bias);
}

void read_sampling(parameters& in, completion_request& out) {
  sampling_params& s = out.asked.sampling;
  s.temperature = 1; // by default, as with OpenAI
  for_each_parameter([&]<class Number>(const sampling_row<Number>& row) {
    const Number least = row.or_zero ? 0 : row.least;
    const bool heat = row.name == "temperature";
    const Number most = heat ? static_cast<Number>(temperature_max) : row.most;
    if constexpr (std::is_integral_v<Number>) {
      s.*row.value = static_cast<Number>(in.whole(row.name, least, most, s.*row.value));
    } else {
      s.*row.value = static_cast<Number>(in.number(row.name, least, most, s.*row.value));
    }
    if (!row.allows(s.*row.value)) {
      in.refuse(row.name, range_of(row));
    }
  });
  read_biases(in, s);
  if (in.has("seed")) {
    out.seed = in.whole("seed", 0, seed_max, 0);
  }
}

void read_urgency(parameters& in, std::chrono::milliseconds usual, completion_request& out) {
  constexpr auto most = static_cast<std::uint64_t>(limits::api_deadline_max.count());
  out.deadline = std::chrono::milliseconds{
      in.whole("deadline_ms", 1, most, static_cast<std::uint64_t>(usual.count()))};
  const std::string priority = in.text("priority", limits::api_name_bytes_max, "normal");
  if (priority != "normal" && priority != "batch") {
    in.refuse("priority", "must be 'normal' or 'batch'");
  }
  out.batch = priority == "batch";
}

void read_audit(parameters& in, completion_request& out) {
  const json& audit = in.raw("audit");
  if (audit.is_null()) {
    return;
  }
  if (!audit.is_object()) {
    in.refuse("audit", "must be an object");
    return;
  }
  parameters inner{audit, "audit."};
  const auto reveal = reveal_from(inner.text("reveal", limits::api_name_bytes_max, "at_once"));
  if (reveal) {
    out.reveal = *reveal;
  } else {
    inner.refuse("reveal", "must be 'at_once' or 'after'");
  }
  inner.done();
  if (inner.failure()) {
    in.refuse(*inner.failure());
  }
}

void read_privacy(parameters& in, completion_request& out) {
  const auto privacy = privacy_from(in.text("privacy", limits::api_name_bytes_max, "none"));
  if (privacy) {
    out.privacy = *privacy;
  } else {
    in.refuse("privacy", "must be 'none' or 'ends'");
  }
}

/// What each node must be attested, and by whom.
void read_tier(parameters& in, completion_request& out) {
  const json& tier = in.raw("tier");
  if (tier.is_null()) {
    return;
  }
  if (!tier.is_object()) {
    in.refuse("tier", fmt::format("'{}' is no tier; give an object of 'attestor' (a key) with "
                                  "'operator', 'region' and 'confidential' as they are demanded",
                                  tier.is_string() ? in.text("tier", limits::api_name_bytes_max)
                                                   : std::string{tier.type_name()}));
    return;
  }
  parameters inner{tier, "tier."};
  tier_demand demand;
  for (const std::string& key : inner.texts("attestor", limits::tier_attestors_max)) {
    const auto attestor = node_id_from_hex(key);
    if (!attestor) {
      inner.refuse("attestor", "must be a key of 64 hexadecimal digits, or a list of them");
      break;
    }
    demand.attestors.push_back(*attestor);
  }
  std::sort(demand.attestors.begin(), demand.attestors.end());
  node_properties& wanted = demand.properties;
  wanted.operated_by = inner.text("operator", limits::attested_operator_bytes_max, "");
  wanted.region = inner.text("region", limits::attested_region_bytes_max, "");
  if (const json& level = inner.raw("confidential"); level.is_boolean()) {
    wanted.confidential = level.get<bool>() ? any_level : "";
  } else {
    wanted.confidential = inner.text("confidential", limits::attested_level_bytes_max, "");
  }
  inner.done();
  if (inner.failure()) {
    in.refuse(*inner.failure());
  } else if (const auto good = check(demand); !good) {
    in.refuse("tier", good.error().message);
  } else {
    out.tier = std::move(demand);
  }
}

void read_lengths(parameters& in, completion_request& out) {
  const auto read = [&in](std::string_view key) -> std::optional<std::uint32_t> {
    const auto most = static_cast<std::uint32_t>(in.whole(key, 1, limits::context_max, 1));
    return in.has(key) ? std::optional{most} : std::nullopt;
  };
  out.max_tokens = read("max_tokens");
  if (out.kind == api_kind::chat) {
    const auto newer = read("max_completion_tokens");
    if (newer && out.max_tokens && *newer != *out.max_tokens) {
      in.refuse("max_tokens", "and 'max_completion_tokens' contradict each other; give one");
    }
    out.max_tokens = newer ? newer : out.max_tokens;
  }
  out.asked.stop = in.texts("stop", limits::stop_strings_max);
  for (const std::string& stop : out.asked.stop) {
    if (stop.empty() || stop.size() > limits::stop_string_bytes_max) {
      in.refuse("stop",
                fmt::format("must have texts of 1 to {} bytes", limits::stop_string_bytes_max));
    }
  }
}

void read_streaming(parameters& in, completion_request& out) {
  out.stream = in.boolean("stream", false);
  const json& options = in.raw("stream_options");
  if (options.is_null()) {
    return;
  }
  if (!options.is_object() || !out.stream) {
    in.refuse("stream_options", out.stream ? "must be an object" : "is for 'stream': true alone");
    return;
  }
  parameters inner{options, "stream_options."};
  out.include_usage = inner.boolean("include_usage", false);
  inner.only_empty("include_obfuscation", "nothing is padded here; lengths of chunks can be seen");
  inner.done();
  if (inner.failure()) {
    in.refuse(*inner.failure());
  }
}

/// OpenAI's two ways to ask for the same: a chat by two parameters, a completion by one.
void read_logprobs(parameters& in, completion_request& out) {
  const auto read_top = [&in](std::string_view key) {
    return static_cast<std::uint32_t>(in.whole(key, 0, limits::logprobs_top_max, 0));
  };
  if (out.kind == api_kind::completion) {
    if (const json& value = in.raw("logprobs"); !value.is_null() && value != false) {
      out.asked.logprobs = read_top("logprobs");
    }
    in.only_empty("top_logprobs", "is of chats; a completion says how many by 'logprobs'");
    return;
  }
  const bool wanted = in.boolean("logprobs", false);
  const std::uint32_t top = read_top("top_logprobs");
  if (wanted) {
    out.asked.logprobs = top;
  } else if (top > 0) {
    in.refuse("top_logprobs", "is for 'logprobs': true alone");
  }
}

/// Notes of a client for its own logs: they change nothing.
void pass_over_notes(parameters& in) {
  for (const char* const key :
       {"user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"}) {
    static_cast<void>(in.text(key, limits::api_name_bytes_max, ""));
  }
  const json& notes = in.raw("metadata");
  const bool texts = notes.is_object() && notes.size() <= limits::api_metadata_max &&
                     std::all_of(notes.begin(), notes.end(), [](const json& value) {
                       return value.is_string() && value.get_ref<const std::string&>().size() <=
                                                       limits::api_metadata_bytes_max;
                     });
  if (!notes.is_null() && !texts) {
    in.refuse("metadata", fmt::format("must be an object of at most {} texts of at most {} bytes",
                                      limits::api_metadata_max, limits::api_metadata_bytes_max));
  }
}

/// Parameters of later versions and of other servers, whose defaults say what happens anyway.
void refuse_what_others_have(parameters& in) {
  in.only_empty("prediction", "no text is expected beforehand");
  in.only_empty("audio", "only text is produced");
  in.only_empty("web_search_options", "nothing is searched");
  in.only("reasoning_effort", "none", "models here do not think apart from their answer");
  in.only("verbosity", "medium", "the model chooses how much it says");
  in.only_empty("ignore_eos", "an answer ends where the model ends it, or by 'min_tokens'");
  in.only_empty("use_beam_search", "there are no beams");
  in.only("repetition_penalty", 1, "there is only 'repeat_penalty'");
  in.only("length_penalty", 1, "there are no beams");
  in.only("skip_special_tokens", true, "texts of answers have no special tokens");
  static_cast<void>(in.boolean("cache_prompt", true)); // what was computed is kept either way
}

/// What clients may say because it changes nothing here, and must not believe where it would.
void refuse_what_is_not_there(parameters& in) {
  in.only_empty("store", "nothing is stored");
  in.only_empty("functions", "are 'tools' by now");
  in.only_one_of("function_call", {"none", "auto"}, "is 'tool_choice' by now");
  in.only("modalities", json::array({"text"}), "only text is produced");
  in.only_one_of("service_tier", {"auto", "default"}, "there are no tiers");
  pass_over_notes(in);
  refuse_what_others_have(in);
}

/// Which of the answers that are made are told, and what in front of them.
void read_answers_told(parameters& in, completion_request& out) {
  out.n = static_cast<std::uint32_t>(in.whole("n", 1, limits::api_choices_max, 1));
  out.best_of = out.n;
  std::string_view most = "n";
  if (out.kind == api_kind::completion) {
    out.suffix = in.text("suffix", limits::prompt_bytes_max, "");
    out.echo = in.boolean("echo", false);
    if (out.echo && out.asked.logprobs) {
      in.refuse(unsupported_parameter("echo", "tokens of a prompt have no logprobs"));
    }
    most = in.has("best_of") ? "best_of" : most;
    out.best_of =
        static_cast<std::uint32_t>(in.whole("best_of", 1, limits::api_choices_max, out.n));
    if (out.best_of < out.n) {
      in.refuse("best_of", "must be at least 'n'");
    }
    if (out.best_of > out.n && out.stream) {
      in.refuse(unsupported_parameter(
          "best_of", "which answers are the likeliest is known at their end; leave out 'stream'"));
    }
  }
  if (out.prompts.size() * out.best_of > limits::api_choices_max) {
    in.refuse(most, fmt::format("times the number of prompts is {}; at most {} answers are made "
                                "together",
                                out.prompts.size() * out.best_of, limits::api_choices_max));
  }
}

api_result<completion_request> read_embeddings(const json& document,
                                               std::chrono::milliseconds usual_deadline) {
  completion_request out;
  out.kind = api_kind::embedding;
  parameters in{document};
  out.model = in.text("model", limits::api_name_bytes_max);
  read_prompts(in, "input", limits::api_embeddings_max, out);
  const std::string format = in.text("encoding_format", limits::api_name_bytes_max, "float");
  if (format != "float" && format != "base64") {
    in.refuse("encoding_format", "must be 'float' or 'base64'");
  }
  out.base64 = format == "base64";
  const std::string pooling = in.text("pooling", limits::api_name_bytes_max, "mean");
  if (pooling != "mean" && pooling != "last") {
    in.refuse("pooling", "must be 'mean' or 'last'");
  }
  out.asked.embedding = pooling == "mean" ? pooling::mean : pooling::last;
  const auto dimensions =
      static_cast<std::uint32_t>(in.whole("dimensions", 1, limits::embedding_max, 1));
  if (in.has("dimensions")) {
    out.dimensions = dimensions;
  }
  pass_over_notes(in);
  read_urgency(in, usual_deadline, out);
  read_privacy(in, out);
  read_tier(in, out);
  in.done();
  if (in.failure()) {
    return *in.failure();
  }
  return out;
}

} // namespace

api_result<completion_request> parse_completion(api_kind kind, std::string_view body,
                                                std::chrono::milliseconds usual_deadline) {
  const auto document = parse_object(body);
  if (!document) {
    return refusal(400, "invalid_json", document.error().message);
  }
  if (kind == api_kind::embedding) {
    return read_embeddings(*document, usual_deadline);
  }
  completion_request out;
  out.kind = kind;
  parameters in{*document};
  out.model = in.text("model", limits::api_name_bytes_max);
  if (kind == api_kind::chat) {
    read_messages(in, out);
  } else {
    read_prompts(in, "prompt", limits::api_choices_max, out);
  }
  read_sampling(in, out);
  read_lengths(in, out);
  read_urgency(in, usual_deadline, out);
  read_privacy(in, out);
  read_tier(in, out);
  read_streaming(in, out);
  read_logprobs(in, out);
  read_answers_told(in, out);
  read_constraint(in, body, out);
  if (out.asked.sampling.min_tokens > 0 && !out.constraint.empty()) {
    in.refuse(unsupported_parameter(
        "min_tokens",
        fmt::format("does not go with '{}', which says where an answer ends", out.constraint_of)));
  }
  refuse_what_is_not_there(in);
  out.asked.receipt = in.boolean("receipt", false);
  read_audit(in, out);
  if (const bool speculate = in.boolean("speculate", false); in.has("speculate")) {
    out.drafts = speculate ? speculation::on : speculation::off;
  }
  in.done();
  if (in.failure()) {
    return *in.failure();
  }
  return out;
}

} // namespace ovir::gateway
