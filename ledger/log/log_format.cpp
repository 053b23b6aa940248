#include "ledger/log/log_format.hpp"

#include "messages/wire/bytes.hpp"

#include <cstring>
#include <string_view>

namespace ovir::ledger {

namespace {

constexpr std::uint32_t batch_magic = 0x4843'5442;             // "BTCH"
constexpr std::uint64_t file_magic = 0x3147'4f4c'5249'564fULL; // "OVIRLOG1"
constexpr std::uint32_t version = 1;

void append_check(std::vector<std::byte>& bytes, std::string_view domain) {
  const digest d = hash(domain, bytes);
  byte_writer{bytes}.bytes(d.bytes.data(), check_bytes);
}

bool checks(std::span<const std::byte> bytes, std::string_view domain) {
  const std::size_t body = bytes.size() - check_bytes;
  const digest d = hash(domain, bytes.first(body));
  return std::memcmp(d.bytes.data(), bytes.data() + body, check_bytes) == 0;
}

constexpr std::string_view batch_domain = "ovir/ledger/v1/batch";
constexpr std::string_view file_domain = "ovir/ledger/v1/file";

} // namespace

std::array<std::byte, batch_head_bytes> to_bytes(const batch_head& head) {
  std::vector<std::byte> bytes;
  byte_writer w{bytes};
  w.number(batch_magic);
  w.number(head.entries);
  w.number(head.first);
  w.number(head.bytes);
  w.write(head.chain);
  append_check(bytes, batch_domain);
  std::array<std::byte, batch_head_bytes> out{};
  OVIR_CHECK(bytes.size() == out.size(), bytes.size());
  std::copy(bytes.begin(), bytes.end(), out.begin());
  return out;
}

std::optional<batch_head> batch_head_from(std::span<const std::byte> bytes) {
  if (bytes.size() < batch_head_bytes || !checks(bytes.first(batch_head_bytes), batch_domain)) {
    return std::nullopt;
  }
  byte_reader r{bytes};
  batch_head head;
  const auto magic = r.number<std::uint32_t>();
  head.entries = r.number<std::uint32_t>();
  head.first = r.number<std::uint64_t>();
  head.bytes = r.number<std::uint64_t>();
  r.read(head.chain);
  if (magic != batch_magic || head.entries == 0 ||
      head.entries > limits::ledger_batch_entries_max ||
      head.bytes > limits::ledger_batch_bytes_max) {
    return std::nullopt;
  }
  return head;
}

std::array<std::byte, sector_bytes> file_head() {
  std::vector<std::byte> bytes;
  byte_writer w{bytes};
  w.number(file_magic);
  w.number(version);
  w.number(static_cast<std::uint32_t>(sector_bytes));
  bytes.resize(sector_bytes - check_bytes);
  append_check(bytes, file_domain);
  std::array<std::byte, sector_bytes> out{};
  std::copy(bytes.begin(), bytes.end(), out.begin());
  return out;
}

result<void> check_file_head(std::span<const std::byte> bytes) {
  if (bytes.size() < sector_bytes) {
    return fail(errc::malformed, "the log is too short to be one; name another file");
  }
  const auto head = bytes.first(sector_bytes);
  byte_reader r{head};
  if (r.number<std::uint64_t>() != file_magic && !checks(head, file_domain)) {
    return fail(errc::malformed, "the file is no log of a ledger; name another one");
  }
  if (!checks(head, file_domain)) {
    return fail(errc::digest_mismatch,
                "the log's first sector is damaged, before entry 0; restore the log from a "
                "follower");
  }
  if (const auto found = r.number<std::uint32_t>(); found != version) {
    return fail(errc::unsupported, "the log is of version {}; this program reads version {}", found,
                version);
  }
  return {};
}

} // namespace ovir::ledger
