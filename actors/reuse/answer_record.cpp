#include "actors/reuse/answer_record.hpp"

#include "messages/limits/cache.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <utility>

// Grammar, also on docs/formats/answer.md. Integers are little-endian.
//
//   answer = "OVAN", version u16, kind u8, end u8, positions u32, hashed layers u32, draws u32,
//            leaves u32, receipt u32, zero u32, key[32], root[32], draw[draws], leaf[32][leaves],
//            receipt, check[32]
//   draw   = token u32, logits[32]
//   check  = H("ovir/answer/v1/record"; all before it)
namespace ovir::actors {

namespace {

static_assert(std::endian::native == std::endian::little, "answers are little-endian");

constexpr std::array<char, 4> magic{'O', 'V', 'A', 'N'};
constexpr std::uint16_t version = 2;
constexpr std::uint8_t kind_draws = 1;
constexpr std::uint8_t kind_finished = 2;
constexpr std::uint8_t end_none = 0;
constexpr std::uint8_t end_stop = 1;
constexpr std::uint8_t end_length = 2;
constexpr std::size_t numbers_at = 8;
constexpr std::size_t key_at = 32;
constexpr std::size_t root_at = key_at + digest::size;
constexpr std::size_t header_bytes = root_at + digest::size;
constexpr std::size_t draw_bytes = sizeof(std::uint32_t) + digest::size;
constexpr std::uint32_t window_size = limits::window_positions;
static_assert(header_bytes == 96);

template <class T>
void put(std::vector<std::byte>& to, std::size_t at, T value) {
  std::memcpy(to.data() + at, &value, sizeof(T));
}
void put(std::vector<std::byte>& to, std::size_t at, const digest& d) {
  std::memcpy(to.data() + at, d.bytes.data(), digest::size);
}

template <class T>
T number(std::span<const std::byte> from, std::size_t at) {
  T value{};
  std::memcpy(&value, from.data() + at, sizeof(T));
  return value;
}
digest digest_at(std::span<const std::byte> from, std::size_t at) {
  digest d;
  std::memcpy(d.bytes.data(), from.data() + at, digest::size);
  return d;
}

std::uint64_t windows_of(std::uint32_t positions) {
  return (std::uint64_t{positions} + window_size - 1) / window_size;
}

digest check_of(std::span<const std::byte> record) {
  return hash("ovir/answer/v1/record", record.first(record.size() - digest::size));
}

// What `to_bytes` never writes.
result<void> check(const answer_record& r, std::uint8_t end) {
  const bool right_end = r.finished ? end == end_stop || end == end_length
                                    : end == end_none && r.positions == 0 && r.hashed_layers == 0 &&
                                          r.transcript == digest{} && r.receipt.empty() &&
                                          r.drawn.size() == window_size;
  if (!right_end || r.hashed_layers >= limits::layers_max || r.positions > limits::context_max ||
      r.leaves.size() != windows_of(r.positions) * r.hashed_layers) {
    return fail(errc::malformed,
                "a kept answer of {} draws, {} positions and {} leaves does not "
                "add up; compute it again",
                r.drawn.size(), r.positions, r.leaves.size());
  }
  return {};
}

} // namespace

digest request_digest(const digest& model, std::span<const token_id> prompt,
                      const sampling_params& sampling) {
  // Greedy draws need no chance: whatever the seed is.
  sampling_params numbers = sampling;
  numbers.seed = sampling.temperature > 0 ? sampling.seed : 0;
  hasher state{"ovir/request/v1"};
  state.update(model)
      .update_text(compute::profile_name)
      .update_u32(static_cast<std::uint32_t>(prompt.size()))
      .update(std::as_bytes(prompt));
  add_numbers(state, numbers);
  return add_rules(state, sampling).finish();
}

digest finished_key(const digest& request, std::uint32_t max_tokens,
                    std::span<const std::string> stop) {
  hasher state{"ovir/answer/v1/finished"};
  state.update(request).update_u32(max_tokens).update_u32(static_cast<std::uint32_t>(stop.size()));
  for (const std::string& text : stop) {
    state.update_text(text);
  }
  return state.finish();
}

digest draws_key(const digest& request, std::uint32_t window) {
  return hasher{"ovir/answer/v1/draws"}.update(request).update_u32(window).finish();
}

std::vector<std::byte> to_bytes(const answer_record& r) {
  const std::uint8_t end = !r.finished                    ? end_none
                           : r.end == finish_reason::stop ? end_stop
                                                          : end_length;
  OVIR_CHECK(check(r, end).has_value() && r.end != finish_reason::cancelled, r.positions);
  std::vector<std::byte> out(header_bytes + r.drawn.size() * draw_bytes +
                             (r.leaves.size() + 1) * digest::size + r.receipt.size());
  std::memcpy(out.data(), magic.data(), magic.size());
  put(out, 4, version);
  put(out, 6, r.finished ? kind_finished : kind_draws);
  put(out, 7, end);
  put(out, numbers_at, r.positions);
  put(out, numbers_at + 4, r.hashed_layers);
  put(out, numbers_at + 8, static_cast<std::uint32_t>(r.drawn.size()));
  put(out, numbers_at + 12, static_cast<std::uint32_t>(r.leaves.size()));
  put(out, numbers_at + 16, static_cast<std::uint32_t>(r.receipt.size()));
  put(out, key_at, r.key);
  put(out, root_at, r.transcript);
  std::size_t at = header_bytes;
  for (const drawn_token& drawn : r.drawn) {
    put(out, at, drawn.token);
    put(out, at + sizeof(std::uint32_t), drawn.logits);
    at += draw_bytes;
  }
  for (const digest& leaf : r.leaves) {
    put(out, at, leaf);
    at += digest::size;
  }
  std::copy(r.receipt.begin(), r.receipt.end(), out.begin() + static_cast<std::ptrdiff_t>(at));
  put(out, out.size() - digest::size, check_of(out));
  return out;
}

result<answer_record> answer_from(std::span<const std::byte> bytes) {
  if (bytes.size() < header_bytes + digest::size ||
      std::memcmp(bytes.data(), magic.data(), magic.size()) != 0) {
    return fail(errc::malformed, "{} bytes are no kept answer; compute it again", bytes.size());
  }
  if (const auto found = number<std::uint16_t>(bytes, 4); found != version) {
    return fail(errc::unsupported, "a kept answer of version {}; this build knows {}", found,
                version);
  }
  const auto draws = number<std::uint32_t>(bytes, numbers_at + 8);
  const auto leaves = number<std::uint32_t>(bytes, numbers_at + 12);
  const auto receipt = number<std::uint32_t>(bytes, numbers_at + 16);
  if (draws > limits::answer_draws_max || bytes.size() > limits::answer_bytes_max) {
    return fail(errc::over_limit, "a kept answer of {} draws in {} bytes", draws, bytes.size());
  }
  if (bytes.size() !=
          header_bytes + draws * draw_bytes + (std::size_t{leaves} + 1) * digest::size + receipt ||
      number<std::uint32_t>(bytes, numbers_at + 20) != 0) {
    return fail(errc::malformed, "a kept answer of {} draws and {} leaves has {} bytes", draws,
                leaves, bytes.size());
  }
  if (digest_at(bytes, bytes.size() - digest::size) != check_of(bytes)) {
    return fail(errc::digest_mismatch, "a kept answer of {} draws is damaged", draws);
  }
  const auto kind = number<std::uint8_t>(bytes, 6);
  const auto end = number<std::uint8_t>(bytes, 7);
  answer_record r;
  r.finished = kind == kind_finished;
  r.end = end == end_stop ? finish_reason::stop : finish_reason::length;
  r.positions = number<std::uint32_t>(bytes, numbers_at);
  r.hashed_layers = number<std::uint32_t>(bytes, numbers_at + 4);
  r.key = digest_at(bytes, key_at);
  r.transcript = digest_at(bytes, root_at);
  std::size_t at = header_bytes;
  r.drawn.reserve(draws);
  for (std::uint32_t i = 0; i < draws; ++i, at += draw_bytes) {
    r.drawn.push_back(
        {number<std::uint32_t>(bytes, at), digest_at(bytes, at + sizeof(std::uint32_t))});
  }
  r.leaves.reserve(leaves);
  for (std::uint32_t i = 0; i < leaves; ++i, at += digest::size) {
    r.leaves.push_back(digest_at(bytes, at));
  }
  r.receipt.assign(bytes.begin() + static_cast<std::ptrdiff_t>(at),
                   bytes.end() - static_cast<std::ptrdiff_t>(digest::size));
  if (kind != kind_draws && kind != kind_finished) {
    return fail(errc::malformed, "a kept answer of kind {}; compute it again", kind);
  }
  OVIR_TRY(check(r, end));
  return r;
}

std::vector<compute::unit_leaf> leaves_of(const answer_record& record) {
  std::vector<compute::unit_leaf> out;
  out.reserve(record.leaves.size());
  for (std::size_t i = 0; i < record.leaves.size(); ++i) {
    const auto window = static_cast<std::uint32_t>(i / record.hashed_layers);
    const auto layer = static_cast<layer_index>(i % record.hashed_layers);
    const std::uint32_t positions = std::min(window_size, record.positions - window * window_size);
    out.push_back({{window, layer}, positions, record.leaves[i]});
  }
  return out;
}

bool agrees(const answer_record& record, std::span<const token_id> prompt, std::uint32_t max_tokens,
            std::uint32_t vocabulary) {
  if (!record.finished || record.drawn.empty() || record.drawn.size() > max_tokens) {
    return false;
  }
  compute::transcript all;
  std::vector<token_id> ids{prompt.begin(), prompt.end()};
  for (const drawn_token& drawn : record.drawn) {
    const auto added = all.add_logits(static_cast<position>(ids.size() - 1), drawn.logits);
    if (!added || drawn.token >= vocabulary) {
      return false;
    }
    ids.push_back(drawn.token);
  }
  for (const compute::unit_leaf& leaf : leaves_of(record)) {
    if (!all.add_unit(leaf)) {
      return false;
    }
  }
  // The token drawn last is not computed.
  if (record.positions + 1 != ids.size()) {
    return false;
  }
  const auto root = all.root(record.hashed_layers, record.positions, ids);
  return root && *root == record.transcript;
}

} // namespace ovir::actors
