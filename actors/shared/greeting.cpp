#include "actors/shared/greeting.hpp"

#include "actors/shared/region.hpp"
#include "messages/wire/bytes.hpp"

#include <algorithm>
#include <string_view>

// greeting = "OVSM" version:u16 0:u16 region_bytes:u64 pass:32
// answer   = "OVSA" version:u16 0:u16 proof:32

namespace ovir::actors {

namespace {

constexpr std::string_view greeting_magic = "OVSM";
constexpr std::string_view answer_magic = "OVSA";

void begin_shared(byte_writer& w, std::string_view magic) {
  w.bytes(magic.data(), magic.size());
  w.number(shared_version);
  w.number(std::uint16_t{0});
}

/// Whether bytes of the right length begin as they should, in this version.
result<void> check_begin(std::span<const std::byte> bytes, std::size_t size,
                         std::string_view magic) {
  if (bytes.size() != size || std::memcmp(bytes.data(), magic.data(), magic.size()) != 0) {
    return fail(errc::malformed, "a process that wants to share memory says nonsense");
  }
  byte_reader in{bytes.subspan(magic.size())};
  const auto version = in.number<std::uint16_t>();
  if (version != shared_version) {
    return fail(errc::unsupported, "shared memory of version {} is offered, this is version {}",
                version, shared_version);
  }
  if (in.number<std::uint16_t>() != 0) {
    return fail(errc::malformed, "a reserved field of a greeting is not 0");
  }
  return {};
}

constexpr std::size_t begin_bytes = 8;

} // namespace

std::vector<std::byte> encode_greeting(const shared_greeting& greeting) {
  std::vector<std::byte> bytes;
  byte_writer w{bytes};
  begin_shared(w, greeting_magic);
  w.number(greeting.region_bytes);
  w.write(greeting.pass);
  OVIR_CHECK(bytes.size() == shared_greeting::size, bytes.size());
  return bytes;
}

result<shared_greeting> decode_greeting(std::span<const std::byte> bytes) {
  OVIR_TRY(check_begin(bytes, shared_greeting::size, greeting_magic));
  byte_reader in{bytes.subspan(begin_bytes)};
  shared_greeting greeting;
  greeting.region_bytes = in.number<std::uint64_t>();
  in.read(greeting.pass);
  if (greeting.region_bytes != shared_region::size_bytes) {
    return fail(errc::unsupported, "shared memory of {} bytes is offered, this build uses {}",
                greeting.region_bytes, shared_region::size_bytes);
  }
  return greeting;
}

std::vector<std::byte> encode_answer(const digest& pass) {
  std::vector<std::byte> bytes;
  byte_writer w{bytes};
  begin_shared(w, answer_magic);
  w.write(hasher{"ovir/shared-answer/v1"}.update(pass).finish());
  OVIR_CHECK(bytes.size() == shared_answer::size, bytes.size());
  return bytes;
}

result<void> check_answer(std::span<const std::byte> bytes, const digest& pass) {
  OVIR_TRY(check_begin(bytes, shared_answer::size, answer_magic));
  const std::vector<std::byte> expected = encode_answer(pass);
  if (!std::equal(bytes.begin(), bytes.end(), expected.begin(), expected.end())) {
    return fail(errc::malformed, "a process that is to share memory does not know the connection");
  }
  return {};
}

std::string door_name(const node_id& node, std::uint64_t life) {
  return fmt::format("ovir/{}/{:016x}", to_hex(node), life);
}

} // namespace ovir::actors
