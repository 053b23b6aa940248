#include "ledger/rules/hearing.hpp"

#include "messages/limits/audit.hpp"

#include <algorithm>
#include <utility>

namespace ovir::ledger {

std::vector<audit_kernels> taken_by(std::span<const audit_verdict> verdicts) {
  std::vector<audit_kernels> taken;
  for (const audit_verdict& v : verdicts) {
    if (v.means.kernels != audit_kernels::reference) {
      taken.push_back(v.means.kernels);
    }
  }
  std::sort(taken.begin(), taken.end());
  taken.erase(std::unique(taken.begin(), taken.end()), taken.end());
  return taken;
}

hearing::hearing(ovir::conviction draft, const std::vector<node_id>& others)
    : draft_(std::move(draft)) {
  for (const node_id& host : others) {
    const bool spoke = std::any_of(draft_.verdicts.begin(), draft_.verdicts.end(),
                                   [&](const audit_verdict& v) { return v.verifier == host; });
    if (!spoke && host != draft_.guilty && left_.size() < limits::second_opinions_asked_max &&
        draft_.kind == conviction_kind::replay) {
      left_.push_back(host);
    }
  }
  std::reverse(left_.begin(), left_.end());
}

hearing_step hearing::ask_next() {
  asked_.reset();
  if (left_.empty() || draft_.verdicts.size() >= limits::audit_verdicts_max) {
    return hearing_over{draft_};
  }
  asked_ = left_.back();
  left_.pop_back();
  return ask_further{*asked_, taken_by(draft_.verdicts)};
}

std::optional<hearing_step> hearing::admitted(const audit_admission& said) {
  if (std::exchange(heard_, true)) {
    return std::nullopt;
  }
  draft_.admission = said;
  return hearing_over{draft_};
}

std::optional<hearing_step> hearing::contested() {
  if (draft_.kind != conviction_kind::replay || std::exchange(heard_, true)) {
    return std::nullopt;
  }
  return ask_next();
}

std::optional<hearing_step> hearing::answered(const audit_verdict& verdict,
                                              const digest& computed) {
  if (asked_ != verdict.verifier) {
    return std::nullopt;
  }
  asked_.reset();
  if (computed != draft_.computed) {
    return hearing_dropped{"a further host computes what the accused stated"};
  }
  draft_.verdicts.push_back(verdict);
  return hearing_over{draft_};
}

hearing_step hearing::silent() {
  heard_ = true;
  return asked_ ? ask_next() : hearing_step{hearing_over{draft_}};
}

} // namespace ovir::ledger
