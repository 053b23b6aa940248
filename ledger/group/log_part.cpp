#include "ledger/group/log_part.hpp"

#include "messages/limits/keepers.hpp"
#include "messages/wire/bytes.hpp"

#include <cstdint>
#include <utility>

// part = path:list<u8, digest> entries:message

namespace ovir::ledger {

std::vector<std::byte> to_bytes(const log_part& p) {
  std::vector<std::byte> out;
  byte_writer w{out};
  w.number(static_cast<std::uint8_t>(p.path.size()));
  for (const digest& one : p.path) {
    w.write(one);
  }
  const std::vector<std::byte> run = to_bytes(message{0, p.run});
  w.bytes(run.data(), run.size());
  return out;
}

result<log_part> log_part_from(std::span<const std::byte> bytes) {
  byte_reader r{bytes};
  log_part p;
  const std::size_t count = r.number<std::uint8_t>();
  if (count > limits::keepers_path_max) {
    return fail(errc::over_limit, "a proof of {} digests; at most {} are allowed", count,
                limits::keepers_path_max);
  }
  for (std::size_t i = 0; i < count && r.sound(); ++i) {
    r.read(p.path.emplace_back());
  }
  if (!r.sound()) {
    return fail(errc::malformed, "a proof of {} digests is cut short", count);
  }
  OVIR_ASSIGN(message m, message_from(r.rest()));
  auto* const run = std::get_if<entry_run>(&m.body);
  if (run == nullptr || m.id != 0) {
    return fail(errc::malformed, "a part of the log has no entries");
  }
  p.run = std::move(*run);
  return p;
}

} // namespace ovir::ledger
