#include "ledger/keeper/participants.hpp"

#include "ledger/keeper/verify.hpp"
#include "messages/limits/evidence.hpp"

#include <map>
#include <variant>

namespace ovir::ledger {

namespace {

class roll {
public:
  void see(const entry& e, const std::vector<posting>& moved) {
    if (const auto* const rules = std::get_if<genesis>(&e.what)) {
      bonded_ = rules->rules.deterrence.mode == trust_mode::bonded;
    } else if (const auto* const r = std::get_if<reserve>(&e.what)) {
      drivers_[escrow_of(*r)] = r->scheduler.empty() ? r->payer : r->scheduler;
    } else if (const auto* const a = std::get_if<accrue>(&e.what)) {
      if (const auto driver = drivers_.find(a->request); driver != drivers_.end()) {
        worked_.insert(driver->second);
      }
      for (const window_share& share : a->computed) {
        if (!bonded_) {
          worked_.insert(share.node);
        }
      }
    } else if (const auto* const x = std::get_if<convict>(&e.what)) {
      convicted_.insert(x->guilty);
    }
    for (const posting& p : moved) {
      if (p.from.kind == purse::stake) {
        stakes_[{p.from.of.bytes}] -= p.amount; // rules keep it above zero
      }
      if (p.to.kind == purse::stake) {
        stakes_[{p.to.of.bytes}] += p.amount;
      }
    }
  }

  [[nodiscard]] std::set<node_id> counted() const {
    std::set<node_id> all = worked_;
    for (const auto& [node, stake] : stakes_) {
      if (stake > 0) {
        all.insert(node);
      }
    }
    for (const node_id& node : convicted_) {
      all.erase(node);
    }
    return all;
  }

private:
  bool bonded_{true};
  std::map<escrow_id, node_id> drivers_;
  std::map<node_id, micro_credits> stakes_;
  std::set<node_id> worked_;
  std::set<node_id> convicted_;
};

} // namespace

result<std::set<node_id>> participants_at(const signed_head& head, durable_file& log) {
  roll known;
  verify_options how;
  how.heads = {head};
  how.visit = [&](std::uint64_t index, const entry& e, const std::vector<posting>& moved) {
    if (index < head.head.size) {
      known.see(e, moved);
    }
  };
  OVIR_ASSIGN(const verify_report seen, verify_log(log, how));
  if (seen.fault) {
    return fail(errc::digest_mismatch, "{}{}",
                seen.fault->entry ? fmt::format("entry {}: ", *seen.fault->entry) : std::string{},
                seen.fault->what);
  }
  std::set<node_id> all = known.counted();
  if (all.size() > limits::signers_max) {
    return fail(errc::over_limit, "the ledger knows {} participants; at most {} are taken",
                all.size(), limits::signers_max);
  }
  return all;
}

} // namespace ovir::ledger
