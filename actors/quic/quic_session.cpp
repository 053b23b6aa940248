#include "actors/quic/quic_session.hpp"

#include "messages/limits/general.hpp"
#include "messages/limits/quic.hpp"

#include <ngtcp2/ngtcp2_crypto_gnutls.h>

#include <algorithm>
#include <array>

namespace ovir::actors {

namespace {

constexpr std::string_view quic_exporter_label = "EXPORTER-ovir-link";
/// Pieces of queued messages that go into one datagram.
constexpr std::size_t pieces_max = 8;
constexpr std::uint64_t never = ~std::uint64_t{0};

ngtcp2_tstamp stamp(quic_time t) { return static_cast<ngtcp2_tstamp>(t.count()); }

ngtcp2_cid cid_of(const quic_id& id) {
  ngtcp2_cid cid{};
  ngtcp2_cid_init(&cid, id.data(), id.size());
  return cid;
}

quic_id id_of(const ngtcp2_cid& cid) {
  quic_id id{};
  std::copy_n(cid.data, std::min(cid.datalen, id.size()), id.begin());
  return id;
}

} // namespace

/// What ngtcp2 calls while it takes in a datagram or writes one.
struct quic_session::callbacks {
  static quic_session& of(void* user) { return *static_cast<quic_session*>(user); }

  static ngtcp2_conn* conn_of(ngtcp2_crypto_conn_ref* ref) {
    return of(ref->user_data).conn_.get();
  }

  static void draw(std::uint8_t* out, std::size_t bytes, const ngtcp2_rand_ctx* from) {
    const auto& chance = *static_cast<const quic_chance*>(from->native_handle);
    chance(std::as_writable_bytes(std::span{out, bytes}));
  }
  static int new_id(ngtcp2_conn* /*conn*/, ngtcp2_cid* cid, std::uint8_t* token, std::size_t bytes,
                    void* user) {
    quic_session& self = of(user);
    if (bytes != quic_id_bytes) {
      return NGTCP2_ERR_CALLBACK_FAILURE;
    }
    *cid = cid_of(self.draw_id());
    const auto secret = self.identity_.secret();
    return ngtcp2_crypto_generate_stateless_reset_token(token, secret.data(), secret.size(), cid) ==
                   0
               ? 0
               : NGTCP2_ERR_CALLBACK_FAILURE;
  }
  static int old_id(ngtcp2_conn* /*conn*/, const ngtcp2_cid* cid, void* user) {
    of(user).names_.removed.push_back(id_of(*cid));
    return 0;
  }
  static int handshake_over(ngtcp2_conn* /*conn*/, void* user) { return of(user).on_ready(); }
  static int opened(ngtcp2_conn* /*conn*/, quic_stream stream, void* user) {
    quic_session& self = of(user);
    self.out_.try_emplace(stream);
    self.to_.opened(stream);
    return 0;
  }
  static int bytes(ngtcp2_conn* conn, std::uint32_t flags, quic_stream stream,
                   std::uint64_t /*offset*/, const std::uint8_t* data, std::size_t size, void* user,
                   void* /*stream_user*/) {
    // The bound is each stream's own: one that is not read holds no other one up.
    ngtcp2_conn_extend_max_offset(conn, size);
    of(user).to_.received(stream, std::as_bytes(std::span{data, size}),
                          (flags & NGTCP2_STREAM_DATA_FLAG_FIN) != 0);
    return 0;
  }
  static int acked(ngtcp2_conn* /*conn*/, quic_stream stream, std::uint64_t /*offset*/,
                   std::uint64_t size, void* user, void* /*stream_user*/) {
    quic_session& self = of(user);
    if (const auto at = self.out_.find(stream); at != self.out_.end()) {
      self.take_acked(at->second, size);
      self.to_.acked(stream, size);
    }
    return 0;
  }
  static int closed(ngtcp2_conn* conn, std::uint32_t /*flags*/, quic_stream stream,
                    std::uint64_t /*code*/, void* user, void* /*stream_user*/) {
    quic_session& self = of(user);
    self.lost_ += ngtcp2_conn_get_stream_loss_count(conn, stream);
    self.out_.erase(stream);
    if (ngtcp2_conn_is_local_stream(conn, stream) == 0) {
      ngtcp2_conn_extend_max_streams_bidi(conn, 1);
    }
    self.to_.ended(stream);
    return 0;
  }
  static int given_up(ngtcp2_conn* /*conn*/, quic_stream stream, std::uint64_t /*size*/,
                      std::uint64_t /*code*/, void* user, void* /*stream_user*/) {
    of(user).to_.ended(stream);
    return 0;
  }

  static ngtcp2_callbacks table() {
    ngtcp2_callbacks table{};
    table.client_initial = ngtcp2_crypto_client_initial_cb;
    table.recv_client_initial = ngtcp2_crypto_recv_client_initial_cb;
    table.recv_crypto_data = ngtcp2_crypto_recv_crypto_data_cb;
    table.handshake_completed = handshake_over;
    table.encrypt = ngtcp2_crypto_encrypt_cb;
    table.decrypt = ngtcp2_crypto_decrypt_cb;
    table.hp_mask = ngtcp2_crypto_hp_mask_cb;
    table.recv_stream_data = bytes;
    table.acked_stream_data_offset = acked;
    table.stream_open = opened;
    table.stream_close = closed;
    table.recv_retry = ngtcp2_crypto_recv_retry_cb;
    table.rand = draw;
    table.get_new_connection_id = new_id;
    table.remove_connection_id = old_id;
    table.update_key = ngtcp2_crypto_update_key_cb;
    table.stream_reset = given_up;
    table.delete_crypto_aead_ctx = ngtcp2_crypto_delete_crypto_aead_ctx_cb;
    table.delete_crypto_cipher_ctx = ngtcp2_crypto_delete_crypto_cipher_ctx_cb;
    table.get_path_challenge_data = ngtcp2_crypto_get_path_challenge_data_cb;
    table.version_negotiation = ngtcp2_crypto_version_negotiation_cb;
    return table;
  }
};

// Beginning

quic_session::quic_session(const quic_identity& identity, const quic_chance& chance,
                           quic_listener& to, const udp_address& peer)
    : identity_(identity), chance_(chance), to_(to), peer_(peer) {
  ref_.get_conn = callbacks::conn_of;
  ref_.user_data = this;
  sockaddr_storage remote{};
  sockaddr_storage local{};
  udp_address here; // which of this machine's it is makes no difference: nothing migrates
  here.six = peer.six;
  const socklen_t remote_bytes = to_system(peer, remote);
  const socklen_t local_bytes = to_system(here, local);
  ngtcp2_path_storage_init(&path_, reinterpret_cast<const sockaddr*>(&local), local_bytes,
                           reinterpret_cast<const sockaddr*>(&remote), remote_bytes, nullptr);
}

quic_session::~quic_session() = default;

quic_id quic_session::draw_id() {
  quic_id id{};
  chance_(std::as_writable_bytes(std::span{id}));
  names_.added.push_back(id);
  return id;
}

ngtcp2_settings quic_session::settings_at(quic_time now) const {
  ngtcp2_settings settings{};
  ngtcp2_settings_default(&settings);
  settings.initial_ts = stamp(now);
  settings.cc_algo = NGTCP2_CC_ALGO_BBR; // CUBIC takes each lost packet for a full buffer
  settings.initial_rtt =
      static_cast<ngtcp2_duration>(std::chrono::nanoseconds{limits::quic_first_round_trip}.count());
  settings.max_tx_udp_payload_size = limits::quic_datagram_bytes_max;
  settings.handshake_timeout =
      static_cast<ngtcp2_duration>(std::chrono::nanoseconds{limits::admission_deadline}.count());
  settings.rand_ctx.native_handle = const_cast<quic_chance*>(&chance_);
  return settings;
}

namespace {

ngtcp2_transport_params quic_parameters() {
  ngtcp2_transport_params params{};
  ngtcp2_transport_params_default(&params);
  params.initial_max_stream_data_bidi_local = limits::quic_hello_window;
  params.initial_max_stream_data_bidi_remote = limits::quic_hello_window;
  params.initial_max_streams_bidi = limits::quic_streams_unproven_max;
  params.initial_max_data = limits::quic_hello_window * limits::quic_streams_unproven_max;
  params.max_idle_timeout =
      static_cast<ngtcp2_duration>(std::chrono::nanoseconds{limits::quic_idle_timeout}.count());
  params.disable_active_migration = 1;
  return params;
}

} // namespace

result<void> quic_session::begin(const quic_opening* opening, quic_time now) {
  OVIR_ASSIGN(tls_, identity_.session(opening != nullptr));
  gnutls_session_set_ptr(tls_.get(), &ref_);
  ngtcp2_transport_params params = quic_parameters();
  ngtcp2_settings settings = settings_at(now);
  const ngtcp2_callbacks table = callbacks::table();
  const ngtcp2_cid own = cid_of(draw_id());
  ngtcp2_conn* conn = nullptr;
  int problem = 0;
  if (opening != nullptr) {
    params.original_dcid = opening->original;
    params.retry_scid = opening->retried;
    params.retry_scid_present = 1;
    params.stateless_reset_token_present = 1;
    const auto secret = identity_.secret();
    problem = ngtcp2_crypto_generate_stateless_reset_token(params.stateless_reset_token,
                                                           secret.data(), secret.size(), &own);
    settings.token = {const_cast<std::uint8_t*>(opening->token.data()), opening->token.size()};
    if (problem == 0) {
      problem = ngtcp2_conn_server_new(&conn, &opening->client, &own, &path_.path, opening->version,
                                       &table, &settings, &params, nullptr, this);
    }
    names_.added.push_back(id_of(opening->retried)); // until the client has ours
  } else {
    quic_id drawn{};
    chance_(std::as_writable_bytes(std::span{drawn}));
    const ngtcp2_cid first = cid_of(drawn);
    problem = ngtcp2_conn_client_new(&conn, &first, &own, &path_.path, NGTCP2_PROTO_VER_V1, &table,
                                     &settings, &params, nullptr, this);
  }
  conn_.reset(conn);
  if (problem == 0) {
    problem = opening != nullptr ? ngtcp2_crypto_gnutls_configure_server_session(tls_.get())
                                 : ngtcp2_crypto_gnutls_configure_client_session(tls_.get());
  }
  if (problem != 0) {
    return fail(errc::internal, "QUIC cannot begin a connection: {}", ngtcp2_strerror(problem));
  }
  ngtcp2_conn_set_tls_native_handle(conn, tls_.get());
  ngtcp2_conn_set_keep_alive_timeout(
      conn,
      static_cast<ngtcp2_duration>(std::chrono::nanoseconds{limits::quic_keep_alive}.count()));
  return {};
}

result<std::unique_ptr<quic_session>>
quic_session::connect(const quic_identity& identity, const quic_chance& chance, quic_listener& to,
                      const udp_address& peer, quic_time now) {
  std::unique_ptr<quic_session> session{new quic_session{identity, chance, to, peer}};
  OVIR_TRY(session->begin(nullptr, now));
  return session;
}

result<std::unique_ptr<quic_session>>
quic_session::accept(const quic_identity& identity, const quic_chance& chance, quic_listener& to,
                     const udp_address& peer, const quic_opening& opening, quic_time now) {
  std::unique_ptr<quic_session> session{new quic_session{identity, chance, to, peer}};
  OVIR_TRY(session->begin(&opening, now));
  return session;
}

int quic_session::on_ready() {
  const auto node = node_of_session(tls_.get());
  gnutls_datum_t protocol{};
  const bool same = gnutls_alpn_get_selected_protocol(tls_.get(), &protocol) == 0 &&
                    std::string_view{reinterpret_cast<const char*>(protocol.data), protocol.size} ==
                        quic_protocol;
  if (!node || !same) {
    problem_ = node ? "the peer speaks another protocol" : node.error().message;
    return NGTCP2_ERR_CALLBACK_FAILURE;
  }
  ready_ = true;
  to_.ready(*node);
  return 0;
}

/// In ngtcp2's time, which must not go back: a round trip would be negative.
std::uint64_t quic_session::reached(quic_time now) {
  latest_ = std::max(latest_, now);
  return stamp(latest_);
}

// Receiving

void quic_session::receive(const udp_address& from, std::span<const std::byte> datagram,
                           quic_time now) {
  if (end_ || from != peer_) {
    return;
  }
  const ngtcp2_pkt_info info{};
  const int problem = ngtcp2_conn_read_pkt(conn_.get(), &path_.path, &info,
                                           reinterpret_cast<const std::uint8_t*>(datagram.data()),
                                           datagram.size(), reached(now));
  if (problem != 0) {
    fail_with(problem, now);
    return;
  }
  heard_ = now;
  for (auto& [stream, o] : out_) {
    o.blocked = false; // the peer may have granted more, on the stream or on the connection
  }
}

std::optional<quic_time> quic_session::deadline() const {
  const ngtcp2_tstamp next = end_ ? never : ngtcp2_conn_get_expiry(conn_.get());
  return next == never ? std::nullopt : std::optional{quic_time{static_cast<std::int64_t>(next)}};
}

void quic_session::on_time(quic_time now) {
  if (end_) {
    return;
  }
  if (const int problem = ngtcp2_conn_handle_expiry(conn_.get(), reached(now)); problem != 0) {
    fail_with(problem, now);
  }
}

// Sending

std::map<quic_stream, quic_session::outgoing>::iterator quic_session::next_to_send() {
  auto chosen = out_.end();
  auto better = [&](const auto& a, const auto& b) { // a before b
    if (a.second.rank != b.second.rank) {
      return a.second.rank < b.second.rank;
    }
    return (a.first > turn_) != (b.first > turn_) ? a.first > turn_ : a.first < b.first;
  };
  for (auto at = out_.begin(); at != out_.end(); ++at) {
    if (at->second.waits() && (chosen == out_.end() || better(*at, *chosen))) {
      chosen = at;
    }
  }
  return chosen;
}

void quic_session::sent(outgoing& from, std::size_t bytes, bool end) {
  while (bytes > 0) {
    const std::size_t left = from.blocks[from.next]->size() - from.next_sent;
    const std::size_t taken = std::min(bytes, left);
    bytes -= taken;
    from.next_sent += taken;
    if (taken == left) {
      ++from.next;
      from.next_sent = 0;
    }
  }
  // Empty blocks are never queued.
  from.finished = from.finished || (end && from.next == from.blocks.size());
}

void quic_session::take_acked(outgoing& of, std::uint64_t bytes) {
  while (bytes > 0 && !of.blocks.empty()) {
    const std::uint64_t left = of.blocks.front()->size() - of.first_acked;
    if (bytes < left) {
      of.first_acked += static_cast<std::size_t>(bytes);
      return;
    }
    bytes -= left;
    of.blocks.pop_front();
    of.first_acked = 0;
    --of.next;
  }
}

std::size_t quic_session::write(std::span<std::byte> out, quic_time now) {
  OVIR_CHECK(out.size() >= limits::quic_datagram_bytes_max, out.size());
  if (!last_words_.empty()) {
    const std::size_t bytes = std::min(last_words_.size(), out.size());
    std::copy_n(last_words_.begin(), bytes, out.begin());
    last_words_.clear();
    return bytes;
  }
  return end_ ? 0 : fill(out.first(limits::quic_datagram_bytes_max), now);
}

std::size_t quic_session::fill(std::span<std::byte> out, quic_time now) {
  auto* const into = reinterpret_cast<std::uint8_t*>(out.data());
  while (true) {
    const auto from = ready_ ? next_to_send() : out_.end();
    std::array<ngtcp2_vec, pieces_max> pieces{};
    std::size_t count = 0;
    std::uint32_t flags = NGTCP2_WRITE_STREAM_FLAG_NONE;
    if (from != out_.end()) {
      const outgoing& o = from->second;
      std::size_t all = 0;
      std::size_t at = o.next;
      for (; at < o.blocks.size() && count < pieces_max && all < out.size(); ++at) {
        const std::size_t skipped = at == o.next ? o.next_sent : 0;
        const std::byte* const first = o.blocks[at]->data() + skipped;
        const std::size_t bytes = o.blocks[at]->size() - skipped;
        pieces[count++] = {const_cast<std::uint8_t*>(reinterpret_cast<const std::uint8_t*>(first)),
                           bytes};
        all += bytes;
      }
      flags = NGTCP2_WRITE_STREAM_FLAG_MORE;
      if (o.finish && at == o.blocks.size()) {
        flags |= NGTCP2_WRITE_STREAM_FLAG_FIN;
      }
    }
    ngtcp2_ssize taken = -1;
    const ngtcp2_ssize bytes = ngtcp2_conn_writev_stream(
        conn_.get(), nullptr, nullptr, into, out.size(), &taken, flags,
        from == out_.end() ? -1 : from->first, pieces.data(), count, reached(now));
    if (from != out_.end() && taken >= 0) {
      sent(from->second, static_cast<std::size_t>(taken),
           (flags & NGTCP2_WRITE_STREAM_FLAG_FIN) != 0);
      turn_ = from->first;
    }
    if (bytes >= 0) {
      return static_cast<std::size_t>(bytes);
    }
    switch (bytes) {
    case NGTCP2_ERR_WRITE_MORE: continue;
    case NGTCP2_ERR_STREAM_DATA_BLOCKED: from->second.blocked = true; continue;
    case NGTCP2_ERR_STREAM_SHUT_WR: from->second.dropped = true; continue;
    case NGTCP2_ERR_STREAM_NOT_FOUND: out_.erase(from); continue;
    default: fail_with(static_cast<int>(bytes), now); return 0;
    }
  }
}

void quic_session::written(quic_time now) {
  if (!end_) {
    ngtcp2_conn_update_pkt_tx_time(conn_.get(), reached(now));
  }
}

// Streams

std::optional<quic_stream> quic_session::open(int rank) {
  quic_stream stream = -1;
  if (end_ || !ready_ || ngtcp2_conn_open_bidi_stream(conn_.get(), &stream, nullptr) != 0) {
    return std::nullopt;
  }
  out_.try_emplace(stream).first->second.rank = rank;
  return stream;
}

void quic_session::rank(quic_stream stream, int rank) {
  if (const auto at = out_.find(stream); at != out_.end()) {
    at->second.rank = rank;
  }
}

void quic_session::queue(quic_stream stream, block bytes) {
  const auto at = out_.find(stream);
  if (at != out_.end() && !at->second.dropped && !bytes->empty()) {
    at->second.blocks.push_back(std::move(bytes));
  }
}

void quic_session::finish(quic_stream stream) {
  if (const auto at = out_.find(stream); at != out_.end()) {
    at->second.finish = true;
  }
}

void quic_session::drop(quic_stream stream) {
  if (!end_) {
    (void)ngtcp2_conn_shutdown_stream(conn_.get(), stream, 0); // one that is over already is fine
    if (const auto at = out_.find(stream); at != out_.end()) {
      at->second.dropped = true;
    }
  }
}

void quic_session::grant(quic_stream stream, std::size_t bytes) {
  if (!end_) {
    (void)ngtcp2_conn_extend_max_stream_offset(conn_.get(), stream, bytes);
  }
}

void quic_session::grant_connection(std::size_t bytes) {
  if (!end_) {
    ngtcp2_conn_extend_max_offset(conn_.get(), bytes);
  }
}

void quic_session::grant_streams(std::size_t count) {
  if (!end_) {
    ngtcp2_conn_extend_max_streams_bidi(conn_.get(), count);
  }
}

// The end

namespace {

std::string words_for(int problem, std::uint8_t alert) {
  const char* const name =
      alert == 0 ? nullptr : gnutls_alert_get_name(static_cast<gnutls_alert_description_t>(alert));
  return name == nullptr ? std::string{ngtcp2_strerror(problem)} : fmt::format("TLS: {}", name);
}

} // namespace

void quic_session::over(error reason) {
  if (!end_) {
    end_ = std::move(reason);
    out_.clear();
  }
}

void quic_session::say_close(const ngtcp2_connection_close_error& how, quic_time now) {
  std::vector<std::byte> words(limits::quic_datagram_bytes_max);
  const ngtcp2_ssize bytes = ngtcp2_conn_write_connection_close(
      conn_.get(), nullptr, nullptr, reinterpret_cast<std::uint8_t*>(words.data()), words.size(),
      &how, reached(now));
  if (bytes > 0) {
    words.resize(static_cast<std::size_t>(bytes));
    last_words_ = std::move(words);
  }
}

void quic_session::close(const error& reason, quic_time now) {
  if (end_) {
    return;
  }
  ngtcp2_connection_close_error how{};
  ngtcp2_connection_close_error_set_application_error(&how, static_cast<std::uint64_t>(reason.code),
                                                      nullptr, 0);
  say_close(how, now);
  over(reason);
}

void quic_session::fail_with(int problem, quic_time now) {
  switch (problem) {
  case NGTCP2_ERR_DRAINING: {
    ngtcp2_connection_close_error how{};
    ngtcp2_conn_get_connection_close_error(conn_.get(), &how);
    // Its text is not repeated: each channel says its own goodbye.
    over(fail(errc::peer_lost, "{} closed the connection (QUIC's code {:#x})", to_string(peer_),
              how.error_code));
    return;
  }
  case NGTCP2_ERR_IDLE_CLOSE:
    over(fail(errc::timed_out, "nothing was heard of {} for {} s", to_string(peer_),
              limits::quic_idle_timeout.count()));
    return;
  case NGTCP2_ERR_HANDSHAKE_TIMEOUT:
    over(fail(errc::timed_out, "the QUIC handshake with {} took longer than {} ms",
              to_string(peer_), limits::admission_deadline.count()));
    return;
  case NGTCP2_ERR_RETRY:
  case NGTCP2_ERR_DROP_CONN:
    over(fail(errc::malformed, "{} does not begin a QUIC connection", to_string(peer_)));
    return;
  default: break;
  }
  ngtcp2_connection_close_error how{};
  ngtcp2_connection_close_error_default(&how);
  const std::uint8_t alert =
      problem == NGTCP2_ERR_CRYPTO ? ngtcp2_conn_get_tls_alert(conn_.get()) : std::uint8_t{0};
  if (alert != 0) {
    ngtcp2_connection_close_error_set_transport_error_tls_alert(&how, alert, nullptr, 0);
  } else {
    ngtcp2_connection_close_error_set_transport_error_liberr(&how, problem, nullptr, 0);
  }
  say_close(how, now);
  over(fail(errc::malformed, "{} broke QUIC: {}", to_string(peer_),
            problem_.empty() ? words_for(problem, alert) : problem_));
}

result<std::array<std::byte, exporter_bytes>> quic_session::exporter() const {
  std::array<std::byte, exporter_bytes> secret{};
  const int problem =
      gnutls_prf_rfc5705(tls_.get(), quic_exporter_label.size(), quic_exporter_label.data(), 0,
                         nullptr, secret.size(), reinterpret_cast<char*>(secret.data()));
  if (problem != 0) {
    return fail(errc::internal, "TLS exports no secret of a connection: {}",
                gnutls_strerror(problem));
  }
  return secret;
}

quic_session::names quic_session::take_names() { return std::exchange(names_, {}); }

quic_session::figures quic_session::measured() const {
  figures now;
  ngtcp2_conn_stat stat{};
  ngtcp2_conn_get_conn_stat(conn_.get(), &stat);
  now.rtt = std::chrono::nanoseconds{
      stat.first_rtt_sample_ts == never ? 0 : static_cast<std::int64_t>(stat.smoothed_rtt)};
  now.lost = lost_;
  for (const auto& [stream, unused] : out_) {
    now.lost += ngtcp2_conn_get_stream_loss_count(conn_.get(), stream);
  }
  return now;
}

} // namespace ovir::actors
