#include "ledger/raft/library.hpp"

#include "messages/check.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <string>
#include <utility>

extern "C" {
#include <raft.h>
}

namespace ovir::raft {

namespace {

constexpr std::size_t filler_bytes = 8; ///< of entries that have none: the library wants some
constexpr unsigned install_ms = 1'000;  ///< before a snapshot is sent again

/// Memory that the library frees.
template <class T = void>
T* library_memory(std::size_t bytes) {
  void* const memory = raft_malloc(std::max<std::size_t>(bytes, 1));
  OVIR_CHECK(memory != nullptr, bytes);
  std::memset(memory, 0, std::max<std::size_t>(bytes, 1));
  return static_cast<T*>(memory);
}

raft_buffer library_copy(std::span<const std::byte> bytes) {
  raft_buffer out{library_memory(bytes.size()), bytes.size()};
  if (!bytes.empty()) {
    std::memcpy(out.base, bytes.data(), bytes.size());
  }
  return out;
}

std::vector<std::byte> own_copy(const raft_buffer& buffer) {
  const auto* const from = static_cast<const std::byte*>(buffer.base);
  return {from, from + buffer.len};
}

/// The servers of a group as the library wants them: numbers, and addresses that are never used.
class servers_of {
public:
  explicit servers_of(std::uint8_t count) {
    raft_configuration_init(&servers_);
    for (unsigned n = 1; n <= count; ++n) {
      OVIR_CHECK(raft_configuration_add(&servers_, n, std::to_string(n).c_str(), RAFT_VOTER) == 0);
    }
  }
  ~servers_of() { raft_configuration_close(&servers_); }
  servers_of(const servers_of&) = delete;
  servers_of& operator=(const servers_of&) = delete;

  /// For the library to keep.
  raft_configuration give() {
    const raft_configuration given = servers_;
    raft_configuration_init(&servers_);
    return given;
  }
  [[nodiscard]] raft_buffer encoded() const {
    raft_buffer bytes{};
    OVIR_CHECK(raft_configuration_encode(&servers_, &bytes) == 0);
    return bytes;
  }

private:
  raft_configuration servers_{};
};

raft_buffer buffer_of(const entry& e, std::uint8_t servers) {
  switch (e.kind) {
  case entry_kind::servers: return servers_of{servers}.encoded();
  case entry_kind::barrier: return {library_memory(filler_bytes), filler_bytes};
  case entry_kind::command: break;
  }
  return library_copy(e.bytes);
}

entry entry_of(const ::raft_entry& e) {
  entry out{e.term, static_cast<entry_kind>(e.type), {}};
  if (out.kind == entry_kind::command) {
    out.bytes = own_copy(e.buf);
  }
  return out;
}
static_assert(static_cast<int>(entry_kind::command) == RAFT_COMMAND &&
              static_cast<int>(entry_kind::barrier) == RAFT_BARRIER &&
              static_cast<int>(entry_kind::servers) == RAFT_CHANGE);

/// Entries in one piece of memory, which is how the library wants what it received.
::raft_entry* in_one_piece(const std::vector<entry>& entries, std::uint8_t servers) {
  if (entries.empty()) {
    return nullptr;
  }
  std::vector<raft_buffer> buffers;
  std::size_t bytes = 0;
  for (const entry& e : entries) {
    buffers.push_back(buffer_of(e, servers));
    bytes += (buffers.back().len + filler_bytes - 1) / filler_bytes * filler_bytes;
  }
  auto* const batch = library_memory<std::byte>(bytes);
  auto* const out = library_memory<::raft_entry>(entries.size() * sizeof(::raft_entry));
  std::byte* to = batch;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    std::memcpy(to, buffers[i].base, buffers[i].len);
    raft_free(buffers[i].base);
    out[i].term = entries[i].term;
    out[i].type = static_cast<unsigned short>(entries[i].kind);
    out[i].buf = {to, buffers[i].len};
    out[i].batch = batch;
    to += (buffers[i].len + filler_bytes - 1) / filler_bytes * filler_bytes;
  }
  return out;
}

} // namespace

/// The library's object, and its functions for disk, network, time and chance.
class library::server {
public:
  server(journal& log, library_owner& owner, const timing& times, milliseconds now)
      : log_(log), owner_(owner), now_(now) {
    io_.version = 1;
    io_.impl = this;
    io_.init = [](raft_io*, raft_id, const char*) { return 0; };
    io_.close = on_close;
    io_.load = on_load;
    io_.start = on_start;
    io_.bootstrap = [](raft_io*, const raft_configuration*) { return RAFT_CANTBOOTSTRAP; };
    io_.recover = [](raft_io*, const raft_configuration*) { return RAFT_CANTBOOTSTRAP; };
    io_.set_term = on_term;
    io_.set_vote = on_vote;
    io_.send = on_send;
    io_.append = on_append;
    io_.truncate = on_truncate;
    io_.snapshot_put = on_snapshot_put;
    io_.snapshot_get = on_snapshot_get;
    io_.time = [](raft_io* io) { return static_cast<raft_time>(self(io).now_.count()); };
    io_.random = [](raft_io* io, int least, int most) {
      return static_cast<int>(self(io).owner_.between(static_cast<std::uint32_t>(least),
                                                      static_cast<std::uint32_t>(most)));
    };
    fsm_.version = 1;
    fsm_.data = this;
    fsm_.apply = [](raft_fsm*, const raft_buffer*, void** value) {
      *value = nullptr;
      return 0;
    };
    fsm_.snapshot = on_snapshot;
    fsm_.restore = [](raft_fsm*, raft_buffer* bytes) {
      raft_free(bytes->base); // the journal has it
      return 0;
    };
    const std::string address = std::to_string(log_.of().self);
    OVIR_CHECK(raft_init(&raft_, &io_, &fsm_, log_.of().self, address.c_str()) == 0);
    raft_set_election_timeout(&raft_, static_cast<unsigned>(times.election.count()));
    raft_set_heartbeat_timeout(&raft_, static_cast<unsigned>(times.heartbeat.count()));
    raft_set_install_snapshot_timeout(&raft_, install_ms);
    raft_set_snapshot_threshold(&raft_, static_cast<unsigned>(limits::raft_snapshot_every));
    raft_set_snapshot_trailing(&raft_, static_cast<unsigned>(limits::raft_entries_kept));
    raft_set_pre_vote(&raft_, true);
    OVIR_CHECK(raft_start(&raft_) == 0, raft_errmsg(&raft_));
    settle();
  }
  ~server() {
    raft_close(&raft_, nullptr);
    OVIR_CHECK(closed_);
  }
  server(const server&) = delete;
  server& operator=(const server&) = delete;

  void tick(milliseconds now) {
    now_ = now;
    if (disk_) {
      tick_(&io_);
      settle();
    }
  }
  void receive(milliseconds now, std::uint8_t from, letter&& what) {
    now_ = now;
    if (!disk_) {
      return;
    }
    const std::string address = std::to_string(from);
    raft_message message{};
    message.server_id = from;
    message.server_address = address.c_str();
    if (std::visit([&](auto& m) { return fill(message, from, m); }, what)) {
      receive_(&io_, &message);
      settle();
    }
  }
  bool propose(milliseconds now, std::span<const std::byte> bytes) {
    now_ = now;
    if (!disk_ || raft_state(&raft_) != RAFT_LEADER) {
      return false;
    }
    auto* const request = library_memory<struct ::raft_apply>(sizeof(struct ::raft_apply));
    const raft_buffer buffer = library_copy(bytes);
    const int failed = ::raft_apply(&raft_, request, &buffer, 1,
                                    [](struct ::raft_apply* done, int, void*) { raft_free(done); });
    if (failed != 0) {
      raft_free(buffer.base);
      raft_free(request);
    }
    settle();
    return failed == 0;
  }
  bool barrier(milliseconds now) {
    now_ = now;
    if (!disk_ || raft_state(&raft_) != RAFT_LEADER) {
      return false;
    }
    auto* const request = library_memory<struct ::raft_barrier>(sizeof(struct ::raft_barrier));
    const int failed =
        ::raft_barrier(&raft_, request, [](struct ::raft_barrier* done, int) { raft_free(done); });
    if (failed != 0) {
      raft_free(request);
    }
    settle();
    return failed == 0;
  }

  [[nodiscard]] role now_is() const noexcept {
    if (!disk_) {
      return role::stopped;
    }
    switch (raft_.state) {
    case RAFT_LEADER: return role::leader;
    case RAFT_CANDIDATE: return role::candidate;
    case RAFT_FOLLOWER: return role::follower;
    default: return role::stopped;
    }
  }
  [[nodiscard]] std::uint64_t term() const noexcept { return raft_.current_term; }
  [[nodiscard]] std::uint64_t commit() const noexcept { return raft_.commit_index; }
  [[nodiscard]] std::uint8_t leader() const noexcept {
    if (raft_.state == RAFT_LEADER) {
      return log_.of().self;
    }
    return raft_.state == RAFT_FOLLOWER
               ? static_cast<std::uint8_t>(raft_.follower_state.current_leader.id)
               : std::uint8_t{0};
  }
  [[nodiscard]] const result<void>& disk() const noexcept { return disk_; }

private:
  static server& self(raft_io* io) { return *static_cast<server*>(io->impl); }

  // Letters in. False: the library has nothing to do with it.

  bool fill(raft_message& message, std::uint8_t, append_entries& m) const {
    message.type = RAFT_IO_APPEND_ENTRIES;
    message.append_entries = {m.term,
                              m.before,
                              m.before_term,
                              m.commit,
                              in_one_piece(m.entries, log_.of().servers),
                              static_cast<unsigned>(m.entries.size())};
    return true;
  }
  static bool fill(raft_message& message, std::uint8_t, const appended& m) {
    message.type = RAFT_IO_APPEND_ENTRIES_RESULT;
    message.append_entries_result = {m.term, m.rejected, m.last};
    return true;
  }
  static bool fill(raft_message& message, std::uint8_t from, const vote_request& m) {
    message.type = RAFT_IO_REQUEST_VOTE;
    message.request_vote = {m.term, from, m.last, m.last_term, false, m.before_term};
    return true;
  }
  static bool fill(raft_message& message, std::uint8_t, const vote_answer& m) {
    message.type = RAFT_IO_REQUEST_VOTE_RESULT;
    message.request_vote_result = {m.term, m.granted, TO_RAFT_TRIBOOL(m.before_term)};
    return true;
  }
  bool fill(raft_message& message, std::uint8_t, const install_snapshot& m) const {
    message.type = RAFT_IO_INSTALL_SNAPSHOT;
    message.install_snapshot = {m.term,
                                m.content.index,
                                m.content.term,
                                servers_of{log_.of().servers}.give(),
                                1,
                                library_copy(m.content.bytes)};
    return true;
  }
  static bool fill(raft_message&, std::uint8_t, const ask_standing&) { return false; }
  static bool fill(raft_message&, std::uint8_t, const standing&) { return false; }

  // Letters out

  static std::optional<letter> letter_of(const raft_message& message) {
    switch (message.type) {
    case RAFT_IO_APPEND_ENTRIES: {
      const raft_append_entries& m = message.append_entries;
      append_entries out{m.term, m.prev_log_index, m.prev_log_term, m.leader_commit, {}};
      std::size_t bytes = 0;
      for (unsigned i = 0; i < m.n_entries && i < limits::raft_letter_entries_max; ++i) {
        bytes += m.entries[i].buf.len;
        if (i > 0 && bytes > limits::raft_letter_body_bytes_max) {
          break;
        }
        out.entries.push_back(entry_of(m.entries[i]));
      }
      return out;
    }
    case RAFT_IO_APPEND_ENTRIES_RESULT: {
      const raft_append_entries_result& m = message.append_entries_result;
      return appended{m.term, m.rejected, m.last_log_index};
    }
    case RAFT_IO_REQUEST_VOTE: {
      const raft_request_vote& m = message.request_vote;
      return vote_request{m.term, m.last_log_index, m.last_log_term, m.pre_vote};
    }
    case RAFT_IO_REQUEST_VOTE_RESULT: {
      const raft_request_vote_result& m = message.request_vote_result;
      return vote_answer{m.term, m.vote_granted, m.pre_vote == raft_tribool_true};
    }
    case RAFT_IO_INSTALL_SNAPSHOT: {
      const raft_install_snapshot& m = message.install_snapshot;
      return install_snapshot{m.term, {m.last_index, m.last_term, own_copy(m.data)}};
    }
    default: return std::nullopt; // it hands leadership over only when told to
    }
  }

  static int on_send(raft_io* io, raft_io_send* request, const raft_message* message,
                     raft_io_send_cb done) {
    if (auto what = letter_of(*message)) {
      self(io).outbox_.emplace_back(static_cast<std::uint8_t>(message->server_id),
                                    *std::move(what));
    }
    self(io).finish_later([request, done](int status) { done(request, status); });
    return 0;
  }

  // The disk

  static int on_load(raft_io* io, raft_term* term, raft_id* vote, ::raft_snapshot** before,
                     raft_index* first, ::raft_entry** entries, size_t* count) {
    const journal& log = self(io).log_;
    const journal_state& state = log.state();
    *term = state.term;
    *vote = state.vote;
    *before = state.before ? library_snapshot(log) : nullptr;
    *first = state.first;
    *count = state.entries.size();
    *entries = state.entries.empty() ? nullptr
                                     : library_memory<::raft_entry>(*count * sizeof(::raft_entry));
    for (std::size_t i = 0; i < *count; ++i) {
      (*entries)[i].term = state.entries[i].term;
      (*entries)[i].type = static_cast<unsigned short>(state.entries[i].kind);
      (*entries)[i].buf = buffer_of(state.entries[i], log.of().servers);
    }
    return 0;
  }
  static ::raft_snapshot* library_snapshot(const journal& log) {
    const snapshot& from = *log.state().before;
    auto* const out = library_memory<::raft_snapshot>(sizeof(::raft_snapshot));
    out->index = from.index;
    out->term = from.term;
    out->configuration = servers_of{log.of().servers}.give();
    out->configuration_index = 1;
    out->bufs = library_memory<raft_buffer>(sizeof(raft_buffer));
    out->bufs[0] = library_copy(from.bytes);
    out->n_bufs = 1;
    return out;
  }
  static int on_term(raft_io* io, raft_term term) {
    self(io).log_.vote(term, 0);
    self(io).vote_changed_ = true;
    return 0;
  }
  static int on_vote(raft_io* io, raft_id server) {
    journal& log = self(io).log_;
    log.vote(log.state().term, static_cast<std::uint8_t>(server));
    self(io).vote_changed_ = true;
    return 0;
  }
  static int on_append(raft_io* io, raft_io_append* request, const ::raft_entry* entries,
                       unsigned count, raft_io_append_cb done) {
    for (unsigned i = 0; i < count; ++i) {
      self(io).log_.append(entry_of(entries[i]));
    }
    self(io).finish_later([request, done](int status) { done(request, status); });
    return 0;
  }
  static int on_truncate(raft_io* io, raft_index index) {
    self(io).log_.cut(index);
    return 0;
  }
  static int on_snapshot_put(raft_io* io, unsigned kept, raft_io_snapshot_put* request,
                             const ::raft_snapshot* from, raft_io_snapshot_put_cb done) {
    server& s = self(io);
    snapshot of{from->index, from->term, own_copy(from->bufs[0])};
    // Without kept ones it is another server's.
    const auto written =
        kept == 0 ? s.log_.replace(std::move(of)) : s.log_.take(std::move(of), kept);
    if (!written) {
      s.stop(written.error());
    }
    s.finish_later([request, done](int status) { done(request, status); });
    return 0;
  }
  static int on_snapshot_get(raft_io* io, raft_io_snapshot_get* request,
                             raft_io_snapshot_get_cb done) {
    server& s = self(io);
    s.finish_later([request, done, &log = s.log_](int status) {
      done(request, status == 0 ? library_snapshot(log) : nullptr, status);
    });
    return 0;
  }
  static int on_snapshot(raft_fsm* fsm, raft_buffer** buffers, unsigned* count) {
    server& s = *static_cast<server*>(fsm->data);
    const auto bytes = s.owner_.snapshot_at(s.raft_.last_applied);
    if (!bytes) {
      return RAFT_BUSY; // it asks again
    }
    *buffers = library_memory<raft_buffer>(sizeof(raft_buffer));
    (*buffers)[0] = library_copy(*bytes);
    *count = 1;
    return 0;
  }

  static int on_start(raft_io* io, unsigned, raft_io_tick_cb tick, raft_io_recv_cb receive) {
    self(io).tick_ = tick;
    self(io).receive_ = receive;
    return 0;
  }
  static void on_close(raft_io* io, raft_io_close_cb done) {
    server& s = self(io);
    s.outbox_.clear();
    for (auto& finish : std::exchange(s.finishing_, {})) {
      finish(RAFT_CANCELED);
    }
    s.closed_ = true;
    done(io);
  }

  /// Its requests may only be answered behind the call that makes them.
  void finish_later(std::function<void(int status)> finish) {
    finishing_.push_back(std::move(finish));
  }
  void stop(const error& reason) {
    if (disk_) {
      disk_ = reason;
    }
  }
  /// Sends, writes and answers until nothing is left, so that no other event comes between.
  void settle() {
    while (disk_ && (!outbox_.empty() || !finishing_.empty() || vote_changed_)) {
      if (!vote_changed_) {
        send_out([](const letter& what) { return std::holds_alternative<append_entries>(what); });
      }
      if (const auto written = log_.flush(); !written) {
        return stop(written.error());
      }
      vote_changed_ = false;
      send_out([](const letter&) { return true; });
      for (auto& finish : std::exchange(finishing_, {})) {
        finish(0);
      }
    }
  }
  template <class Which>
  void send_out(Which which) {
    auto all = std::exchange(outbox_, {});
    for (auto& [to, what] : all) {
      if (which(what)) {
        owner_.send(to, std::move(what));
      } else {
        outbox_.emplace_back(to, std::move(what));
      }
    }
  }

  journal& log_;
  library_owner& owner_;
  milliseconds now_;
  struct ::raft raft_ {};
  raft_io io_{};
  raft_fsm fsm_{};
  raft_io_tick_cb tick_{nullptr};
  raft_io_recv_cb receive_{nullptr};
  std::vector<std::pair<std::uint8_t, letter>> outbox_;
  std::vector<std::function<void(int)>> finishing_;
  bool vote_changed_{false};
  bool closed_{false};
  result<void> disk_{};
};

library::library(journal& log, library_owner& owner, const timing& times, milliseconds now)
    : server_(std::make_unique<server>(log, owner, times, now)) {}
library::~library() = default;

void library::tick(milliseconds now) { server_->tick(now); }
void library::receive(milliseconds now, std::uint8_t from, letter&& what) {
  server_->receive(now, from, std::move(what));
}
bool library::propose(milliseconds now, std::span<const std::byte> bytes) {
  return server_->propose(now, bytes);
}
bool library::barrier(milliseconds now) { return server_->barrier(now); }
role library::now_is() const noexcept { return server_->now_is(); }
std::uint64_t library::term() const noexcept { return server_->term(); }
std::uint64_t library::commit() const noexcept { return server_->commit(); }
std::uint8_t library::leader() const noexcept { return server_->leader(); }
const result<void>& library::disk() const noexcept { return server_->disk(); }

} // namespace ovir::raft
