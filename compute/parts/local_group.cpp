#include "compute/parts/local_group.hpp"

#include "compute/parts/pass_boundaries.hpp"
#include "messages/check.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace ovir::compute {

/// K and V of one request, by member.
struct local_group::request final : engine_state {
  segment_cut cut;
  std::vector<std::optional<kv_cache>> kv;
  position synced{0}; ///< positions before it are those of the request's cache
};

namespace {

/// Rows [first, last) of a head's K and V, between caches that name the head differently.
void copy_head(const kv_cache& from, std::uint32_t from_head, kv_cache& to, std::uint32_t to_head,
               layer_index layer, slice rows) {
  const std::size_t width = from.head_dim();
  const std::size_t at = rows.first * width;
  const std::size_t n = (rows.last - rows.first) * width;
  std::copy_n(from.keys(layer, from_head) + at, n, to.keys(layer, to_head) + at);
  std::copy_n(from.values(layer, from_head) + at, n, to.values(layer, to_head) + at);
}

} // namespace

local_group::local_group(std::vector<std::unique_ptr<segment_part>> members,
                         const model_config& config)
    : members_(std::move(members)), config_(config), layers_(members_.front()->cut().layers) {}

result<std::unique_ptr<local_group>> local_group::make(const model& whole, const segment_cut& cut,
                                                       const kernel_set& kernels,
                                                       parallel_runner& runner, bool pack) {
  OVIR_TRY(check_cut(whole, cut));
  std::vector<std::unique_ptr<segment_part>> members;
  for (std::uint32_t i = 0; i < cut.members.size(); ++i) {
    OVIR_ASSIGN(std::unique_ptr<segment_part> member,
                segment_part::make(whole, cut, i, kernels, runner, pack));
    members.push_back(std::move(member));
  }
  return std::unique_ptr<local_group>{new local_group{std::move(members), whole.config}};
}

// A request's own state, with K and V of all positions before the pass.
result<local_group::request*> local_group::prepare(engine_session& s) const {
  auto* known = dynamic_cast<request*>(s.own->get());
  if (known == nullptr || known->cut != members_.front()->cut()) {
    auto made = std::make_shared<request>();
    made->cut = members_.front()->cut();
    for (const auto& member : members_) {
      OVIR_ASSIGN(std::optional<kv_cache> kv,
                  member->open(s.kv->capacity(), std::numeric_limits<std::size_t>::max()));
      made->kv.push_back(std::move(kv));
    }
    known = made.get();
    *s.own = std::move(made);
  }
  const slice missing{std::min(known->synced, s.first), s.first};
  for (std::size_t i = 0; i < members_.size(); ++i) {
    const part_range& heads = members_[i]->mine().kv_heads;
    for (std::uint32_t h = heads.first; h < heads.last; ++h) {
      for (layer_index l = layers_.first; l < layers_.last; ++l) {
        copy_head(*s.kv, h, *known->kv[i], h - heads.first, l, missing);
      }
    }
  }
  known->synced = s.first;
  return known;
}

result<void> local_group::begin(engine_pass& pass) {
  std::vector<request*> requests;
  for (engine_session& s : pass.sessions) {
    OVIR_ASSIGN(request* const one, prepare(s));
    requests.push_back(one);
  }
  for (std::size_t i = 0; i < members_.size(); ++i) {
    std::vector<session_rows> rows;
    for (std::size_t n = 0; n < requests.size(); ++n) {
      const engine_session& s = pass.sessions[n];
      std::optional<kv_cache>& kv = requests[n]->kv[i];
      rows.push_back({kv ? &*kv : nullptr, s.first, s.count, s.row, s.failed});
    }
    members_[i]->begin(rows, pass.rows, pass.stream);
  }
  return {};
}

// Every member has what every member sent.
result<void> local_group::exchange() {
  std::vector<std::vector<std::byte>> sent;
  for (const auto& member : members_) {
    OVIR_CHECK(member->place() == members_.front()->place());
    const std::span<const std::byte> bytes = member->outgoing();
    sent.emplace_back(bytes.begin(), bytes.end());
    if (watch_) {
      watch_(member->place(), static_cast<std::uint32_t>(sent.size() - 1), sent.back());
    }
  }
  const std::vector<std::span<const std::byte>> all(sent.begin(), sent.end());
  for (const auto& member : members_) {
    OVIR_TRY(member->take(all));
  }
  if (witness_) {
    witness_(members_.front()->place(), members_.front()->form(), all);
  }
  return {};
}

result<void> local_group::run(engine_pass& pass) {
  runner_ = pass.runner;
  OVIR_TRY(begin(pass));
  for (;;) {
    const part_stop stop = members_.front()->advance(*runner_);
    for (std::size_t i = 1; i < members_.size(); ++i) {
      OVIR_CHECK(members_[i]->advance(*runner_) == stop, i);
    }
    if (stop == part_stop::done) {
      break;
    }
    if (stop == part_stop::exchange) {
      OVIR_TRY(exchange());
    } else {
      keep_boundary(pass, members_.front()->place().layer, members_.front()->stream(), config_.dim);
    }
  }
  const segment_part& first = *members_.front();
  std::copy(first.stream().begin(), first.stream().end(), pass.stream.begin());
  for (std::size_t n = 0; n < pass.sessions.size(); ++n) {
    engine_session& s = pass.sessions[n];
    for (const auto& member : members_) {
      OVIR_CHECK(member->sessions()[n].failed == first.sessions()[n].failed, n);
    }
    s.failed = first.sessions()[n].failed;
    if (!s.failed) {
      keep_kv(s);
    }
  }
  return {};
}

void local_group::keep_kv(engine_session& s) const {
  auto& own = dynamic_cast<request&>(**s.own);
  const slice fresh{s.first, std::size_t{s.first} + s.count};
  for (std::size_t i = 0; i < members_.size(); ++i) {
    const part_range& heads = members_[i]->mine().kv_heads;
    for (std::uint32_t h = heads.first; h < heads.last; ++h) {
      for (layer_index l = layers_.first; l < layers_.last; ++l) {
        copy_head(*own.kv[i], h - heads.first, *s.kv, h, l, fresh);
      }
    }
  }
  own.synced = s.first + s.count;
}

bool local_group::has_head() const noexcept { return layers_.last == config_.layers; }

result<void> local_group::head(std::span<const float* const> rows, std::span<float> logits,
                               std::span<std::uint8_t> ok) {
  std::vector<float> own;
  for (const auto& member : members_) {
    const part_range& words = member->mine().words;
    member->head(rows, *runner_, own, ok);
    for (std::size_t t = 0; t < rows.size(); ++t) {
      std::copy_n(own.data() + t * words.size(), words.size(),
                  logits.data() + t * config_.vocabulary + words.first);
    }
  }
  return {};
}

} // namespace ovir::compute
