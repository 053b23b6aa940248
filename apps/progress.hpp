#pragma once

#include "storage/env/env.hpp"

#include <cstdint>
#include <optional>
#include <string>

namespace ovir::apps {

/// Shows how far a long piece of work is, on standard error. Nothing for work under a second. On a
/// terminal one line is redrawn and removed at the end; elsewhere a line appears every few seconds.
class progress {
public:
  /// `environment` must outlive it.
  progress(storage::env& environment, std::string label);
  ~progress();
  progress(const progress&) = delete;
  progress& operator=(const progress&) = delete;

  /// `done` of `total` (0 when unknown) are finished. Cheap: prints only when it is time.
  void update(std::uint64_t done, std::uint64_t total);

private:
  storage::env& environment_;
  std::string label_;
  bool terminal_;
  bool drawn_{false};
  storage::env::time_point started_;
  storage::env::time_point next_;
};

} // namespace ovir::apps
