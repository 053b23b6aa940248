#include "messages/evidence/lateness.hpp"

#include "messages/limits/evidence.hpp"
#include "messages/limits/ledger.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>

namespace ovir {

namespace {

using times = std::map<position, handover>; ///< by the position behind a step

times times_of(const stage_records& records) {
  times all;
  for (const statement& s : records.statements) {
    for (const handover& h : s.handovers) {
      all[s.window * limits::window_positions + h.positions] = h;
    }
  }
  return all;
}

/// A step as its stage and the neighbours have it; differences of unrelated clocks.
struct passage {
  position at{0};
  std::int64_t between{0};     ///< from the sending before to the arrival behind: of two clocks
  std::int64_t away{0};        ///< until the one before got its next step
  std::int64_t wait{0};        ///< since the one behind sent the step before
  std::int64_t stated{0};      ///< by the stage itself
  std::uint32_t elapsed_us{0}; ///< by the clock of the one before
};

/// Steps that come one after another: each when what became of the one before is known.
std::vector<passage> passages(const times& before, const times& own, const times& behind) {
  std::vector<passage> all;
  for (const auto& [at, h] : own) {
    const auto sent = before.find(at);
    const auto came = behind.find(at);
    if (sent == before.end() || came == behind.end() || came == behind.begin() ||
        std::next(sent) == before.end()) {
      continue;
    }
    const passage p{at,
                    std::int64_t{came->second.came_us} - sent->second.sent_us,
                    std::int64_t{std::next(sent)->second.came_us} - sent->second.sent_us,
                    std::int64_t{came->second.came_us} - std::prev(came)->second.sent_us,
                    std::int64_t{h.sent_us} - h.came_us,
                    sent->second.sent_us};
    if (p.away >= 0 && p.wait >= 0) { // else the next step was sent meanwhile, as of a prompt
      all.push_back(p);
    }
  }
  return all;
}

std::optional<std::uint32_t> allowed(const stage_records& records, position at) {
  const std::uint32_t window = (at - 1) / limits::window_positions;
  for (const commitment& c : records.commitments) {
    if (c.window <= window && window - c.window < c.windows && c.step_us > 0) {
      return c.step_us;
    }
  }
  return std::nullopt;
}

/// What each of these is beyond the least of them.
class beyond_least {
public:
  beyond_least(const std::vector<passage>& steps, std::int64_t passage::*what)
      : what_(what), least_((*std::min_element(steps.begin(), steps.end(),
                                               [what](const passage& a, const passage& b) {
                                                 return a.*what < b.*what;
                                               })).*
                            what) {}
  [[nodiscard]] std::uint64_t of(const passage& p) const {
    return static_cast<std::uint64_t>(p.*what_ - least_);
  }

private:
  std::int64_t passage::*what_;
  std::int64_t least_;
};

/// One neighbour may say what it likes: what both saw, each by its own clock, and the two together,
/// was neither before the one nor behind the other.
void judge(std::size_t stage, const stage_records& records, const std::vector<passage>& steps,
           stage_lateness& out) {
  const beyond_least between{steps, &passage::between};
  const beyond_least away{steps, &passage::away};
  const beyond_least wait{steps, &passage::wait};
  const beyond_least stated{steps, &passage::stated};
  const auto span = steps.back().elapsed_us - steps.front().elapsed_us;
  const std::uint64_t drift = span * limits::clock_drift_ppm / limits::ppm_one + 1;
  for (const passage& p : steps) {
    const std::uint64_t all = std::min({between.of(p), away.of(p), wait.of(p)});
    const std::uint64_t seen = all - std::min(all, drift);
    const auto most = allowed(records, p.at);
    if (most && seen > *most) {
      out.late.push_back({stage, p.at, seen - *most, *most});
    }
    if (seen > stated.of(p) + limits::times_differ_us) {
      out.differing.push_back({stage, p.at, seen, stated.of(p)});
    }
  }
}

} // namespace

stage_lateness
judge_times(std::span<const stage_records* const> path, const node_id& lead,
            const std::function<bool(const node_id&, const node_id&)>& same_operator) {
  stage_lateness out;
  for (std::size_t i = 1; i + 1 < path.size(); ++i) {
    const node_id& own = path[i]->signer.node;
    const node_id& before = path[i - 1]->signer.node;
    const node_id& behind = path[i + 1]->signer.node;
    const auto counts = [&](const node_id& neighbour) {
      return neighbour != own && neighbour != lead && !same_operator(neighbour, own);
    };
    if (!counts(before) || !counts(behind) || before == behind || same_operator(before, behind)) {
      continue;
    }
    const auto steps = passages(times_of(*path[i - 1]), times_of(*path[i]), times_of(*path[i + 1]));
    if (!steps.empty()) {
      judge(i, *path[i], steps, out);
    }
  }
  return out;
}

} // namespace ovir
