#include "actors/stage/stage_evidence.hpp"

#include "compute/forward/kv_digest.hpp"
#include "messages/check.hpp"
#include "messages/limits/evidence.hpp"
#include "messages/limits/known.hpp"

#include <algorithm>

namespace ovir::actors {

namespace {

constexpr std::uint32_t window_size = limits::window_positions;
static_assert(window_size % limits::link_signature_positions == 0);

std::uint64_t microseconds(std::chrono::nanoseconds time) {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(time).count());
}

} // namespace

frame_bytes evidence_frame(request_id request, epoch driver, const evidence_batch& batch) {
  const std::vector<std::byte> bytes = encode_evidence(batch);
  const frame_header header{
      frame_kind::evidence, request, driver, 0, 1, static_cast<std::uint32_t>(bytes.size() / 4), 0};
  return std::make_shared<const std::vector<std::byte>>(encode_frame(header, bytes));
}

bool says_anything(const evidence_batch& batch) {
  return !batch.records.commitments.empty() || !batch.records.statements.empty() ||
         !batch.links.empty();
}

stage_evidence::stage_evidence(evidence_order order, std::shared_ptr<const stage_bench> bench)
    : bench_(std::move(bench)), key_(*bench_->desk->key),
      order_(std::move(order)), by_{bench_->segment->layers(), key_.id(), bench_->desk->software},
      first_(bench_->segment->is_first()), last_(bench_->segment->is_last()) {
  in_ = first_ ? row_digests::of_tokens() : row_digests::of_boundary(by_.layers.first - 1);
  out_ = row_digests::of_boundary(by_.layers.last - 1);
  records_.signer = by_;
}

evidence_news stage_evidence::begin() const {
  evidence_news news;
  news.to_lead.request = news.to_next.request = order_.terms.request;
  news.to_lead.records.signer = news.to_next.records.signer = by_;
  return news;
}

void stage_evidence::commit(position end, evidence_news& news) {
  const std::uint32_t first =
      records_.commitments.empty()
          ? 0
          : records_.commitments.back().window + records_.commitments.back().windows;
  const std::uint32_t after = (end + window_size - 1) / window_size;
  if (after <= first) {
    return;
  }
  commitment c;
  c.window = first;
  c.windows = after - first;
  c.statements = static_cast<std::uint32_t>(records_.statements.size());
  c.deadline_unix = order_.deadline_unix;
  c.step_us = part_of_step(order_, by_.layers);
  const digest what = commitment_digest(order_.terms, by_, c, history_.root());
  c.proof = bench_->desk->known->sign(signed_as::commitment, key_, what);
  commitments_.push_back(signed_digest(what, c.proof));
  records_.commitments.push_back(c);
  news.to_lead.records.commitments.push_back(c);
}

void stage_evidence::add_logits(const evidence_step& step, position certain) {
  // What was computed from guesses that the frame now says were wrong.
  draws_.erase(draws_.lower_bound(certain), draws_.end());
  for (const auto& [at, value] : step.logits) {
    draws_[at] = value;
  }
  if (step.sent == nullptr) {
    return;
  }
  const auto sent = decode_frame(*step.sent);
  OVIR_CHECK(sent.has_value());
  if (sent->header.kind == frame_kind::hidden) { // nothing is drawn from it
    return;
  }
  const std::size_t width = sent->header.width;
  for (std::uint32_t row = 0; row < sent->header.count; ++row) {
    const position at = sent->header.first + row;
    if (sent->header.kind == frame_kind::choice) {
      const token_choice& told = sent->choices()[row];
      draws_[at] = {told.logits, told.token};
    } else {
      draws_[at] = {compute::logits_digest(at, sent->floats().subspan(row * width, width)), {}};
    }
  }
}

void stage_evidence::take_units(const evidence_step& step) {
  for (const compute::unit_leaf& leaf : step.leaves) {
    units_[leaf.unit] = leaf;
  }
  for (const window_origin& origin : step.windows) {
    origins_[origin.window] = origin;
  }
}

// A step that computes positions again, because guesses were wrong, is another.
void stage_evidence::note_handover(position first, const evidence_step& step) {
  handovers_.erase(handovers_.upper_bound(first), handovers_.end());
  const auto at = [](std::chrono::nanoseconds time) {
    return static_cast<std::uint32_t>(
        std::min<std::uint64_t>(microseconds(time), std::numeric_limits<std::uint32_t>::max()));
  };
  handover h{0, at(step.came), at(step.left)};
  if (!handovers_.empty()) {
    const handover& before = handovers_.rbegin()->second;
    h.came_us = std::max(h.came_us, before.came_us);
    h.sent_us = std::max(h.sent_us, before.sent_us);
  }
  h.sent_us = std::max(h.sent_us, h.came_us);
  handovers_[in_.length()] = h;
}

/// Those whose steps reached into it, each up to where.
std::vector<handover> stage_evidence::handovers_of(position first, std::uint32_t positions) const {
  std::vector<handover> all;
  for (auto at = handovers_.upper_bound(first); at != handovers_.end(); ++at) {
    all.push_back(at->second);
    all.back().positions = std::min(at->first - first, positions);
    if (at->first >= first + positions) {
      break;
    }
  }
  return all;
}

// What goes in and out of these windows is known by its digests alone.
void stage_evidence::add_restored(const evidence_step& step, evidence_news& news) {
  take_units(step);
  const position before = out_.length();
  for (const window_origin& origin : step.windows) {
    in_.skip_to(origin.window + 1);
    in_.know(origin.window, origin.input);
    const auto output = units_.find({origin.window, by_.layers.last - 1});
    if (!last_ && output != units_.end()) {
      out_.skip_to(origin.window + 1);
      out_.know(origin.window, output->second.boundary);
    }
  }
  commit(in_.length(), news);
  if (!last_) {
    evidence_news later; // the next stage need not sign yet: not before there is a step
    sign_links(before, false, later);
    owed_links_.insert(owed_links_.end(), later.to_next.links.begin(), later.to_next.links.end());
  }
  state_windows(news);
}

void stage_evidence::pay_links(evidence_news& news) {
  std::vector<link_signature>& links = news.to_next.links;
  links.insert(links.end(), owed_links_.begin(), owed_links_.end());
  owed_links_.clear();
}

void stage_evidence::add(const evidence_step& step, std::chrono::nanoseconds since,
                         evidence_news& news) {
  const auto read = [](const frame_bytes& frame) {
    const auto view = decode_frame(*frame);
    OVIR_CHECK(view.has_value());
    return *view;
  };
  if (step.restored) {
    since_ = since;
    data_ = step.data;
    return add_restored(step, news);
  }
  if (step.received == nullptr) {
    return step.sent == nullptr ? void()
                                : resend_links(read(step.sent).header, out_.length(), news);
  }
  since_ = since;
  data_ = step.data;
  const position before = in_.length();
  const frame_view received = read(step.received);
  in_.add(received, step.received);
  commit(in_.length(), news);
  times_[(std::max<position>(in_.length(), 1) - 1) / window_size] += step.time;
  note_handover(received.header.first, step);
  take_units(step);
  if (last_) {
    add_logits(step, std::max(received.header.first, before));
  } else if (step.sent != nullptr) {
    pay_links(news);
    const position sent_before = out_.length();
    const frame_view sent = read(step.sent);
    out_.add(sent, step.sent);
    sign_links(sent_before, false, news);
    resend_links(sent.header, sent_before, news);
  }
  if (in_.length() != before) {
    state_windows(news);
  }
}

// Of each window that was sent on further: its end, or the last eighth position so far.
void stage_evidence::sign_links(position before, bool ended, evidence_news& news) {
  constexpr std::uint32_t grain = limits::link_signature_positions;
  for (std::uint32_t w = before / window_size; w * window_size < out_.length(); ++w) {
    const std::uint32_t there = std::min(out_.length() - w * window_size, window_size);
    const std::uint32_t was = before > w * window_size ? before - w * window_size : 0;
    const bool due = there == window_size || there / grain > was / grain || ended;
    const auto known = sent_.find(w);
    if (!due || (known != sent_.end() && known->second.positions >= there)) {
      continue;
    }
    const auto output = out_.at(w, there);
    if (!output) {
      return;
    }
    link_signature link{w, there, *output, {}};
    link.proof = bench_->desk->known->sign(signed_as::link, key_,
                                           link_digest(order_.terms, by_, w, there, *output));
    sent_[w] = link;
    news.to_next.links.push_back(link);
  }
}

// A stage that took another's place is sent everything again, and needs what was signed of it.
void stage_evidence::resend_links(const frame_header& sent, position before, evidence_news& news) {
  if (sent.first >= before) {
    return;
  }
  const std::uint32_t end = sent.first + sent.count;
  for (std::uint32_t w = sent.first / window_size; w * window_size < end; ++w) {
    const auto known = sent_.find(w);
    if (known != sent_.end() && std::find(news.to_next.links.begin(), news.to_next.links.end(),
                                          known->second) == news.to_next.links.end()) {
      news.to_next.links.push_back(known->second);
    }
  }
}

void stage_evidence::take(const evidence_batch& links, evidence_news& news) {
  const evidence_signer& sender = links.records.signer;
  const layer_index mine = by_.layers.first;
  if (links.request != order_.terms.request || sender.layers.last != mine) {
    return;
  }
  for (const link_signature& link : links.links) {
    if (link.window >= records_.statements.size()) {
      unchecked_.push_back({sender, link});
    }
    if (unchecked_.size() > limits::links_unchecked_max) {
      verify_oldest();
    }
  }
  state_windows(news);
}

bool stage_evidence::holds(const received_link& received) const {
  const auto& [by, link] = received;
  return bench_->desk->known->holds(
      signed_as::link, by.node,
      link_digest(order_.terms, by, link.window, link.positions, link.output), link.proof);
}

void stage_evidence::verify_oldest() {
  const received_link oldest = std::move(unchecked_.front());
  unchecked_.pop_front();
  const auto known = received_.find(oldest.link.window);
  const bool more =
      known == received_.end() || known->second.link.positions <= oldest.link.positions;
  if (more && holds(oldest)) {
    received_[oldest.link.window] = oldest;
  }
}

// Anybody can send a signature that is none, so one that does not hold takes no other's place.
const stage_evidence::received_link*
stage_evidence::sender_of(std::uint32_t window, std::uint32_t positions, const digest& input) {
  const auto about = [&](const link_signature& link) {
    return link.window == window && link.positions == positions && link.output == input;
  };
  const auto known = received_.find(window);
  if (known != received_.end() && about(known->second.link)) {
    return &known->second;
  }
  for (auto at = unchecked_.begin(); at != unchecked_.end();) {
    if (!about(at->link)) {
      ++at;
      continue;
    }
    const received_link found = std::move(*at);
    at = unchecked_.erase(at);
    if (holds(found)) {
      return &(received_[window] = found);
    }
  }
  return nullptr;
}

void stage_evidence::finish(position length, const std::vector<compute::unit_leaf>& open,
                            std::chrono::nanoseconds since, evidence_news& news) {
  since_ = since;
  end_ = length;
  for (const compute::unit_leaf& leaf : open) {
    units_[leaf.unit] = leaf;
  }
  draws_.erase(draws_.lower_bound(length), draws_.end());
  pay_links(news);
  if (!last_) {
    const position before = out_.length() - out_.length() % window_size;
    sign_links(before, true, news);
  }
  state_windows(news);
}

void stage_evidence::state_windows(evidence_news& news) {
  while (true) {
    const auto w = static_cast<std::uint32_t>(records_.statements.size());
    const position first = w * window_size;
    if (end_ && first >= *end_) {
      return;
    }
    const std::uint32_t positions = end_ ? std::min(*end_ - first, window_size) : window_size;
    if (in_.length() < first + positions || !state_window(w, positions, news)) {
      return;
    }
  }
}

const digest& stage_evidence::commitment_to(std::uint32_t window) const {
  const auto found =
      std::find_if(records_.commitments.begin(), records_.commitments.end(),
                   [&](const commitment& c) { return window < c.window + c.windows; });
  OVIR_CHECK(found != records_.commitments.end(), window);
  return commitments_[static_cast<std::size_t>(found - records_.commitments.begin())];
}

// Who cites what its author did not sign of just this input answers for it alone.
bool stage_evidence::cite(statement& s, const window_origin& origin) const {
  for (const unit_citation& c : origin.cited) {
    const unit_claim claim = claim_of(s, by_, c.layer, origin.earlier[c.layer - by_.layers.first]);
    if (!verify_unit(c.author, claim_digest(order_.terms.model, order_.terms.profile, claim),
                     c.binding, c.proof)) {
      return false;
    }
  }
  s.cited = origin.cited;
  return true;
}

bool stage_evidence::fill(statement& s) {
  const auto origin = origins_.find(s.window);
  for (layer_index l = by_.layers.first; l < by_.layers.last; ++l) {
    s.kv.push_back(origin != origins_.end()
                       ? origin->second.kv[l - by_.layers.first]
                       : compute::kv_digest(data_->state.kv, l, s.window, s.positions));
    if (l + 1 == order_.terms.layers) {
      s.units.push_back(s.kv.back());
      continue;
    }
    const auto unit = units_.find({s.window, l});
    if (unit == units_.end() || unit->second.positions != s.positions) {
      return false;
    }
    s.units.push_back(unit->second.boundary);
  }
  if (origin != origins_.end() && !cite(s, origin->second)) {
    return false;
  }
  const position first = s.window * window_size;
  for (auto at = draws_.lower_bound(first); at != draws_.end() && at->first < first + s.positions;
       ++at) {
    s.first_draw = s.logits.empty() ? at->first : s.first_draw;
    if (at->first != s.first_draw + s.logits.size()) {
      return false;
    }
    s.logits.push_back(at->second.logits);
    if (at->second.choice) {
      s.choices.push_back(*at->second.choice);
    }
  }
  return s.choices.empty() || s.choices.size() == s.logits.size();
}

bool stage_evidence::state_window(std::uint32_t window, std::uint32_t positions,
                                  evidence_news& news) {
  const auto input = in_.at(window, positions);
  if (!input || data_ == nullptr) {
    return false;
  }
  const received_link* const received = sender_of(window, positions, *input);
  if (received == nullptr) {
    return false; // who sent it has not signed it, or signed something else
  }
  statement s;
  s.window = window;
  s.positions = positions;
  s.input = *input;
  s.received = received->link.proof;
  s.compute_us = microseconds(times_[window]);
  s.elapsed_us = microseconds(since_);
  s.handovers = handovers_of(window * window_size, positions);
  if (!fill(s)) {
    return false;
  }
  const digest value = statement_digest(commitment_to(window), summary_of(s, by_, history_.root()));
  s.proof = bench_->desk->known->sign(signed_as::statement, key_, value);
  history_.add(signed_digest(value, s.proof));
  const evidence_signer& sender = received->sender;
  if (std::find(records_.senders.begin(), records_.senders.end(), sender) ==
          records_.senders.end() &&
      records_.senders.size() < limits::evidence_senders_max) {
    records_.senders.push_back(sender);
  }
  news.to_lead.records.senders = records_.senders;
  news.to_lead.records.statements.push_back(s);
  records_.statements.push_back(std::move(s));
  received_.erase(window);
  std::erase_if(unchecked_, [&](const received_link& r) { return r.link.window <= window; });
  times_.erase(window);
  handovers_.erase(handovers_.begin(), handovers_.upper_bound((window + 1) * window_size));
  units_.erase(units_.begin(), units_.lower_bound({window + 1, 0}));
  in_.forget(window);
  origins_.erase(window);
  return true;
}

evidence_batch stage_evidence::links() const {
  evidence_batch batch = begin().to_next;
  for (const auto& [window, link] : sent_) {
    batch.links.push_back(link);
  }
  return batch;
}

std::vector<evidence_batch> stage_evidence::all() const {
  std::vector<evidence_batch> batches;
  std::size_t told = 0;
  do {
    evidence_batch batch = begin().to_lead;
    if (told == 0) {
      batch.records.commitments = records_.commitments;
    }
    batch.records.senders = records_.senders;
    const std::size_t count =
        std::min(limits::statements_per_batch_max, records_.statements.size() - told);
    const auto first = records_.statements.begin() + static_cast<std::ptrdiff_t>(told);
    batch.records.statements.assign(first, first + static_cast<std::ptrdiff_t>(count));
    told += count;
    batches.push_back(std::move(batch));
  } while (told < records_.statements.size());
  return batches;
}

} // namespace ovir::actors
