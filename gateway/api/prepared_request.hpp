#pragma once

#include "gateway/api/answer_writer.hpp"
#include "gateway/api/chat_format.hpp"
#include "gateway/api/completion_request.hpp"
#include "gateway/api/generation_order.hpp"
#include "messages/request/request_name.hpp"

#include <string>
#include <vector>

namespace ovir::gateway {

/// A client's request, ready for the cluster: an order for each answer, and what the answers look
/// like.
struct prepared_request {
  std::vector<generation_order> orders; ///< prompts in order, n of each
  answer_shape shape;
  /// Most tokens it may cost: prompts and answers.
  std::uint64_t tokens_max{0};
};

/// Encodes prompts, divides the context, numbers answers. Ids and seeds are functions of `id` and
/// of what the client sent, so that the same request sent again under the same id, to any gateway,
/// is the same request of the same owner. Orders have ids of the cluster, the shape has those that
/// the client knows. `declared_format` as of `chat_format_for`.
[[nodiscard]] api_result<prepared_request> prepare(const completion_request& request,
                                                   const served_model& model, request_id id,
                                                   std::string_view declared_format,
                                                   const request_owner& owner);

/// The model a request names: by its file's name, with or without ".gguf" ("BASE+ADAPTER" of one
/// with an adapter), by the name in its metadata, by its id in hexadecimal or as a CID, or by the
/// beginning of the former with 8 digits or more. A file's name goes before one in metadata.
[[nodiscard]] api_result<served_model> find_model(const std::vector<served_model>& models,
                                                  std::string_view name);

} // namespace ovir::gateway
