#pragma once

#include "actors/members/membership_actor.hpp"
#include "actors/path/model_catalog.hpp"
#include "actors/path/pathfinder_actor.hpp"
#include "actors/request/jobs_actor.hpp"
#include "actors/request/request_trace.hpp"
#include "messages/request/path.hpp"

#include <nlohmann/json.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// The documents of the admin protocol (docs/formats/admin.md).
namespace ovir::actors {

using json = nlohmann::json;

/// A request of a shell, its form checked.
struct admin_command {
  std::uint64_t id{0};
  std::string name;
  json args;
};
/// `malformed` where the protocol ends the connection. Looks at the form before anything is kept:
/// at most limits::admin_containers_max objects and lists, limits::admin_depth_max deep, so that a
/// document costs no more than a few times its bytes.
[[nodiscard]] result<admin_command> parse_command(std::string_view text);

/// Reads arguments and remembers which were asked for, so that unknown ones are refused.
class admin_arguments {
public:
  explicit admin_arguments(const json& args) : args_(args) {}

  [[nodiscard]] result<std::uint64_t> whole(std::string_view key, std::uint64_t least,
                                            std::uint64_t most,
                                            std::optional<std::uint64_t> otherwise);
  [[nodiscard]] result<double> number(std::string_view key, double otherwise);
  [[nodiscard]] result<std::string> text(std::string_view key,
                                         std::optional<std::string> otherwise = {});
  [[nodiscard]] result<bool> boolean(std::string_view key, bool otherwise);
  [[nodiscard]] result<std::vector<std::string>> texts(std::string_view key, std::size_t most);
  [[nodiscard]] result<std::vector<token_id>> tokens(std::string_view key);
  [[nodiscard]] result<request_id> request(std::string_view key = "request");
  [[nodiscard]] bool has(std::string_view key) const;
  /// `invalid_argument` names an argument that nothing asked for.
  [[nodiscard]] result<void> done() const;

private:
  [[nodiscard]] const json* find(std::string_view key);

  const json& args_;
  std::vector<std::string> known_;
};

[[nodiscard]] std::string request_text(request_id request);
[[nodiscard]] json members_json(const std::vector<member>& members, const node_id& self);
[[nodiscard]] json models_json(const std::vector<member>& members, const model_catalog& catalog);
[[nodiscard]] json path_json(const layer_places& path, const std::vector<member>& members);
/// How a request goes (docs/formats/admin.md, job).
[[nodiscard]] json pace_json(const request_pace& pace, const std::vector<member>& members);
[[nodiscard]] json job_json(const job_view& job);
/// What of a stage's lookup in the cache is told: docs/formats/admin.md, run, `explained`. Without
/// the stage's layers.
[[nodiscard]] json reuse_json(const std::optional<stage_reuse>& stage);

/// {"size", "from", "bytes": hexadecimal} of a receipt from byte `from` on, as much as a reply
/// holds.
[[nodiscard]] json receipt_page(std::span<const std::byte> receipt, std::uint64_t from);

[[nodiscard]] trace_names names_of_members(const std::vector<member>& members);
/// {"text": a file} or {"error": why there is none}; null where none was asked for.
[[nodiscard]] json trace_json(const job_outcome& outcome, const std::vector<member>& members);
[[nodiscard]] json outcome_json(const job_outcome& outcome, const std::vector<member>& members);
/// Tokens per second of the latest requests that ran alone, their median.
[[nodiscard]] std::optional<double> measured_speed(const std::vector<job_view>& jobs,
                                                   const digest& model);
[[nodiscard]] json plan_json(const path_description& what, const digest& model,
                             std::uint32_t context, std::optional<double> measured_tps);

/// A member named by key, by the first 8 or more digits of it, or by its name for people.
[[nodiscard]] result<node_id> find_node(const std::vector<member>& members,
                                        const std::string& name);
/// A model named by id, its first digits, or its name; the only one when `name` is empty.
[[nodiscard]] result<model_catalog::entry> find_model(const model_catalog& catalog,
                                                      const std::string& name);

} // namespace ovir::actors
