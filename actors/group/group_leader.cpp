#include "actors/group/group_leader.hpp"

#include "compute/parts/cut_cost.hpp"
#include "compute/parts/kv_rows.hpp"
#include "compute/parts/pass_boundaries.hpp"
#include "messages/check.hpp"
#include "messages/limits/general.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <map>
#include <utility>

namespace ovir::actors {

using compute::engine_pass;
using compute::engine_session;
using compute::kv_place;

/// What the leader keeps of a request.
struct group_leader::request final : compute::engine_state {
  std::uint64_t group{0};
  std::uint64_t number{0};
  std::uint32_t capacity{0};
  std::optional<compute::kv_cache> kv{}; ///< of the leader's heads
  position synced{0};                    ///< positions before it are those of the request's cache
  std::optional<compute::part_record> record{}; ///< where parts are signed
};

/// Runs of a pass, of all its requests, and who signed them so far.
struct group_leader::signed_pass {
  struct runs_of_window {
    std::uint64_t request{0};
    position first{0}; ///< of the pass
    std::vector<compute::part_run> runs;
    std::vector<compute::part_proof> proofs; ///< by member, of those that were asked
  };
  std::vector<runs_of_window> all;
};

group_leader::group_leader(const group_seat& seat, std::unique_ptr<compute::segment_part> part,
                           std::unique_ptr<compute::segment_part> alone,
                           std::shared_ptr<group_links> links)
    : part_(std::move(part)), alone_(std::move(alone)), links_(std::move(links)),
      passes_(seat, *part_, *links_), records_(*part_), layers_(part_->cut().layers),
      rows_max_(compute::rows_that_fit(part_->config(), part_->cut())) {
  OVIR_CHECK(seat.self == 0, seat.self);
  OVIR_CHECK(!alone_ || (alone_->cut().members.size() == 1 && alone_->cut().layers == layers_));
}

group_leader::~group_leader() {
  for (std::uint32_t i = 1; i < passes_.members(); ++i) {
    passes_.send(i, {.kind = group_kind::part}, {});
  }
}

void group_leader::sign_parts(const secret_key& key, compute::part_group group, part_shelf& shelf) {
  group_ = std::move(group);
  shelf_ = &shelf;
  signing_ = signing_by(key, group_);
  passes_.watch_crossings([this](const compute::crossing_place& place,
                                 compute::activation_form form,
                                 std::span<const std::span<const std::byte>> all) {
    records_.crossed(place, form, all);
  });
}

error group_leader::lose(const error& reason) {
  lost_ = fail(errc::peer_lost, "the group of layers {} to {} is no more after {} passes: {}",
               layers_.first, layers_.last - 1, pass_, reason.message);
  if (when_lost_) {
    when_lost_({reason.code, lost_->message});
  }
  return *lost_;
}

// A request's state, with K and V of all positions before the pass at every member.
result<group_leader::request*> group_leader::prepare(engine_session& s) {
  auto* known = dynamic_cast<request*>(s.own->get());
  if (known == nullptr || known->group != passes_.seat().group) {
    auto made = std::make_shared<request>();
    made->group = passes_.seat().group;
    made->number = ++numbers_;
    made->capacity = s.kv->capacity();
    OVIR_ASSIGN(made->kv, part_->open(s.kv->capacity(), std::numeric_limits<std::size_t>::max()));
    if (signing_.key != nullptr) {
      made->record.emplace(layers_.size(), passes_.members());
    }
    known = made.get();
    requests_.push_back({made->number, made});
    *s.own = std::move(made);
  }
  if (const position from = std::min(known->synced, s.first); from < s.first) {
    send_history(s, *known, from);
    if (known->kv) {
      const kv_place at{layers_, part_->mine().kv_heads, from, s.first - from};
      std::vector<std::uint16_t> rows;
      compute::read_kv_rows(*s.kv, at, rows);
      compute::write_kv_rows(rows, {layers_, {0, at.heads.size()}, from, at.count}, *known->kv);
      if (known->record) {
        known->record->add_history(0, from, at.count, rows);
      }
    }
  }
  known->synced = s.first;
  return known;
}

void group_leader::send_history(const engine_session& s, request& r, position from) {
  for (std::uint32_t i = 1; i < passes_.members(); ++i) {
    kv_place at{layers_, part_->cut().members[i].kv_heads, from, 0};
    const std::size_t width = compute::kv_width(at, s.kv->head_dim());
    if (width == 0) {
      continue;
    }
    const auto together = static_cast<std::uint32_t>(std::clamp<std::size_t>(
        limits::frame_bytes_max / (4 * width), 1, limits::prefill_chunk_max));
    for (; at.first < s.first; at.first += at.count) {
      at.count = std::min(together, s.first - at.first);
      std::vector<std::uint16_t> rows;
      compute::read_kv_rows(*s.kv, at, rows);
      if (r.record) {
        r.record->add_history(i, at.first, at.count, rows);
      }
      passes_.send(i,
                   {.kind = group_kind::history,
                    .rows = static_cast<std::uint16_t>(at.count),
                    .width = static_cast<std::uint32_t>(width)},
                   history_payload({r.number, at.first, at.count, r.capacity}, rows));
    }
  }
}

// Tells the members of requests whose owner dropped them.
void group_leader::close_ended() {
  std::vector<std::uint64_t> ended;
  for (const known_request& r : requests_) {
    if (r.state.expired() && ended.size() < limits::prefill_chunk_max) {
      ended.push_back(r.number);
    }
  }
  if (ended.empty()) {
    return;
  }
  std::erase_if(requests_, [&](const known_request& r) {
    return std::find(ended.begin(), ended.end(), r.number) != ended.end();
  });
  for (std::uint32_t i = 1; i < passes_.members(); ++i) {
    passes_.send(i, {.kind = group_kind::close, .rows = static_cast<std::uint16_t>(ended.size())},
                 std::as_bytes(std::span{ended}));
  }
}

result<void> group_leader::begin(engine_pass& pass) {
  close_ended();
  std::vector<group_session> sessions;
  std::vector<compute::session_rows> rows;
  records_.begin(pass.rows);
  for (engine_session& s : pass.sessions) {
    OVIR_ASSIGN(request* const known, prepare(s));
    sessions.push_back({known->number, s.first, s.count, known->capacity, s.failed ? 1U : 0U});
    rows.push_back({known->kv ? &*known->kv : nullptr, s.first, s.count, s.row, s.failed});
    if (known->record && !s.failed) {
      records_.follow(*known->record, rows.back(), pass.stream);
    }
  }
  ++pass_;
  alone_pass_ = false;
  stream_ = pass.stream.data();
  rows_ = pass.rows;
  const auto payload = begin_payload(sessions, pass.stream);
  for (std::uint32_t i = 1; i < passes_.members(); ++i) {
    passes_.send(i,
                 {.kind = group_kind::begin,
                  .rows = static_cast<std::uint16_t>(pass.rows),
                  .width = part_->config().dim,
                  .pass = pass_},
                 payload);
  }
  part_->begin(rows, pass.rows, pass.stream);
  return {};
}

// K and V of the pass's rows, of every head, to the requests' caches.
result<void> group_leader::gather_kv(engine_pass& pass) {
  for (std::uint32_t i = 0; i < passes_.members(); ++i) {
    const compute::part_range& heads = part_->cut().members[i].kv_heads;
    const std::size_t width = compute::kv_width({layers_, heads, 0, 0}, part_->config().head_dim);
    if (width == 0) {
      continue;
    }
    std::optional<group_pass::order> sent;
    if (i != 0) {
      OVIR_ASSIGN(sent, passes_.answer(group_kind::written, i, pass_));
      if (sent->view.header.width != width || sent->view.header.rows != pass.rows) {
        return fail(errc::malformed, "member {} sent K and V of another shape", i);
      }
    }
    for (engine_session& s : pass.sessions) {
      if (s.failed) {
        continue;
      }
      const kv_place at{layers_, heads, s.first, s.count};
      std::vector<std::uint16_t> own;
      if (i == 0) {
        compute::read_kv_rows(*dynamic_cast<request&>(**s.own).kv,
                              {layers_, {0, heads.size()}, s.first, s.count}, own);
      }
      const auto rows = i == 0 ? std::span<const std::uint16_t>{own}
                               : sent->view.halves().subspan(s.row * width, s.count * width);
      compute::write_kv_rows(rows, at, *s.kv);
      if (auto& record = dynamic_cast<request&>(**s.own).record) {
        record->add_kv(i, rows);
      }
    }
  }
  return {};
}

// One of the others signs what this node computed and was sent, or the group is no more: so what
// this node states of the group's work it can show to be another's.
result<void> group_leader::take_proofs(std::uint32_t member, signed_pass& made) {
  OVIR_ASSIGN(const group_pass::order sent, passes_.answer(group_kind::proofs, member, pass_));
  const std::vector<signature> proofs = sent.view.proofs();
  if (proofs.size() != made.all.size()) {
    return fail(errc::malformed, "member {} signed {} runs of pass {}, which has {}", member,
                proofs.size(), pass_, made.all.size());
  }
  for (std::size_t n = 0; n < proofs.size(); ++n) {
    auto& window = made.all[n];
    window.proofs.push_back({ends_of(*signing_.terms, window.runs, member), proofs[n]});
    if (!compute::verify_parts(group_.nodes[member], window.proofs.back())) {
      return fail(errc::digest_mismatch,
                  "member {} signed something else than it sent in pass {}, or was sent something "
                  "else than this node",
                  member, pass_);
    }
  }
  return {};
}

result<void> group_leader::gather_proofs(engine_pass& pass) {
  signed_pass made;
  for (engine_session& s : pass.sessions) {
    auto& known = dynamic_cast<request&>(**s.own);
    if (!known.record || s.failed) {
      continue;
    }
    for (auto& runs : known.record->end()) {
      auto& window = made.all.emplace_back();
      window.request = known.number;
      window.first = s.first;
      window.proofs.push_back(
          compute::sign_parts(*signing_.key, ends_of(*signing_.terms, runs, 0)));
      window.runs = std::move(runs);
    }
  }
  for (std::uint32_t i = 1; i < passes_.members() && !made.all.empty(); ++i) {
    OVIR_TRY(take_proofs(i, made));
  }
  std::map<std::pair<std::uint64_t, position>, std::vector<part_shelf::statement>> kept;
  for (auto& window : made.all) {
    for (compute::part_run& run : window.runs) {
      kept[{window.request, window.first}].push_back(
          std::make_shared<const compute::part_statement>(
              compute::part_statement{group_, std::move(run), window.proofs}));
    }
  }
  for (auto& [of, statements] : kept) {
    shelf_->keep({passes_.seat().group, of.first}, of.second, std::move(statements));
  }
  return {};
}

result<void> group_leader::run_all(engine_pass& pass) {
  OVIR_TRY(begin(pass));
  OVIR_TRY(passes_.run(pass_, pass.rows, *runner_, [&](layer_index layer) {
    compute::keep_boundary(pass, layer, part_->stream(), part_->config().dim);
  }));
  for (std::size_t i = 0; i < pass.sessions.size(); ++i) {
    pass.sessions[i].failed = part_->sessions()[i].failed;
  }
  OVIR_TRY(gather_kv(pass));
  OVIR_TRY(gather_proofs(pass));
  // Only now: until here the pass can be computed again.
  std::copy(part_->stream().begin(), part_->stream().end(), pass.stream.begin());
  for (engine_session& s : pass.sessions) {
    dynamic_cast<request&>(**s.own).synced = s.failed ? s.first : s.first + s.count;
  }
  return {};
}

// The same pass by all weights, on the requests' own caches. Positions before it are there, and
// what the group wrote behind them is written again.
result<void> group_leader::run_alone(engine_pass& pass) {
  std::vector<compute::session_rows> rows;
  for (const engine_session& s : pass.sessions) {
    rows.push_back({s.kv, s.first, s.count, s.row, s.failed});
    if (auto* const known = dynamic_cast<request*>(s.own->get())) {
      known->synced = std::min(known->synced, s.first); // guesses behind it are computed anew
    }
  }
  alone_pass_ = true;
  alone_->begin(rows, pass.rows, pass.stream);
  for (auto stop = alone_->advance(*runner_); stop != compute::part_stop::done;
       stop = alone_->advance(*runner_)) {
    if (stop == compute::part_stop::exchange) {
      const std::vector<std::byte> sent(alone_->outgoing().begin(), alone_->outgoing().end());
      const std::span<const std::byte> all[] = {sent};
      OVIR_TRY(alone_->take(all));
    } else {
      compute::keep_boundary(pass, alone_->place().layer, alone_->stream(), alone_->config().dim);
    }
  }
  std::copy(alone_->stream().begin(), alone_->stream().end(), pass.stream.begin());
  for (std::size_t i = 0; i < pass.sessions.size(); ++i) {
    pass.sessions[i].failed = alone_->sessions()[i].failed;
  }
  return {};
}

/// What came of a pass.
struct group_leader::said_of_pass {
  std::vector<float> stream;
  std::vector<std::optional<error>> failed;   ///< [sessions]
  std::vector<std::vector<std::uint16_t>> kv; ///< [sessions] of the pass's rows, by position
};

group_leader::said_of_pass group_leader::said_of(const engine_pass& pass) const {
  said_of_pass said{{pass.stream.begin(), pass.stream.end()}, {}, {}};
  for (const engine_session& s : pass.sessions) {
    said.failed.push_back(s.failed);
    auto& kv = said.kv.emplace_back();
    if (!s.failed) {
      compute::read_kv_rows(*s.kv, {layers_, {0, part_->config().kv_heads}, s.first, s.count}, kv);
    }
  }
  return said;
}

// `digest_mismatch`. Whose fault it is does not show: what is wrong in a layer is so in all behind.
result<void> group_leader::compare(const said_of_pass& group, const said_of_pass& own) const {
  const std::size_t of_head = std::size_t{2} * part_->config().head_dim;
  const std::size_t width = of_head * part_->config().kv_heads * layers_.size();
  const bool same_end =
      group.failed.size() == own.failed.size() &&
      std::equal(group.failed.begin(), group.failed.end(), own.failed.begin(),
                 [](const auto& a, const auto& b) { return a.has_value() == b.has_value(); });
  for (std::size_t i = 0; i < own.kv.size() && same_end; ++i) {
    const auto [theirs, ours] =
        std::mismatch(group.kv[i].begin(), group.kv[i].end(), own.kv[i].begin(), own.kv[i].end());
    if (ours == own.kv[i].end()) {
      continue;
    }
    const std::size_t at = static_cast<std::size_t>(ours - own.kv[i].begin()) % width;
    const std::size_t layer = layers_.first + at / (of_head * part_->config().kv_heads);
    const std::size_t head = at / of_head % part_->config().kv_heads;
    return fail(errc::digest_mismatch,
                "pass {} is another by all weights than by the group, from head {} of layer {} on",
                pass_, head, layer);
  }
  if (!same_end ||
      std::memcmp(group.stream.data(), own.stream.data(), own.stream.size() * sizeof(float)) != 0) {
    return fail(errc::digest_mismatch, "pass {} is another by all weights than by the group",
                pass_);
  }
  return {};
}

// By the group and alone: so one that lies is found, now or in another of such passes.
result<void> group_leader::run_twice(engine_pass& pass) {
  const std::vector<float> input(pass.stream.begin(), pass.stream.end());
  std::vector<std::optional<error>> failed;
  for (const engine_session& s : pass.sessions) {
    failed.push_back(s.failed);
  }
  OVIR_TRY(run_all(pass));
  const said_of_pass group = said_of(pass);
  std::copy(input.begin(), input.end(), pass.stream.begin());
  for (std::size_t i = 0; i < failed.size(); ++i) {
    pass.sessions[i].failed = std::move(failed[i]);
  }
  OVIR_TRY(run_alone(pass));
  if (const auto same = compare(group, said_of(pass)); !same) {
    lose(same.error());
    return {}; // with what this node computed
  }
  alone_pass_ = false;
  check_head_ = true;
  for (engine_session& s : pass.sessions) {
    dynamic_cast<request&>(**s.own).synced = s.failed ? s.first : s.first + s.count;
  }
  return {};
}

result<void> group_leader::run(engine_pass& pass) {
  runner_ = pass.runner;
  check_head_ = false;
  if (!lost_ && pass.rows > rows_max_) {
    // The members learn of K and V when a pass comes that fits.
    return alone_ ? run_alone(pass)
                  : fail(errc::over_limit,
                         "a pass of {} rows; messages of this group hold {}: prompts go to it in "
                         "smaller chunks",
                         pass.rows, rows_max_);
  }
  if (!lost_) {
    std::vector<std::optional<error>> before;
    for (const engine_session& s : pass.sessions) {
      before.push_back(s.failed);
    }
    const bool twice = alone_ && checked_ && checked_(pass_ + 1);
    const auto done = twice ? run_twice(pass) : run_all(pass);
    if (done) {
      return {};
    }
    lose(done.error());
    for (std::size_t i = 0; i < before.size(); ++i) {
      pass.sessions[i].failed = std::move(before[i]);
    }
  }
  return alone_ ? run_alone(pass) : result<void>{*lost_};
}

bool group_leader::has_head() const noexcept { return layers_.last == part_->config().layers; }

// Of the logits that came, whose digests are in `made`.
result<void> group_leader::take_head_proofs(std::uint32_t member,
                                            std::span<compute::head_statement> made) {
  std::vector<signature> proofs;
  if (member != 0) {
    OVIR_ASSIGN(const group_pass::order sent, passes_.answer(group_kind::proofs, member, pass_));
    proofs = sent.view.proofs();
    if (proofs.size() != made.size()) {
      return fail(errc::malformed, "member {} signed logits of {} rows of pass {}; {} were wanted",
                  member, proofs.size(), pass_, made.size());
    }
  }
  for (std::size_t t = 0; t < made.size(); ++t) {
    const digest said = signing_.head->said(made[t].row, made[t].logits[member], member);
    made[t].proofs.push_back(member == 0 ? compute::sign_head(*signing_.key, said) : proofs[t]);
    if (!compute::verify_head(group_.nodes[member], said, made[t].proofs.back())) {
      return fail(errc::digest_mismatch, "member {} signed other logits than it sent in pass {}",
                  member, pass_);
    }
  }
  return {};
}

result<void> group_leader::gather_logits(std::span<const float* const> rows,
                                         std::span<float> logits, std::span<std::uint8_t> ok) {
  const std::size_t dim = part_->config().dim;
  const std::size_t vocabulary = part_->config().vocabulary;
  std::vector<std::uint32_t> wanted;
  for (const float* const row : rows) {
    const auto at = static_cast<std::size_t>(row - stream_);
    OVIR_CHECK(at % dim == 0 && at / dim < rows_, at, rows_);
    wanted.push_back(static_cast<std::uint32_t>(at / dim));
  }
  const auto count = static_cast<std::uint16_t>(wanted.size());
  for (std::uint32_t i = 1; i < passes_.members(); ++i) {
    passes_.send(i, {.kind = group_kind::head, .rows = count, .pass = pass_},
                 std::as_bytes(std::span{wanted}));
  }
  std::vector<float> own;
  part_->head(rows, *runner_, own, ok);
  std::vector<compute::head_statement> made;
  for (std::size_t t = 0; t < rows.size() && signing_.key != nullptr; ++t) {
    made.push_back({group_, compute::row_digest(std::as_bytes(std::span{rows[t], dim})), {}, {}});
  }
  for (std::uint32_t i = 0; i < passes_.members(); ++i) {
    const compute::part_range& words = part_->cut().members[i].words;
    std::optional<group_pass::order> sent;
    const std::byte* from = reinterpret_cast<const std::byte*>(own.data());
    if (i != 0) {
      OVIR_ASSIGN(sent, passes_.answer(group_kind::logits, i, pass_));
      if (sent->view.header.width != words.size() || sent->view.header.rows != count) {
        return fail(errc::malformed, "member {} sent logits of another shape", i);
      }
      from = sent->view.payload.data();
    }
    for (std::size_t t = 0; t < rows.size() && !words.empty(); ++t) {
      std::memcpy(logits.data() + t * vocabulary + words.first,
                  from + t * words.size() * sizeof(float), words.size() * sizeof(float));
    }
    for (std::size_t t = 0; t < made.size(); ++t) {
      const std::size_t bytes = words.size() * sizeof(float);
      made[t].logits.push_back(compute::row_digest({from + t * bytes, bytes}));
    }
    if (!made.empty()) {
      OVIR_TRY(take_head_proofs(i, made));
    }
  }
  for (compute::head_statement& one : made) {
    shelf_->keep_head(std::make_shared<const compute::head_statement>(std::move(one)));
  }
  return {};
}

// `digest_mismatch`, with the member whose rows of the head differ.
result<void> group_leader::check_logits(std::span<const float> own,
                                        std::span<const std::uint8_t> ok) const {
  const std::size_t vocabulary = part_->config().vocabulary;
  for (std::size_t i = 0; i < own.size(); ++i) {
    if (std::memcmp(&own[i], &told_logits_[i], sizeof(float)) == 0) {
      continue;
    }
    const auto word = static_cast<std::uint32_t>(i % vocabulary);
    const auto& members = part_->cut().members;
    const auto author = std::find_if(members.begin(), members.end(), [&](const auto& m) {
      return m.words.first <= word && word < m.words.last;
    });
    return fail(errc::digest_mismatch, "member {} sent another logit of word {} in pass {}",
                author - members.begin(), word, pass_);
  }
  if (!std::equal(ok.begin(), ok.end(), told_ok_.begin(), told_ok_.end())) {
    return fail(errc::digest_mismatch, "the logits of pass {} are others by all weights", pass_);
  }
  return {};
}

result<void> group_leader::head(std::span<const float* const> rows, std::span<float> logits,
                                std::span<std::uint8_t> ok) {
  if (!lost_ && !alone_pass_) {
    const auto done = gather_logits(rows, logits, ok);
    if (done && !check_head_) {
      return {};
    }
    told_logits_.assign(logits.begin(), logits.end());
    told_ok_.assign(ok.begin(), ok.end());
    if (!done) {
      lose(done.error());
    }
    std::fill(ok.begin(), ok.end(), std::uint8_t{1});
  }
  if (!alone_) {
    return *lost_;
  }
  std::vector<float> all;
  alone_->head(rows, *runner_, all, ok);
  std::copy_n(all.begin(), logits.size(), logits.begin());
  if (!lost_ && check_head_) {
    if (const auto same = check_logits(logits, ok); !same) {
      lose(same.error());
    }
  }
  return {};
}

} // namespace ovir::actors
