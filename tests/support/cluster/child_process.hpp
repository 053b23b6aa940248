#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ovir::test {

/// What a program left behind.
struct child_result {
  std::optional<int> exit_code; ///< empty when a signal ended it
  int signal{0};
  std::string out;
  std::string err;
};

struct child_options {
  std::map<std::string, std::string> environment; ///< added to ours
  std::string input;                              ///< given on standard input, then closed
  std::string out_path;                           ///< standard output goes there instead
  std::optional<std::uint64_t> file_bytes_max;    ///< RLIMIT_FSIZE: a disk that is nearly full
  std::optional<std::uint32_t> user;              ///< runs as this one and its group; needs root
  std::optional<std::uint64_t> memory_bytes_max;  ///< RLIMIT_AS; sanitizers need far more
  std::chrono::seconds deadline{120};             ///< killed afterwards
  bool dies_with_thread{false}; ///< the system kills it when the thread that started it ends
};

/// A program running beside the test. Where the options do not say where it keeps its state, or
/// where its operator's key is, it gets a folder of its own, empty at first and removed when it
/// ends: what one program computed is not what the next one tells.
///  Its output is collected by threads, so it never waits for us.
/// Killed and reaped when dropped.
class child_process {
public:
  /// Throws when the program cannot be started.
  explicit child_process(const std::vector<std::string>& arguments, child_options options = {});
  ~child_process();
  child_process(const child_process&) = delete;
  child_process& operator=(const child_process&) = delete;

  void send_signal(int number) const;
  [[nodiscard]] pid_t id() const;
  /// False once it has ended, whoever ended it.
  [[nodiscard]] bool running();
  /// Closes our end of its standard output, as `head` does.
  void stop_reading();
  /// Waits until its standard output holds `bytes` bytes, it ends, or the deadline passes; returns
  /// what came.
  [[nodiscard]] std::string wait_for_output(std::size_t bytes);
  /// Waits for its end. Throws when the deadline passes, with what it said so far.
  [[nodiscard]] child_result wait();

private:
  struct parts;
  std::unique_ptr<parts> parts_;
};

/// Runs a program to its end.
[[nodiscard]] child_result run_child(const std::vector<std::string>& arguments,
                                     const child_options& options = {});

/// The programs under test.
[[nodiscard]] std::string ovir_program();
[[nodiscard]] std::string ovir_verify_program();

/// `ovir ARGUMENTS...`, to its end.
[[nodiscard]] child_result run_ovir(std::vector<std::string> arguments,
                                    const child_options& options = {});
[[nodiscard]] child_result run_ovir_verify(std::vector<std::string> arguments,
                                           const child_options& options = {});

} // namespace ovir::test
