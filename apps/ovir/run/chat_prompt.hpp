#pragma once

#include "apps/open_model.hpp"
#include "messages/ids.hpp"
#include "messages/result.hpp"
#include "templates/chat_template.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace ovir::apps {

/// A conversation with a model, written down as its own template says.
class conversation {
public:
  /// `unsupported` where the model's file has no template. `system` may be empty: none. `model`
  /// must outlive it.
  [[nodiscard]] static result<conversation> begin(const ready_model& model,
                                                  std::string_view system);

  void add(std::string_view role, std::string_view text);
  /// Takes the last message back.
  void take_back();
  /// Forgets all but the system's words.
  void start_over();
  /// Tokens of everything said, and of the beginning of an answer. `over_limit` where no room for
  /// one is left; what the template says where it refuses the conversation.
  [[nodiscard]] result<std::vector<token_id>> prompt() const;

private:
  conversation(const ready_model& model, templates::chat_template form)
      : model_(&model), form_(std::move(form)) {}

  const ready_model* model_;
  templates::chat_template form_;
  std::vector<templates::value> messages_;
  bool has_system_{false};
};

} // namespace ovir::apps
