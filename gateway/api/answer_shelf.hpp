#pragma once

#include "gateway/api/answer_form.hpp"
#include "messages/ids.hpp"

#include <cstddef>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>

namespace ovir::gateway {

/// Answers that clients may ask for again or go on with: the latest, at most
/// limits::api_answers_kept_max of all clients together and limits::api_answers_bytes_max. Each has
/// an owner, the id of a key, whose answers no other finds. On the server's thread, but for what
/// `of` returns.
class answer_shelf {
public:
  using pointer = std::shared_ptr<const kept_answer>;
  /// Of one owner. What is shared does not change.
  using owned = std::map<request_id, pointer>;

  /// One that is larger than limits::api_answer_bytes_max is not kept; the oldest make room.
  void keep(const std::string& owner, request_id id, kept_answer answer);
  /// Null: there is none.
  [[nodiscard]] pointer find(const std::string& owner, request_id id) const;
  /// False: there was none.
  bool drop(const std::string& owner, request_id id);
  /// As it is now, for any thread; never null.
  [[nodiscard]] std::shared_ptr<const owned> of(const std::string& owner) const;

  [[nodiscard]] std::size_t size() const noexcept { return order_.size(); }
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

private:
  void replace(const std::string& owner, owned next);

  std::map<std::string, std::shared_ptr<const owned>> answers_; ///< none is empty
  std::deque<std::pair<std::string, request_id>> order_;        ///< oldest first
  std::size_t bytes_{0};
};

} // namespace ovir::gateway
