#pragma once

#include "actors/audit/addendum_shelf.hpp"
#include "actors/link/access_list.hpp"
#include "gateway/api/answer_check.hpp"
#include "gateway/api/receipt_shelf.hpp"

#include <functional>
#include <map>
#include <string>

namespace ovir::actors {

/// What is asked of a node about the keys in a receipt.
struct key_facts {
  std::map<node_id, std::string> names;       ///< of members
  std::function<bool(const node_id&)> member; ///< was one here, be it gone since
  std::function<bool(const node_id&)> convicted;
  std::function<bool(const node_id&)> verifier; ///< may have audited
};

/// What follows from a receipt, what verifiers said of it, and who they are.
[[nodiscard]] gateway::answer_check judge_answer(const receipt& r, const digest& name,
                                                 const addendum_shelf::news& about,
                                                 const key_facts& keys);

/// Answers of this node, checked. Thread-safe; its parts outlive it.
class answer_checker {
public:
  using receipt_pointer = gateway::receipt_shelf::receipt_pointer;
  using names = std::function<std::map<node_id, std::string>()>;

  answer_checker(const addendum_shelf& shelf, const access_list& access, names of)
      : shelf_(shelf), access_(access), names_(std::move(of)) {}

  /// `given`: the endpoint's receipt of the request; null: the node's own is looked for. Errors:
  /// `not_found`, `over_limit` beyond limits::answer_check_bytes_max.
  [[nodiscard]] result<gateway::answer_check> check(request_id request,
                                                    const receipt_pointer& given) const;
  [[nodiscard]] result<std::vector<std::byte>> addenda_of(request_id request,
                                                          const receipt_pointer& given) const;

private:
  [[nodiscard]] result<addendum_shelf::answer> find(request_id request,
                                                    const receipt_pointer& given) const;

  const addendum_shelf& shelf_;
  const access_list& access_;
  const names names_;
};

} // namespace ovir::actors
