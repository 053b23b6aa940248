#pragma once

#include "learning/rounds/letters.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace ovir::learning {

/// What a worker agrees to before it computes anything.
struct worker_terms {
  round_mode mode{round_mode::masked};
  node_id coordinator;           ///< who must have signed the task
  std::vector<node_id> accepted; ///< sorted: whom it takes for other workers
  double epsilon_max{0};         ///< of one round; not looked at in the mode open
};

/// `invalid_argument` where the offer breaks the terms or `self` is no member, `digest_mismatch`
/// where the signature or the adapter is not what the task says.
[[nodiscard]] result<void> check_offer(const round_offer& offer, const node_id& self,
                                       const worker_terms& terms);

/// `digest_mismatch` where the receipt is not its coordinator's, of this task; `malformed` where
/// survivors or epsilon are not those of the task.
[[nodiscard]] result<void> check_receipt(const round_task& task, const round_receipt& receipt);

/// A worker of one round in the mode private, after Bonawitz et al. 2017 (figure 4, with the
/// consistency check). Letters in, letters out. It answers each step once: the same letter again
/// gets the same answer, any other letter that breaks the protocol ends it, and its secrets are
/// wiped then. It never opens both secrets of a worker.
class round_worker {
public:
  /// `units` is the clipped update: as many as the task says, within its norm. `key` outlives it.
  /// Precondition: `check_offer` accepted the task.
  round_worker(const secret_key& key, round_task task, std::vector<std::int64_t> units,
               random_source random);
  ~round_worker() = default;
  round_worker(const round_worker&) = delete;
  round_worker& operator=(const round_worker&) = delete;

  /// The first letter; the same each time.
  [[nodiscard]] const letter& advert() const noexcept { return advert_; }
  /// The letter that answers `in`. `digest_mismatch` or `malformed` where the coordinator or a
  /// worker lies, `cancelled` once it has ended.
  [[nodiscard]] result<letter> take(const letter& in);

  [[nodiscard]] bool has_ended() const noexcept { return step_ == step::ended; }
  /// Whose sum it helped to open; empty before.
  [[nodiscard]] const std::vector<node_id>& survivors() const noexcept { return survivors_; }
  /// A secret: the clipped update with this worker's noise; empty before it was sent.
  [[nodiscard]] const std::vector<std::int64_t>& noised() const noexcept { return noised_; }

private:
  enum class step : std::uint8_t { keys, shares, survivors, votes, opened, ended };
  /// Of the secrets of one worker.
  struct held_shares {
    secret_share mask_key;
    secret_share self_mask;
  };

  [[nodiscard]] result<letter> take_keys(const key_list& keys);
  [[nodiscard]] result<void> check_keys(const key_list& keys) const;
  [[nodiscard]] result<letter> take_shares(const share_delivery& delivery);
  [[nodiscard]] result<letter> take_survivors(const survivor_list& list);
  [[nodiscard]] result<letter> take_votes(const vote_list& list);
  [[nodiscard]] result<void> hold(const sealed_share& from);
  [[nodiscard]] result<void> add_noise();
  [[nodiscard]] result<std::vector<std::uint64_t>> masked_values() const;
  [[nodiscard]] const key_advert* advert_of(const node_id& worker) const;
  void end();

  const secret_key& key_;
  round_task task_;
  digest name_;
  std::vector<std::int64_t> units_;
  random_source random_;
  step step_{step::keys};
  letter advert_;
  secret32 mask_secret_;
  secret32 share_secret_;
  secret32 self_mask_;
  key_list keys_;
  digest keys_name_;
  std::map<node_id, held_shares> held_;
  std::vector<node_id> sharers_; ///< sorted, with itself
  std::vector<node_id> survivors_;
  std::vector<std::int64_t> noised_;
  std::optional<digest> last_in_;
  letter last_out_;
};

} // namespace ovir::learning
