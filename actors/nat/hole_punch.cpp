#include "actors/nat/hole_punch.hpp"

#include "actors/nat/address_rules.hpp"
#include "messages/digest.hpp"

#include <algorithm>
#include <cstring>
#include <span>

namespace ovir::actors {

namespace {

bool is_among(const std::vector<std::string>& all, const std::string& one) {
  return std::find(all.begin(), all.end(), one) != all.end();
}

} // namespace

punch_token token_of_meeting(std::uint64_t nonce, const node_id& asks, const node_id& answers) {
  std::array<std::uint8_t, sizeof nonce> little{};
  for (std::size_t i = 0; i < little.size(); ++i) {
    little[i] = static_cast<std::uint8_t>(nonce >> (8 * i));
  }
  hasher h{"ovir/punch/v1"};
  h.update(std::as_bytes(std::span{little}))
      .update(std::as_bytes(std::span{asks.key}))
      .update(std::as_bytes(std::span{answers.key}));
  const digest d = h.finish();
  punch_token token{};
  std::memcpy(token.data(), d.bytes.data(), token.size());
  return token;
}

hole_punch::hole_punch(const punch_token& token, const std::vector<std::string>& named)
    : token_(token) {
  for (const std::string& one : named) {
    if (!is_among(targets_, one) && targets_.size() < limits::nat_addresses_max) {
      targets_.push_back(one);
      hosts_.push_back(host_of(one));
    }
  }
}

std::vector<std::string> hole_punch::tick(time_point now) {
  std::vector<std::string> out;
  if (now < next_) {
    return out;
  }
  next_ = now + limits::punch_every;
  for (const std::string& one : targets_) {
    if (sent_ < limits::punch_datagrams_max) {
      ++sent_;
      out.push_back(one);
    }
  }
  return out;
}

hole_punch::hearing hole_punch::heard(const std::string& from, const punch_token& token) {
  if (token != token_ || !is_among(hosts_, host_of(from))) {
    return {};
  }
  hearing h{true, false};
  if (!is_among(targets_, from) && targets_.size() < limits::punch_addresses_max) {
    targets_.push_back(from);
    if (sent_ < limits::punch_datagrams_max) {
      ++sent_;
      h.answer = true;
    }
  }
  return h;
}

} // namespace ovir::actors
