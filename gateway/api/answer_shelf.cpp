#include "gateway/api/answer_shelf.hpp"

#include "messages/limits/gateway.hpp"

#include <algorithm>

namespace ovir::gateway {

namespace {

std::size_t bytes_of(const kept_answer& answer) {
  return answer.body.size() + answer.conversation.size();
}

} // namespace

void answer_shelf::replace(const std::string& owner, owned next) {
  if (next.empty()) {
    answers_.erase(owner);
  } else {
    answers_[owner] = std::make_shared<const owned>(std::move(next));
  }
}

void answer_shelf::keep(const std::string& owner, request_id id, kept_answer answer) {
  drop(owner, id);
  const std::size_t bytes = bytes_of(answer);
  if (bytes > limits::api_answer_bytes_max) {
    return;
  }
  while (order_.size() >= limits::api_answers_kept_max ||
         bytes_ + bytes > limits::api_answers_bytes_max) {
    const auto oldest = order_.front();
    drop(oldest.first, oldest.second);
  }
  owned next = *of(owner);
  next[id] = std::make_shared<const kept_answer>(std::move(answer));
  replace(owner, std::move(next));
  order_.emplace_back(owner, id);
  bytes_ += bytes;
}

answer_shelf::pointer answer_shelf::find(const std::string& owner, request_id id) const {
  const auto mine = of(owner);
  const auto found = mine->find(id);
  return found == mine->end() ? nullptr : found->second;
}

bool answer_shelf::drop(const std::string& owner, request_id id) {
  const pointer known = find(owner, id);
  if (known == nullptr) {
    return false;
  }
  owned next = *of(owner);
  next.erase(id);
  replace(owner, std::move(next));
  order_.erase(std::find(order_.begin(), order_.end(), std::pair{owner, id}));
  bytes_ -= bytes_of(*known);
  return true;
}

std::shared_ptr<const answer_shelf::owned> answer_shelf::of(const std::string& owner) const {
  const auto found = answers_.find(owner);
  return found == answers_.end() ? std::make_shared<const owned>() : found->second;
}

} // namespace ovir::gateway
