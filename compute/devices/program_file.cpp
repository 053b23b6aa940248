#include "compute/devices/program_file.hpp"

#include "messages/limits/devices.hpp"

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

// Grammar, also on docs/formats/device-program.md. Integers are little-endian.
//
//   file = "OVDP", version u16, zero u16, size u64, key[32], program[size], check[32]
//   key = H("ovir/device/v1/program"; platform, name, driver, options as texts, source digest)
//   check = H("ovir/device/v1/check"; all before)
namespace ovir::compute {

namespace {

static_assert(std::endian::native == std::endian::little, "files are little-endian");

constexpr std::array<char, 4> program_magic{'O', 'V', 'D', 'P'};
constexpr std::uint16_t program_version = 1;
constexpr std::size_t size_at = 8;
constexpr std::size_t program_key_at = 16;
constexpr std::size_t program_at = program_key_at + digest::size;

template <class T>
T program_number(std::span<const std::byte> from, std::size_t at) {
  T value{};
  std::memcpy(&value, from.data() + at, sizeof(T));
  return value;
}

digest check_of_program(std::span<const std::byte> before) {
  return hash("ovir/device/v1/check", before);
}

} // namespace

digest program_key(const device_facts& facts, std::string_view options, const digest& source) {
  return hasher{"ovir/device/v1/program"}
      .update_text(facts.platform)
      .update_text(facts.name)
      .update_text(facts.driver)
      .update_text(options)
      .update(source)
      .finish();
}

std::vector<std::byte> encode_program(const digest& key, std::span<const std::byte> program) {
  std::vector<std::byte> file(program_at + program.size() + digest::size);
  const auto put_at = [&](std::size_t at, const void* from, std::size_t size) {
    if (size > 0) {
      std::memcpy(file.data() + at, from, size);
    }
  };
  const std::uint64_t size = program.size();
  put_at(0, program_magic.data(), program_magic.size());
  put_at(4, &program_version, sizeof program_version);
  put_at(size_at, &size, sizeof size);
  put_at(program_key_at, key.bytes.data(), digest::size);
  put_at(program_at, program.data(), program.size());
  const std::size_t end = program_at + program.size();
  const digest check = check_of_program(std::span{file}.first(end));
  put_at(end, check.bytes.data(), digest::size);
  return file;
}

result<std::span<const std::byte>> decode_program(const digest& key,
                                                  std::span<const std::byte> file) {
  if (file.size() < program_at + digest::size ||
      std::memcmp(file.data(), program_magic.data(), program_magic.size()) != 0) {
    return fail(errc::malformed, "{} bytes are no built program; build it again", file.size());
  }
  if (const auto found = program_number<std::uint16_t>(file, 4); found != program_version) {
    return fail(errc::unsupported, "a built program of version {}; this build knows {}", found,
                program_version);
  }
  const auto size = program_number<std::uint64_t>(file, size_at);
  if (size > limits::device_program_bytes_max) {
    return fail(errc::over_limit, "a built program of {} bytes; at most {} can be", size,
                limits::device_program_bytes_max);
  }
  if (program_number<std::uint16_t>(file, 6) != 0 ||
      file.size() != program_at + size + digest::size) {
    return fail(errc::malformed, "a built program of {} bytes in a file of {}; build it again",
                size, file.size());
  }
  if (std::memcmp(file.data() + program_key_at, key.bytes.data(), digest::size) != 0) {
    return fail(errc::digest_mismatch, "a program built for another device, driver or source");
  }
  const std::size_t end = program_at + size;
  const digest check = check_of_program(file.first(end));
  if (std::memcmp(file.data() + end, check.bytes.data(), digest::size) != 0) {
    return fail(errc::digest_mismatch, "a built program is damaged; build it again");
  }
  return file.subspan(program_at, size);
}

std::string program_file_name(const digest& key) { return to_hex(key) + ".program"; }

} // namespace ovir::compute
