#include "actors/audit/addendum_shelf.hpp"

#include "messages/evidence/receipt.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace ovir::actors {

namespace {

/// By what its verifiers say: which of two files is the older one.
std::uint64_t latest_of(const std::vector<addendum>& all) {
  std::uint64_t latest = 0;
  for (const addendum& a : all) {
    latest = std::max(latest, a.unix_seconds);
  }
  return latest;
}

} // namespace

std::unique_ptr<addendum_shelf> addendum_shelf::open(storage::env& env, const std::string& state) {
  std::unique_ptr<addendum_shelf> shelf{new addendum_shelf{env, state + "/audits/addenda"}};
  if (env.make_folder(shelf->folder_)) {
    shelf->read_all();
  }
  return shelf;
}

void addendum_shelf::read_all() {
  const auto names = env_.list(folder_);
  std::vector<std::pair<std::uint64_t, digest>> found;
  for (const std::string& name : names ? *names : std::vector<std::string>{}) {
    const std::string path = fmt::format("{}/{}", folder_, name);
    const auto text = env_.read(path, limits::addenda_bytes_max);
    if (!text) {
      continue; // a disk that does not answer now may answer the next life
    }
    auto all = decode_addenda(std::as_bytes(std::span{*text}));
    if (!all || all->empty() || to_hex(all->front().receipt) != name) {
      static_cast<void>(env_.remove(path));
      continue;
    }
    const digest receipt = all->front().receipt;
    found.emplace_back(latest_of(*all), receipt);
    entries_[receipt].addenda = std::move(*all);
  }
  std::sort(found.begin(), found.end());
  for (const auto& [time, receipt] : found) {
    written_.push_back(receipt);
    drop_oldest();
  }
}

/// Of what is on the disk.
void addendum_shelf::drop_oldest() {
  while (written_.size() > limits::addenda_receipts_max) {
    const auto oldest = entries_.find(written_.front());
    static_cast<void>(env_.remove(fmt::format("{}/{}", folder_, to_hex(written_.front()))));
    written_.pop_front();
    oldest->second.addenda.clear();
    if (oldest->second.bytes == nullptr) {
      entries_.erase(oldest);
    }
  }
}

void addendum_shelf::hold(request_id request, receipt_bytes bytes, bool closed_now) {
  const digest name = receipt_digest(*bytes);
  const time_point now = env_.now();
  const std::lock_guard lock{guard_};
  entry& e = entries_[name];
  if (e.bytes == nullptr) {
    bytes_ += bytes->size();
    e.bytes = std::move(bytes);
  }
  if (closed_now && !e.closed) {
    e.closed = now;
  }
  requests_[request] = name;
  order_.emplace_back(request, name);
  while (order_.size() > 1 &&
         (bytes_ > limits::kept_answers_bytes_max || order_.size() > limits::kept_answers_max)) {
    const auto [oldest, of] = order_.front();
    order_.pop_front();
    const auto held = requests_.find(oldest);
    const bool again =
        std::find(order_.begin(), order_.end(), std::pair{oldest, of}) != order_.end();
    if (held != requests_.end() && held->second == of && !again) {
      requests_.erase(held);
    }
    if (std::any_of(order_.begin(), order_.end(),
                    [&what = of](const auto& other) { return other.second == what; })) {
      continue;
    }
    const auto dropped = entries_.find(of);
    bytes_ -= dropped->second.bytes->size();
    dropped->second.bytes = nullptr;
    dropped->second.subject = nullptr;
    if (dropped->second.addenda.empty()) {
      entries_.erase(dropped);
    }
  }
}

void addendum_shelf::note_unentered(const digest& receipt) {
  const std::lock_guard lock{guard_};
  if (const auto found = entries_.find(receipt); found != entries_.end()) {
    found->second.unentered = true;
  }
}

result<void> addendum_shelf::take(const addendum& a,
                                  std::optional<compute::addendum_fault>& fault) {
  const auto unknown = [&] {
    return fail(errc::not_found, "no receipt {} is kept here", to_hex(a.receipt).substr(0, 8));
  };
  receipt_bytes bytes;
  std::shared_ptr<const compute::addendum_subject> subject;
  {
    const std::lock_guard lock{guard_};
    const auto found = entries_.find(a.receipt);
    if (found == entries_.end() || found->second.bytes == nullptr) {
      return unknown();
    }
    bytes = found->second.bytes;
    subject = found->second.subject;
  }
  if (subject == nullptr) {
    OVIR_ASSIGN(const receipt r, decode_receipt(*bytes));
    subject = std::make_shared<const compute::addendum_subject>(compute::subject_of(r, a.receipt));
  }
  std::vector<addendum> all;
  {
    const std::lock_guard lock{guard_};
    const auto found = entries_.find(a.receipt);
    if (found == entries_.end() || found->second.bytes == nullptr) {
      return unknown();
    }
    entry& e = found->second;
    e.subject = subject;
    fault = compute::find_addendum_fault(a, *subject, e.addenda);
    if (fault) {
      return error{errc::invalid_argument, fault->text};
    }
    const auto same = std::count_if(e.addenda.begin(), e.addenda.end(), [&](const addendum& other) {
      return other.verifier == a.verifier;
    });
    if (e.addenda.size() >= limits::addenda_per_receipt_max ||
        static_cast<std::size_t>(same) >= limits::addenda_per_verifier_max) {
      return fail(errc::over_limit, "{} addenda are about receipt {}, {} of {}", e.addenda.size(),
                  to_hex(a.receipt).substr(0, 8), same, short_name(a.verifier));
    }
    if (e.addenda.empty()) {
      written_.push_back(a.receipt);
    }
    e.addenda.push_back(a);
    all = e.addenda;
    drop_oldest();
  }
  return write(a.receipt, all);
}

result<void> addendum_shelf::write(const digest& receipt, const std::vector<addendum>& all) {
  OVIR_ASSIGN(const auto bytes, encode_addenda(all));
  OVIR_ASSIGN(const auto file, env_.stage(fmt::format("{}/{}", folder_, to_hex(receipt))));
  OVIR_TRY(file->append(bytes));
  return file->commit();
}

std::optional<addendum_shelf::answer> addendum_shelf::find(request_id request) const {
  const std::lock_guard lock{guard_};
  const auto named = requests_.find(request);
  if (named == requests_.end()) {
    return std::nullopt;
  }
  return answer{named->second, entries_.at(named->second).bytes};
}

addendum_shelf::news addendum_shelf::about(const digest& receipt) const {
  const time_point now = env_.now();
  const std::lock_guard lock{guard_};
  const auto found = entries_.find(receipt);
  if (found == entries_.end()) {
    return {};
  }
  const entry& e = found->second;
  return {e.addenda, e.closed ? std::optional{now - *e.closed} : std::nullopt, e.unentered};
}

} // namespace ovir::actors
