#include "actors/weights/fetch_progress.hpp"

#include <algorithm>
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

} // namespace

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
