#pragma once

#include "compute/devices/device.hpp"
#include "messages/digest.hpp"
#include "messages/result.hpp"

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// Built programs on disk (docs/formats/device-program.md), so that a driver compiles once.
namespace ovir::compute {

/// What a built program depends on: where any of it is another, it is built anew.
[[nodiscard]] digest program_key(const device_facts& facts, std::string_view options,
                                 const digest& source);

/// The bytes of a file that keeps `program` under `key`.
[[nodiscard]] std::vector<std::byte> encode_program(const digest& key,
                                                    std::span<const std::byte> program);

/// The program in `file`, as a part of it. `malformed`, `unsupported` (another version),
/// `over_limit`, `digest_mismatch` (damaged, or kept under another key): in any case it is to be
/// built from source. Allocates nothing.
[[nodiscard]] result<std::span<const std::byte>> decode_program(const digest& key,
                                                                std::span<const std::byte> file);

/// Where built programs are kept. Files may get lost or damaged: they are read with care.
class program_store {
public:
  virtual ~program_store() = default;
  /// Nothing where there is no such file, or it cannot be read.
  [[nodiscard]] virtual std::optional<std::vector<std::byte>> find(const std::string& name) = 0;
  /// A failure is of no importance.
  virtual void keep(const std::string& name, std::span<const std::byte> file) = 0;
};

/// The name of the file of `key`.
[[nodiscard]] std::string program_file_name(const digest& key);

} // namespace ovir::compute
