#pragma once

#include "tests/swarm/door.hpp"
#include "tests/swarm/history.hpp"
#include "tests/swarm/host.hpp"
#include "tests/swarm/plan.hpp"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace ovir::swarm {

/// An HTTP client. After a lost connection or a temporary refusal it repeats its request at the
/// next gateway, with the id of the last event it has, as docs/formats/http.md says.
class client final : public http_client, public std::enable_shared_from_this<client> {
public:
  enum class state : std::uint8_t {
    waiting,   ///< it has not asked yet, or will ask again
    asking,    ///< an answer is on its way
    answered,  ///< to the end
    cancelled, ///< as it wished
    refused,   ///< for good
  };

  client(world& in, http_doors& doors, std::vector<std::string> gateways, const ask& wanted,
         history& told);

  void begin();

  [[nodiscard]] state how() const noexcept { return state_; }
  [[nodiscard]] bool over() const noexcept { return state_ >= state::answered; }
  /// When its last answer ended; 0: none has.
  [[nodiscard]] nanoseconds ended() const noexcept { return ended_; }
  [[nodiscard]] const ask& asked() const noexcept { return ask_; }
  [[nodiscard]] const std::string& text() const noexcept { return text_; }
  [[nodiscard]] const std::string& reason() const noexcept { return reason_; }
  /// What it was told last that was not an answer.
  [[nodiscard]] const std::string& trouble() const noexcept { return trouble_; }
  [[nodiscard]] std::size_t attempts() const noexcept { return attempts_; }
  [[nodiscard]] request_id id() const noexcept { return {id_}; }
  /// It was told some of its answer.
  [[nodiscard]] bool has_some() const noexcept { return events_ > 0; }
  [[nodiscard]] std::uint32_t events() const noexcept { return events_; }
  /// It was told more although its cancellation had been confirmed.
  [[nodiscard]] bool went_on() const noexcept { return went_on_; }
  /// It was told much more after it had cancelled, and then that there was nothing to cancel.
  [[nodiscard]] bool ignored() const noexcept { return ignored_; }
  void on_cancel_answered(bool confirmed, bool at_all);
  /// Called when the cancellation of a request that was asked for once is confirmed; may be empty.
  std::function<void(request_id)> on_cancelled;
  /// Called when it asks a gateway, by its number, to cancel; may be empty.
  std::function<void(std::size_t gateway)> on_cancels;

  void on_head(int status, const gateway::http_reply& head) override;
  void on_piece(const std::string& bytes) override;
  void on_end() override;
  void on_lost() override;

private:
  class one_call;

  void attempt();
  void again(const std::string& why);
  void cancel();
  void read_events();
  void read_event(std::string_view id, std::string_view data);
  void read_whole();
  [[nodiscard]] gateway::http_request request() const;

  world& world_;
  http_doors& doors_;
  std::vector<std::string> gateways_;
  ask ask_;
  history& history_;
  state state_{state::waiting};
  std::uint64_t id_;
  std::size_t at_; ///< gateway
  std::size_t attempts_{0};
  std::uint64_t call_{0}; ///< events of earlier connections mean nothing any more
  std::function<void()> hang_up_;
  int status_{0};
  std::string body_;
  std::string last_event_;
  std::string text_;
  std::string reason_;
  std::string trouble_;
  std::uint32_t events_{0};
  bool done_{false};
  bool hung_up_{false};
  bool cancels_{false};
  nanoseconds asked_to_end_{0};
  std::uint32_t after_cancel_{0}; ///< events told since then, but for the first
  bool ignored_{false};
  bool went_on_{false};
  nanoseconds cancelled_at_{0}; ///< confirmed; 0: it was not
  nanoseconds ended_{0};
};

} // namespace ovir::swarm
