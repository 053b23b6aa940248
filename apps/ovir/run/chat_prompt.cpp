#include "apps/ovir/run/chat_prompt.hpp"

#include <chrono>
#include <utility>

namespace ovir::apps {

result<conversation> conversation::begin(const ready_model& model, std::string_view system) {
  auto form = templates::chat_template::of(model.source.metadata, *model.vocabulary);
  if (!form) {
    return in_context(model.source.path, form.error());
  }
  conversation begun{model, std::move(*form)};
  if (!system.empty()) {
    begun.add("system", system);
    begun.has_system_ = true;
  }
  return begun;
}

void conversation::add(std::string_view role, std::string_view text) {
  messages_.push_back(templates::message(role, text));
}

void conversation::take_back() { messages_.pop_back(); }

void conversation::start_over() { messages_.resize(has_system_ ? 1 : 0); }

result<std::vector<token_id>> conversation::prompt() const {
  templates::chat_input input;
  input.messages = templates::value::list(messages_);
  const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  input.now = templates::civil_time{now.time_since_epoch().count()};
  auto text = form_.render(input);
  if (!text) {
    // The user's words are wrong for this model, not the command's options.
    error e = text.error();
    e.code = e.code == errc::invalid_argument ? errc::unsupported : e.code;
    return in_context(model_->source.path, e);
  }
  OVIR_ASSIGN(std::vector<token_id> ids, templates::encode(*model_->vocabulary, *text));
  const std::uint32_t context = model_->weights.config.context;
  if (ids.empty() || ids.size() >= context) {
    return fail(errc::over_limit,
                "the conversation has {} tokens, but {} remembers {} and needs room to answer",
                ids.size(), model_->source.path, context);
  }
  return ids;
}

} // namespace ovir::apps
