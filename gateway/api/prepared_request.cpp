#include "gateway/api/prepared_request.hpp"

#include "compute/gguf/join_adapter.hpp"
#include "compute/model/transcript.hpp"
#include "compute/text/constraint.hpp"
#include "compute/text/token_matcher.hpp"
#include "gateway/api/system_prompt.hpp"
#include "gateway/api/tool_prompt.hpp"
#include "messages/limits/gateway.hpp"
#include "messages/limits/logprobs.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <utility>

namespace ovir::gateway {

namespace {

/// What a request says of each of its orders alike, and what changes none of its tokens.
generation_order as_asked(const completion_request& request) {
  generation_order order;
  static_cast<request_terms&>(order) = request.asked;
  order.drafts = request.drafts;
  order.deadline = request.deadline;
  order.batch = request.batch;
  order.reveal = request.reveal;
  order.privacy = request.privacy;
  order.tier = request.tier;
  return order;
}

constexpr std::uint32_t completion_tokens = 16; ///< where a completion does not say
constexpr std::size_t short_digits_min = 8;

std::uint64_t number_from(std::string_view domain, std::uint64_t value, std::uint32_t index) {
  const digest d = hasher{domain}.update_u64(value).update_u32(index).finish();
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < sizeof number; ++i) {
    number |= std::uint64_t{d.bytes[i]} << (8 * i);
  }
  return number;
}

request_id id_of(request_id base, std::uint32_t index) {
  return index == 0 ? base
                    : request_id{std::max<std::uint64_t>(
                          number_from("ovir/gateway/v1/answer", base.value, index), 1)};
}

/// Answers of one request differ, whether it brought a seed or not.
std::uint64_t seed_of(const completion_request& request, request_id id, std::uint32_t index,
                      const request_owner& owner) {
  const std::uint64_t first = request.seed ? *request.seed : seed_in_cluster(owner, id);
  return index == 0 ? first : number_from("ovir/gateway/v1/seed", first, index);
}

using tokens_list = std::vector<std::vector<token_id>>;

api_result<tokens_list> encode_prompts(const completion_request& request, const served_model& model,
                                       std::string_view where) {
  tokens_list all;
  for (const prompt_input& prompt : request.prompts) {
    if (const auto* const ids = std::get_if<std::vector<token_id>>(&prompt)) {
      const auto wrong = std::find_if(ids->begin(), ids->end(), [&](token_id id) {
        return id >= model.vocabulary->vocabulary();
      });
      if (wrong != ids->end()) {
        return bad_parameter(where, fmt::format("'{}' has token {}, outside the model's "
                                                "vocabulary of {}",
                                                where, *wrong, model.vocabulary->vocabulary()));
      }
      all.push_back(*ids);
      continue;
    }
    auto ids = model.vocabulary->encode(std::get<std::string>(prompt), {});
    if (!ids) {
      return from_error(ids.error(), where);
    }
    all.push_back(std::move(*ids));
  }
  return all;
}

/// Each prompt as the text before a gap and the suffix as that behind it, in the order in which
/// models learn to fill it: BOS where the model has it, before, behind, what fills it.
std::optional<api_error> ask_for_infill(const completion_request& request,
                                        const served_model& model, tokens_list& prompts) {
  const auto marks = model.vocabulary->infill();
  if (!marks) {
    return unsupported_parameter("suffix", "this model's metadata has no tokens for infilling");
  }
  const auto behind = model.vocabulary->encode(request.suffix, {.add_bos = false});
  if (!behind) {
    return from_error(behind.error(), "suffix");
  }
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    std::vector<token_id> before = std::move(prompts[i]);
    if (const auto* const text = std::get_if<std::string>(&request.prompts[i])) {
      auto ids = model.vocabulary->encode(*text, {.add_bos = false});
      if (!ids) {
        return from_error(ids.error(), "prompt");
      }
      before = *std::move(ids);
    }
    std::vector<token_id> all;
    if (model.vocabulary->adds_bos() && model.vocabulary->bos()) {
      all.push_back(*model.vocabulary->bos());
    }
    all.push_back(marks->prefix);
    all.insert(all.end(), before.begin(), before.end());
    all.push_back(marks->suffix);
    all.insert(all.end(), behind->begin(), behind->end());
    all.push_back(marks->middle);
    prompts[i] = std::move(all);
  }
  return std::nullopt;
}

using rendered = api_result<std::vector<prompt_part>>;

rendered render(const completion_request& request, const chat_format& format) {
  if (!uses_tools(request)) {
    return format.render(request.messages);
  }
  if (format.writes_tools()) {
    return format.render_with_tools(request.messages, request.tools_text);
  }
  rendered parts = format.render(without_tools(request, true));
  if (std::holds_alternative<api_error>(parts) && !request.tools_text.empty()) {
    parts = format.render(without_tools(request, false)); // perhaps it has no system messages
  }
  return parts;
}

/// The same for a model without a place for system messages: they stand in the user's.
rendered render_folded(const completion_request& request, const chat_format& format, bool& folded) {
  rendered parts = render(request, format);
  const auto* const written = std::get_if<std::vector<prompt_part>>(&parts);
  if (written != nullptr && !leaves_out_system(request.messages, *written)) {
    return parts;
  }
  auto messages = with_system_folded(request.messages);
  if (!messages) {
    return parts;
  }
  completion_request other = request;
  other.messages = std::move(*messages);
  rendered again = render(other, format);
  if (std::holds_alternative<api_error>(again)) {
    return parts;
  }
  folded = true;
  return again;
}

/// `folded`: set where what the system says stands in a user's message.
api_result<tokens_list> encode_chat(const completion_request& request, const served_model& model,
                                    const chat_format& format, bool& folded) {
  rendered parts = render_folded(request, format, folded);
  if (const auto* const refused = std::get_if<api_error>(&parts)) {
    return *refused;
  }
  auto ids = encode_parts(*model.vocabulary, std::get<std::vector<prompt_part>>(parts));
  if (!ids) {
    return from_error(ids.error(), "messages");
  }
  return tokens_list{std::move(*ids)};
}

/// A model that has the end of a turn as a token stops there by itself.
void add_end_of_turn(const chat_format& format, const served_model& model,
                     std::vector<std::string>& stop) {
  const std::string end{format.end_of_turn()};
  if (end.empty() || stop.size() == limits::stop_strings_max) {
    return;
  }
  const auto ids = model.vocabulary->encode(end, {false, true});
  if (!ids || ids->size() != 1 || !model.vocabulary->ends_generation(ids->front())) {
    stop.push_back(end);
  }
}

/// Whether this model can answer as it must, in as many tokens as each answer has.
std::optional<api_error> check_constraint(const completion_request& request,
                                          const served_model& model,
                                          const std::vector<generation_order>& orders) {
  std::string checked; // answers to one prompt are alike
  for (const generation_order& order : orders) {
    if (order.sampling.constraint == checked) {
      continue;
    }
    checked = order.sampling.constraint;
    const auto made = compute::token_matcher::make(checked, model.vocabulary->words());
    if (!made) {
      api_error e =
          bad_parameter(request.constraint_of,
                        fmt::format("'{}': {}", request.constraint_of, made.error().message));
      if (made.error().code == errc::unsupported) {
        e.code = "unsupported_parameter";
      }
      return e;
    }
  }
  return std::nullopt;
}

/// Whether this model has the tokens, and each answer the room.
std::optional<api_error> check_sampling(const completion_request& request,
                                        const served_model& model,
                                        const std::vector<generation_order>& orders) {
  const sampling_params& s = request.asked.sampling;
  const std::uint32_t vocabulary = model.vocabulary->vocabulary();
  if (!s.logit_bias.empty() && s.logit_bias.back().token >= vocabulary) {
    return bad_parameter("logit_bias",
                         fmt::format("'logit_bias' has token {}, outside the model's vocabulary of "
                                     "{}",
                                     s.logit_bias.back().token, vocabulary));
  }
  for (const generation_order& order : orders) {
    if (s.min_tokens > order.max_tokens) {
      return bad_parameter("min_tokens",
                           fmt::format("'min_tokens' is {}, but an answer has at most {} tokens; "
                                       "give a larger 'max_tokens'",
                                       s.min_tokens, order.max_tokens));
    }
  }
  return std::nullopt;
}

std::optional<api_error> check_logprobs(const completion_request& request,
                                        const std::vector<generation_order>& orders) {
  std::uint64_t entries = 0;
  for (const generation_order& order : orders) {
    entries += order.logprobs ? order.max_tokens * (std::uint64_t{*order.logprobs} + 1) : 0;
  }
  if (entries <= limits::logprobs_entries_max) {
    return std::nullopt;
  }
  const bool chat = request.kind == api_kind::chat;
  const std::string_view where = chat && request.asked.logprobs > 0U ? "top_logprobs"
                                 : request.asked.logprobs            ? "logprobs"
                                                                     : "best_of";
  return bad_parameter(
      where, fmt::format("'{}': up to {} logprobs are asked for, and at most {} are told with one "
                         "request: tokens of all answers, each with one more than the likeliest; "
                         "give a smaller 'max_tokens'",
                         where, entries, limits::logprobs_entries_max));
}

void fill_shape(const completion_request& request, const served_model& model, answer_shape& shape) {
  shape.answers_each = std::max(request.n, request.best_of);
  shape.told_each = request.n;
  shape.dimensions = request.dimensions;
  shape.has_tools = request.constraint_of == "tools";
  shape.kind = request.kind;
  shape.model = request.model;
  shape.fingerprint = fmt::format("{}-{}", compute::profile_name, to_hex(model.id).substr(0, 16));
  shape.stream = request.stream;
  shape.include_usage = request.include_usage;
  shape.vocabulary = request.asked.logprobs ? model.vocabulary : nullptr;
  shape.base64 = request.base64;
  shape.form = request.form;
  if (request.form) {
    shape.stop = request.asked.stop;
    shape.stop_from = request.asked.sampling.min_tokens;
    shape.words = model.vocabulary;
  }
}

/// An order for each text, which draws nothing.
api_result<prepared_request> prepare_embeddings(const completion_request& request,
                                                const served_model& model, request_id id,
                                                const request_owner& owner) {
  const auto prompts = encode_prompts(request, model, "input");
  if (const auto* const refused = std::get_if<api_error>(&prompts)) {
    return *refused;
  }
  if (model.dim > 0 && request.dimensions.value_or(1) > model.dim) {
    return bad_parameter("dimensions",
                         fmt::format("'dimensions' is {}, but the model's vectors have {}",
                                     *request.dimensions, model.dim));
  }
  prepared_request out;
  for (const auto& prompt : std::get<tokens_list>(prompts)) {
    if (prompt.empty() || prompt.size() > model.context) {
      api_error e =
          bad_parameter("input", fmt::format("'input' has a text of {} tokens; 1 to {} are allowed",
                                             prompt.size(), model.context));
      e.code = prompt.empty() ? e.code : "context_length_exceeded";
      return e;
    }
    generation_order order = as_asked(request);
    order.max_tokens = 0;
    const request_id answer = id_of(id, static_cast<std::uint32_t>(out.orders.size()));
    order.id = name_in_cluster(owner, answer);
    order.model = model.id;
    order.prompt = prompt;
    out.shape.prompt_tokens += prompt.size();
    out.shape.answers.push_back(answer);
    out.orders.push_back(std::move(order));
  }
  out.tokens_max = out.shape.prompt_tokens;
  out.shape.id = id;
  fill_shape(request, model, out.shape);
  return out;
}

/// The order of answer `index`, one of those to `prompt`, which leaves room for at least a token.
generation_order order_for(const completion_request& request, const served_model& model,
                           const std::vector<token_id>& prompt, request_id id, std::uint32_t index,
                           const request_owner& owner) {
  const bool open_end = request.kind == api_kind::chat || request.form != nullptr;
  const std::uint32_t room = model.context - static_cast<std::uint32_t>(prompt.size());
  generation_order order = as_asked(request);
  order.id = name_in_cluster(owner, id_of(id, index));
  order.model = model.id;
  order.prompt = prompt;
  order.sampling.seed = seed_of(request, id, index, owner);
  order.max_tokens =
      std::min(room, request.max_tokens.value_or(open_end ? room : completion_tokens));
  if (!request.constraint.empty()) {
    order.sampling.constraint = compute::constraint_text(order.max_tokens, request.constraint);
  }
  if (request.best_of > request.n && !order.logprobs) {
    order.logprobs = 0; // by which they are ranked
  }
  order.repeatable = request.asked.sampling.temperature == 0 || request.seed.has_value();
  return order;
}

std::optional<api_error> check_orders(const completion_request& request, const served_model& model,
                                      std::vector<generation_order>& orders) {
  if (auto refused = check_constraint(request, model, orders)) {
    return refused;
  }
  if (auto refused = check_sampling(request, model, orders)) {
    return refused;
  }
  return check_logprobs(request, orders);
}

api_result<prepared_request> prepare_answers(const completion_request& request,
                                             const served_model& model, request_id id,
                                             std::string_view declared_format,
                                             const request_owner& owner) {
  const bool chat = request.kind == api_kind::chat;
  const std::string_view where = chat ? "messages" : "prompt";
  api_result<tokens_list> prompts = tokens_list{};
  std::vector<std::string> stop = request.asked.stop;
  bool folded = false;
  if (chat) {
    const auto format = chat_format_for(declared_format, model.chat_template, *model.vocabulary);
    if (!format) {
      return from_error(format.error(), where);
    }
    prompts = encode_chat(request, model, **format, folded);
    add_end_of_turn(**format, model, stop);
  } else {
    prompts = encode_prompts(request, model, where);
  }
  if (const auto* const refused = std::get_if<api_error>(&prompts)) {
    return *refused;
  }
  if (!request.suffix.empty()) {
    if (const auto refused = ask_for_infill(request, model, std::get<tokens_list>(prompts))) {
      return *refused;
    }
  }
  prepared_request out;
  for (auto& prompt : std::get<tokens_list>(prompts)) {
    const auto length = static_cast<std::uint32_t>(std::min<std::size_t>(prompt.size(), 1U << 30U));
    if (length == 0) {
      return bad_parameter(where, fmt::format("'{}' has no tokens; give at least one", where));
    }
    const std::uint32_t room = model.context - std::min(model.context, length);
    if (room == 0 || (request.max_tokens && *request.max_tokens > room)) {
      api_error e = bad_parameter(
          where, fmt::format("'{}' has {} tokens and up to {} more are asked for, but the model "
                             "sees {} in all",
                             where, length, request.max_tokens.value_or(1), model.context));
      e.code = "context_length_exceeded";
      return e;
    }
    out.shape.prompt_tokens += length;
    if (request.echo) {
      const auto* const text =
          std::get_if<std::string>(&request.prompts.at(out.shape.echoes.size()));
      out.shape.echoes.push_back(text != nullptr ? *text : model.vocabulary->decode(prompt, false));
    }
    for (std::uint32_t i = 0; i < std::max(request.n, request.best_of); ++i) {
      const auto index = static_cast<std::uint32_t>(out.orders.size());
      generation_order order = order_for(request, model, prompt, id, index, owner);
      order.stop = stop;
      out.tokens_max += std::uint64_t{length} + order.max_tokens;
      out.shape.answers.push_back(id_of(id, index));
      out.orders.push_back(std::move(order));
    }
  }
  if (const auto refused = check_orders(request, model, out.orders)) {
    return *refused;
  }
  out.shape.system_folded = folded;
  out.shape.id = id;
  fill_shape(request, model, out.shape);
  return out;
}

} // namespace

namespace {

/// The one that fits; nothing where none does; an error where several do.
api_result<std::optional<served_model>>
only_one(const std::vector<served_model>& models, std::string_view name,
         const std::function<bool(const served_model&)>& fits) {
  const auto found = std::find_if(models.begin(), models.end(), fits);
  if (found == models.end()) {
    return std::optional<served_model>{};
  }
  const bool several = std::any_of(found, models.end(), [&](const served_model& other) {
    return other.id != found->id && fits(other);
  });
  if (several) {
    return bad_parameter("model", fmt::format("'model': several models are called '{}'; name one "
                                              "by its id",
                                              name));
  }
  return std::optional{*found};
}

} // namespace

api_result<served_model> find_model(const std::vector<served_model>& models,
                                    std::string_view name) {
  constexpr std::string_view ending = ".gguf";
  const auto adapted = compute::adapted_path_from(name);
  const std::string both = adapted ? compute::adapted_name(*adapted) : std::string{};
  const auto by_file = [&](const served_model& m) {
    const std::string id = to_hex(m.id);
    const bool bare = m.name.ends_with(ending) &&
                      name == std::string_view{m.name}.substr(0, m.name.size() - ending.size());
    return m.name == name || bare || (adapted && m.name == both) || to_cid(m.id) == name ||
           (name.size() >= short_digits_min && id.starts_with(name));
  };
  const auto by_title = [&](const served_model& m) { return !name.empty() && m.title == name; };
  for (const std::function<bool(const served_model&)>& fits :
       {std::function<bool(const served_model&)>{by_file}, {by_title}}) {
    auto found = only_one(models, name, fits);
    if (const auto* const refused = std::get_if<api_error>(&found)) {
      return *refused;
    }
    if (auto& one = std::get<std::optional<served_model>>(found)) {
      return std::move(*one);
    }
  }
  api_error e = refusal(404, "model_not_found",
                        fmt::format("there is no model '{}' here; GET /v1/models lists those "
                                    "there are",
                                    name));
  e.param = "model";
  return e;
}

api_result<prepared_request> prepare(const completion_request& request, const served_model& model,
                                     request_id id, std::string_view declared_format,
                                     const request_owner& owner) {
  return request.kind == api_kind::embedding
             ? prepare_embeddings(request, model, id, owner)
             : prepare_answers(request, model, id, declared_format, owner);
}

} // namespace ovir::gateway
