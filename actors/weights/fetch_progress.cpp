#include "actors/weights/fetch_progress.hpp"

#include "actors/weights/fetch_layers.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace ovir::actors {

namespace {

fetch_core::counters sum(fetch_core::counters a, const fetch_core::counters& b) {
  a.asked_bytes += b.asked_bytes;
  a.received_bytes += b.received_bytes;
  a.verified_bytes += b.verified_bytes;
  a.wrong_bytes += b.wrong_bytes;
  a.asked_again_bytes += b.asked_again_bytes;
  a.in_flight_max = std::max(a.in_flight_max, b.in_flight_max);
  return a;
}

/// In MiB, rounded up: what is left is never 0 before it is all there.
std::uint64_t mib(std::uint64_t bytes) { return (bytes + (1U << 20U) - 1) >> 20U; }

} // namespace

std::string words_of(const fetch_progress& fetch, std::chrono::nanoseconds since) {
  constexpr std::size_t named_max = 3;
  std::string from;
  std::size_t sources = 0;
  for (const auto& [node, report] : fetch.sources) {
    if (report.joined && ++sources <= named_max) {
      from += (from.empty() ? "" : ", ") + short_name(node);
    }
  }
  if (sources > named_max) {
    from += fmt::format(" and {} more", sources - named_max);
  }
  const std::string what =
      fmt::format("{} of model {}", words_of(fetch.layers), to_hex(fetch.model).substr(0, 8));
  if (sources == 0) {
    return fmt::format("looks for a member that has {}", what);
  }
  const std::uint64_t fetched = fetch.count.verified_bytes;
  const std::uint64_t here = fetch.present_bytes + fetch.local_bytes + fetched;
  const std::uint64_t left = fetch.bytes - std::min(fetch.bytes, here);
  const std::string yet =
      fetched == 0
          ? std::string{}
          : fmt::format(", about {:.0f} s left",
                        std::ceil(std::chrono::duration<double>(since).count() *
                                  static_cast<double>(left) / static_cast<double>(fetched)));
  return fmt::format("fetches {} from {}: {} of {} MiB{}", what, from, mib(fetch.bytes - left),
                     mib(fetch.bytes), yet);
}

fetch_progress shown(const fetch_progress& before, const std::optional<fetch_core>& core) {
  fetch_progress now = before;
  if (core) {
    now.count = sum(now.count, core->count());
    for (const auto& [node, report] : core->sources()) {
      fetch_core::source_report& known = now.sources[node];
      known.bytes += report.bytes;
      known.drops += report.drops;
      known.joined = report.joined;
      known.fault = report.fault.empty() ? known.fault : report.fault;
    }
  }
  return now;
}

fetch_answer::~fetch_answer() {
  (*this)(fail(errc::cancelled, "the fetch ended without an outcome; order it again"));
}

void fetch_answer::operator()(result<fetched_segment> outcome) {
  if (const function done = std::exchange(done_, nullptr)) {
    done(std::move(outcome));
  }
}

} // namespace ovir::actors
