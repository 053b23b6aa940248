#include "actors/group/group_member.hpp"

#include "compute/parts/kv_rows.hpp"
#include "messages/check.hpp"
#include "messages/limits/general.hpp"

#include <utility>
#include <vector>

namespace ovir::actors {

using compute::kv_place;

group_member::group_member(const group_seat& seat, std::unique_ptr<compute::segment_part> part,
                           group_links& links, std::size_t kv_bytes_max)
    : part_(std::move(part)), passes_(seat, *part_, links), records_(*part_),
      kv_bytes_max_(kv_bytes_max) {
  OVIR_CHECK(seat.self != 0);
}

void group_member::sign_parts(part_signing by) {
  signing_ = std::move(by);
  passes_.watch_crossings([this](const compute::crossing_place& place,
                                 compute::activation_form form,
                                 std::span<const std::span<const std::byte>> all) {
    records_.crossed(place, form, all);
  });
}

std::size_t group_member::bytes_of(const session& s) const {
  std::size_t bytes = s.kv ? s.kv->bytes() : 0;
  if (s.record) {
    bytes += compute::part_record::bytes_of(part_->cut().layers.size(), passes_.members());
    bytes += s.kv ? s.kv->capacity() * digest::size : 0;
  }
  return bytes;
}

// Else what it signs would be of other positions.
result<void> group_member::check_known(const session& s, position first) const {
  if (s.kv && s.record && s.record->kv_positions(passes_.seat().self) < first) {
    return fail(errc::malformed, "position {} of a session whose K and V are known up to {}", first,
                s.record->kv_positions(passes_.seat().self));
  }
  return {};
}

// The session, made when it is first heard of.
result<group_member::session*> group_member::open(const group_session& s) {
  const auto known = sessions_.find(s.number);
  if (known != sessions_.end()) {
    return &known->second;
  }
  if (s.capacity > part_->config().context) {
    return fail(errc::over_limit,
                "a group's session of {} positions; the model has a context of {}", s.capacity,
                part_->config().context);
  }
  if (sessions_.size() >= limits::sessions_max) {
    return fail(errc::over_limit, "a group's leader has {} sessions open; at most {} are allowed",
                sessions_.size(), limits::sessions_max);
  }
  session made;
  OVIR_ASSIGN(made.kv, part_->open(s.capacity, kv_bytes_max_ - kv_bytes_));
  if (signing_.key != nullptr) {
    made.record.emplace(part_->cut().layers.size(), passes_.members());
  }
  if (bytes_of(made) > kv_bytes_max_ - kv_bytes_) {
    return fail(errc::over_limit, "a group's session of {} bytes; {} of {} are left",
                bytes_of(made), kv_bytes_max_ - kv_bytes_, kv_bytes_max_);
  }
  kv_bytes_ += bytes_of(made);
  return &sessions_.emplace(s.number, std::move(made)).first->second;
}

result<void> group_member::take_history(const group_view& order) {
  const group_session s = order.sessions().front();
  OVIR_ASSIGN(session* const known, open(s));
  const kv_place at{part_->cut().layers, {0, part_->mine().kv_heads.size()}, s.first, s.count};
  const std::size_t width = compute::kv_width(at, part_->config().head_dim);
  if (!known->kv || order.header.width != width || s.first > known->length ||
      s.first + s.count > known->kv->capacity()) {
    return fail(errc::malformed, "K and V of positions {} to {} came for a session that has {}",
                s.first, s.first + s.count, known->length);
  }
  OVIR_TRY(check_known(*known, s.first));
  if (known->record) {
    known->record->add_history(passes_.seat().self, s.first, s.count, order.halves());
  }
  compute::write_kv_rows(order.halves(), at, *known->kv);
  known->length = s.first + s.count;
  return {};
}

result<void> group_member::compute_pass(const group_view& order, compute::parallel_runner& runner) {
  if (order.header.width != part_->config().dim || order.header.pass <= pass_) {
    return fail(errc::malformed, "a pass of rows of {} elements and number {} behind pass {}",
                order.header.width, order.header.pass, pass_);
  }
  pass_ = order.header.pass;
  rows_ = order.header.rows;
  std::vector<compute::session_rows> rows;
  std::vector<session*> opened;
  std::uint32_t row = 0;
  for (const group_session& s : order.sessions()) {
    OVIR_ASSIGN(session* const known, open(s));
    if (known->kv && (s.first > known->length || s.first + s.count > known->kv->capacity())) {
      return fail(errc::malformed, "positions {} to {} of a session that has {}", s.first,
                  s.first + s.count, known->length);
    }
    for (const session* const other : opened) {
      if (other == known) {
        return fail(errc::malformed, "a session twice in one pass");
      }
    }
    OVIR_TRY(check_known(*known, s.first));
    known->length = s.first + s.count;
    opened.push_back(known);
    rows.push_back({known->kv ? &*known->kv : nullptr, s.first, s.count, row});
    if (s.failed != 0) {
      rows.back().failed = fail(errc::nonfinite, "the session failed before the segment");
    }
    row += s.count;
  }
  records_.begin(rows_);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (opened[i]->record && !rows[i].failed) {
      records_.follow(*opened[i]->record, rows[i], order.stream());
    }
  }
  part_->begin(rows, rows_, order.stream());
  OVIR_TRY(passes_.run(pass_, rows_, runner));
  send_written(opened);
  return {};
}

// K and V of the pass's rows, and what was made of each session, signed.
void group_member::send_written(std::span<session* const> opened) {
  const std::uint32_t self = passes_.seat().self;
  const compute::part_range heads{0, part_->mine().kv_heads.size()};
  std::vector<std::uint16_t> written;
  std::vector<signature> proofs;
  for (std::size_t i = 0; i < opened.size(); ++i) {
    const compute::session_rows& s = part_->sessions()[i];
    const std::size_t before = written.size();
    if (s.kv != nullptr) {
      compute::read_kv_rows(*s.kv, {part_->cut().layers, heads, s.first, s.count}, written);
    }
    if (!opened[i]->record || s.failed) {
      continue;
    }
    compute::part_record& record = *opened[i]->record;
    if (written.size() > before) {
      record.add_kv(self, std::span{std::as_const(written)}.subspan(before));
    }
    for (const auto& runs : record.end()) {
      proofs.push_back(
          compute::sign_parts(*signing_.key, ends_of(*signing_.terms, runs, self)).proof);
    }
  }
  if (!written.empty()) {
    passes_.send(0,
                 {.kind = group_kind::written,
                  .rows = static_cast<std::uint16_t>(rows_),
                  .width = static_cast<std::uint32_t>(written.size() / rows_),
                  .pass = pass_},
                 std::as_bytes(std::span{std::as_const(written)}));
  }
  if (!proofs.empty()) {
    passes_.send(0,
                 {.kind = group_kind::proofs,
                  .rows = static_cast<std::uint16_t>(proofs.size()),
                  .pass = pass_},
                 std::as_bytes(std::span{std::as_const(proofs)}));
  }
}

result<void> group_member::compute_head(const group_view& order, compute::parallel_runner& runner) {
  const std::uint32_t dim = part_->config().dim;
  std::vector<const float*> rows;
  for (const std::uint32_t row : order.wanted()) {
    if (order.header.pass != pass_ || row >= rows_ ||
        part_->cut().layers.last != part_->config().layers) {
      return fail(errc::malformed, "logits of row {} of pass {} are wanted; pass {} had {}", row,
                  order.header.pass, pass_, rows_);
    }
    rows.push_back(part_->stream().data() + std::size_t{row} * dim);
  }
  std::vector<float> logits;
  std::vector<std::uint8_t> ok(rows.size(), 1);
  part_->head(rows, runner, logits, ok);
  logits.resize(rows.size() * part_->mine().words.size());
  passes_.send(0,
               {.kind = group_kind::logits,
                .rows = order.header.rows,
                .width = part_->mine().words.size(),
                .pass = pass_},
               std::as_bytes(std::span{std::as_const(logits)}));
  if (signing_.key == nullptr) {
    return {};
  }
  std::vector<signature> proofs;
  const std::size_t words = part_->mine().words.size();
  for (std::size_t t = 0; t < rows.size(); ++t) {
    const digest row = compute::row_digest(std::as_bytes(std::span{rows[t], dim}));
    const digest made =
        compute::row_digest(std::as_bytes(std::span{logits}.subspan(t * words, words)));
    proofs.push_back(
        compute::sign_head(*signing_.key, signing_.head->said(row, made, passes_.seat().self)));
  }
  passes_.send(0, {.kind = group_kind::proofs, .rows = order.header.rows, .pass = pass_},
               std::as_bytes(std::span{std::as_const(proofs)}));
  return {};
}

void group_member::close(const group_view& order) {
  for (const std::uint64_t number : order.closed()) {
    if (const auto ended = sessions_.extract(number)) {
      kv_bytes_ -= bytes_of(ended.mapped());
    }
  }
}

result<group_member::served> group_member::serve(group_links::time_point until,
                                                 compute::parallel_runner& runner) {
  OVIR_ASSIGN(const std::optional<group_pass::order> order, passes_.next_order(until));
  if (!order) {
    return served::nothing;
  }
  const group_view& view = order->view;
  if (order->from != 0) {
    return fail(errc::malformed, "member {} gives orders in a group that it does not lead",
                order->from);
  }
  switch (view.header.kind) {
  case group_kind::begin: OVIR_TRY(compute_pass(view, runner)); return served::order;
  case group_kind::head: OVIR_TRY(compute_head(view, runner)); return served::order;
  case group_kind::history: OVIR_TRY(take_history(view)); return served::order;
  case group_kind::close: close(view); return served::order;
  case group_kind::part: return served::end;
  default: break;
  }
  return fail(errc::malformed, "an order of kind {} to a member of a group",
              static_cast<unsigned>(view.header.kind));
}

} // namespace ovir::actors
