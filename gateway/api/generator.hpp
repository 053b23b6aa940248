#pragma once

#include "gateway/api/generation_order.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

namespace ovir::gateway {

struct budget_view {
  budget_report now;
  budget_statement page; ///< empty where none was wanted
};
using budget_told = std::function<void(const result<budget_view>&)>;

/// The cluster, as the gateway sees it. Calls return at once and come from the server's thread;
/// what is asked for comes back on the same thread as calls of `generation_events`. `tag` is the
/// gateway's name for what it listens to, never used twice.
class generator {
public:
  virtual ~generator() = default;

  /// Starts the order, or goes on with the one of this id that the cluster drives: its tokens come
  /// from index 0 on, and its end. Of one that `may_run` it is first looked for, because it may
  /// change hands just now. An order of this id with other terms is `invalid_argument`.
  virtual void start(std::uint64_t tag, const generation_order& order, bool may_run) = 0;
  /// The tokens and the end of a request of these terms that this node drives or drove lately; else
  /// `not_found`.
  virtual void watch(std::uint64_t tag, request_id id, const digest& terms) = 0;
  /// Nothing more is sent for this tag.
  virtual void forget(std::uint64_t tag) = 0;
  /// `asked`: the client wants the request to end. Otherwise its client went away or its time is
  /// over, and a client that asks again begins it anew.
  virtual void cancel(request_id id, bool asked) = 0;

  [[nodiscard]] virtual std::vector<served_model> models() = 0;
  /// What is left of an API key's budget, and a page of its requests from an entry of the ledger
  /// on, where one is wanted. `done` is called once, on the server's thread, unless that ends
  /// first.
  virtual void show_budget(const budget_use& use, std::optional<std::uint64_t> from,
                           budget_told done) {
    (void)use;
    (void)from;
    done(fail(errc::unsupported, "this endpoint knows no ledger"));
  }
  /// Whether nodes that are alive hold every layer of some model, as far as is known.
  [[nodiscard]] virtual bool ready() = 0;
  /// What the node does that helps, in words for people; may be empty.
  [[nodiscard]] virtual std::string doing() { return {}; }
};

/// Whoever listens to a generator.
class generation_events {
public:
  virtual ~generation_events() = default;
  /// The next token, in order and without a gap.
  virtual void on_token(std::uint64_t tag, const told_token& token) = 0;
  virtual void on_end(std::uint64_t tag, const result<generation_outcome>& outcome) = 0;
  /// Whoever drives requests was restarted: everything that is listened to has to be asked for
  /// again.
  virtual void on_restart() = 0;
};

} // namespace ovir::gateway
