#include "actors/request/request_journal.hpp"

#include "actors/protocol/wire.hpp"
#include "messages/limits/general.hpp"
#include "messages/mutant.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

namespace ovir::actors {

namespace {

// A file: u32 length, the digest of what follows, and that many bytes of a wire message `adopt`
// (the request as it was when this lead began), then 40 bytes for each token drawn since: u32
// token, u32 check, digest of its logits.
constexpr std::size_t front_bytes = sizeof(std::uint32_t) + digest::size;
constexpr std::size_t record_bytes = 40;
constexpr std::string_view suffix = ".request";

static_assert(std::endian::native == std::endian::little);

digest check_of(std::span<const std::byte> message) {
  return hasher{"ovir/request-log/v1/request"}.update(message).finish();
}

std::uint32_t check_of(const drawn_token& drawn) {
  hasher state{"ovir/request-log/v1/token"};
  state.update_u32(drawn.token).update(drawn.logits);
  std::uint32_t check = 0;
  std::memcpy(&check, state.finish().bytes.data(), sizeof check);
  return check;
}

std::optional<drawn_token> token_from(std::span<const std::byte> record) {
  drawn_token drawn;
  std::uint32_t check = 0;
  std::memcpy(&drawn.token, record.data(), 4);
  std::memcpy(&check, record.data() + 4, 4);
  std::memcpy(drawn.logits.bytes.data(), record.data() + 8, digest::size);
  return check == check_of(drawn) ? std::optional{drawn} : std::nullopt;
}

std::optional<request_log> log_from(const std::string& text) {
  std::span<const std::byte> bytes = std::as_bytes(std::span{text});
  std::uint32_t head = 0;
  digest check;
  if (bytes.size() < front_bytes) {
    return std::nullopt;
  }
  std::memcpy(&head, bytes.data(), sizeof head);
  std::memcpy(check.bytes.data(), bytes.data() + sizeof head, digest::size);
  bytes = bytes.subspan(front_bytes);
  if (head > bytes.size()) {
    return std::nullopt;
  }
  // Aligned for the decoder.
  const std::vector<std::byte> message{bytes.begin(), bytes.begin() + head};
  if (check != check_of(message) && !OVIR_MUTANT("journal_believes_damaged_requests")) {
    return std::nullopt;
  }
  auto decoded = decode_wire(message);
  if (!decoded || !std::holds_alternative<wire_adopt>(decoded->body)) {
    return std::nullopt;
  }
  request_log log = std::move(std::get<wire_adopt>(decoded->body).log);
  for (bytes = bytes.subspan(head); bytes.size() >= record_bytes;
       bytes = bytes.subspan(record_bytes)) {
    const auto drawn = token_from(bytes.first(record_bytes));
    if ((!drawn && !OVIR_MUTANT("journal_believes_torn_records")) ||
        log.drawn.size() >= log.max_tokens) {
      break;
    }
    log.drawn.push_back(drawn.value_or(drawn_token{}));
  }
  return log;
}

} // namespace

result<void> journal_entry::append(const drawn_token& drawn) {
  std::array<std::byte, record_bytes> record;
  const std::uint32_t check = check_of(drawn);
  std::memcpy(record.data(), &drawn.token, 4);
  std::memcpy(record.data() + 4, &check, 4);
  std::memcpy(record.data() + 8, drawn.logits.bytes.data(), digest::size);
  return file_->append(record);
}

result<std::unique_ptr<request_journal>> request_journal::open(storage::env& env,
                                                               std::string folder) {
  OVIR_TRY(env.make_folder(folder));
  return std::unique_ptr<request_journal>{new request_journal{env, std::move(folder)}};
}

std::string request_journal::path(request_id request) const {
  return fmt::format("{}/{:016x}{}", folder_, request.value, suffix);
}

result<std::unique_ptr<journal_entry>> request_journal::begin(const request_log& log) {
  const wire_message whole{log.id, {}, 0, wire_adopt{log}};
  OVIR_TRY(check(whole));
  {
    const std::lock_guard lock{guard_};
    left_.erase(log.id);
  }
  remove_left();
  OVIR_ASSIGN(auto file, env_.create(path(log.id)));
  const std::vector<std::byte> message = encode_wire(whole);
  const auto head = static_cast<std::uint32_t>(message.size());
  const digest check = check_of(message);
  std::vector<std::byte> bytes(front_bytes + message.size());
  std::memcpy(bytes.data(), &head, sizeof head);
  std::memcpy(bytes.data() + sizeof head, check.bytes.data(), digest::size);
  std::copy(message.begin(), message.end(), bytes.begin() + front_bytes);
  OVIR_TRY(file->append(bytes));
  return std::make_unique<journal_entry>(std::move(file));
}

result<void> request_journal::withdraw(request_id request) {
  const auto kept = [&]() -> result<void> {
    OVIR_ASSIGN(auto nothing, env_.stage(path(request)));
    return nothing->commit();
  }();
  if (!kept) {
    return fail(errc::io_failed,
                "request {:016x} ends here, and the disk does not take its cancellation ({}): a "
                "loss of power may bring it back",
                request.value, kept.error().message);
  }
  return {};
}

void request_journal::done(request_id request) {
  const auto removed = env_.remove(path(request));
  if (!removed) {
    const std::lock_guard lock{guard_};
    if (left_.size() < limits::requests_active_max) {
      left_.insert(request);
    }
  } else {
    remove_left();
  }
}

// What cannot be removed is driven once more at the next start.
void request_journal::remove_left() {
  const std::lock_guard lock{guard_};
  std::erase_if(left_,
                [this](request_id request) { return env_.remove(path(request)).has_value(); });
}

std::vector<request_log> request_journal::unfinished() {
  std::vector<request_log> logs;
  const auto names = env_.list(folder_);
  for (const std::string& name : names ? *names : std::vector<std::string>{}) {
    if (!name.ends_with(suffix) || logs.size() >= limits::requests_active_max) {
      continue;
    }
    const auto text = env_.read(folder_ + "/" + name, 2 * limits::wire_bytes_max);
    if (text && text->empty()) { // withdrawn
      (void)env_.remove(folder_ + "/" + name);
    } else if (text) {
      if (auto log = log_from(*text)) {
        logs.push_back(std::move(*log));
      }
    }
  }
  return logs;
}

} // namespace ovir::actors
