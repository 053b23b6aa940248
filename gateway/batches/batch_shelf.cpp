#include "gateway/batches/batch_shelf.hpp"

#include "messages/limits/batches.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace ovir::gateway {

namespace {

/// A page of what is in `all`, as OpenAI's clients read it.
template <class Record>
api_result<json> page_of(std::vector<const Record*> all, const list_query& query) {
  std::sort(all.begin(), all.end(), [&](const Record* a, const Record* b) {
    const auto rank = [](const Record* r) {
      return std::pair{r->created, std::string_view{r->id}};
    };
    return query.newest_first ? rank(b) < rank(a) : rank(a) < rank(b);
  });
  auto from = all.begin();
  if (!query.after.empty()) {
    from =
        std::find_if(all.begin(), all.end(), [&](const Record* r) { return r->id == query.after; });
    if (from == all.end()) {
      return bad_parameter("after", "'after' names nothing that this list has");
    }
    ++from;
  }
  const auto left = static_cast<std::uint64_t>(all.end() - from);
  const auto until = from + static_cast<std::ptrdiff_t>(std::min(left, query.most));
  json data = json::array();
  for (auto one = from; one != until; ++one) {
    data.push_back(json_of(**one));
  }
  const bool some = from != until;
  return json{{"object", "list"},
              {"data", std::move(data)},
              {"first_id", some ? json((*from)->id) : json{}},
              {"last_id", some ? json((*(until - 1))->id) : json{}},
              {"has_more", until != all.end()}};
}

} // namespace

std::optional<api_error> batch_shelf::begin_file(const stored_file& file) {
  const auto found = holdings_.find(file.owner);
  const holding has = found == holdings_.end() ? holding{} : found->second;
  if (has.files >= limits::files_per_key_max ||
      has.bytes + file.bytes > limits::file_bytes_per_key_max) {
    return refusal(429, "file_quota",
                   fmt::format("this key has {} files of {} bytes here, and may have {} of {}; "
                               "delete some",
                               has.files, has.bytes, limits::files_per_key_max,
                               limits::file_bytes_per_key_max));
  }
  if (files_.size() >= limits::files_max || bytes_ + file.bytes > limits::file_bytes_all_max) {
    return refusal(503, "files_full", "this node keeps as many files as it may; ask another");
  }
  put_file(file);
  files_.at(file.id).settled = false;
  return std::nullopt;
}

void batch_shelf::settle_file(const std::string& id) {
  if (const auto found = files_.find(id); found != files_.end()) {
    found->second.settled = true;
  }
}

void batch_shelf::put_file(const stored_file& file) {
  drop_file(file.id);
  files_[file.id] = {file};
  holding& has = holdings_[file.owner];
  ++has.files;
  has.bytes += file.bytes;
  bytes_ += file.bytes;
}

void batch_shelf::drop_file(const std::string& id) {
  const auto found = files_.find(id);
  if (found == files_.end()) {
    return;
  }
  const stored_file& file = found->second.record;
  const auto has = holdings_.find(file.owner);
  --has->second.files;
  has->second.bytes -= file.bytes;
  if (has->second.files == 0) {
    holdings_.erase(has);
  }
  bytes_ -= file.bytes;
  files_.erase(found);
}

const stored_file* batch_shelf::find_file(std::string_view owner, const std::string& id) const {
  const auto found = files_.find(id);
  return found != files_.end() && found->second.settled && found->second.record.owner == owner
             ? &found->second.record
             : nullptr;
}

api_result<json> batch_shelf::list_files(std::string_view owner, const list_query& query) const {
  std::vector<const stored_file*> all;
  for (const auto& [id, one] : files_) {
    const stored_file& file = one.record;
    if (one.settled && file.owner == owner &&
        (query.purpose.empty() || query.purpose == file.purpose)) {
      all.push_back(&file);
    }
  }
  return page_of(std::move(all), query);
}

bool batch_shelf::in_use(const std::string& file) const {
  return std::any_of(batches_.begin(), batches_.end(), [&](const auto& one) {
    const batch_record& batch = one.second.record;
    return batch.input == file && !is_over(batch.state);
  });
}

std::vector<std::string> batch_shelf::expired_files(std::uint64_t unix_seconds) const {
  std::vector<std::string> ids;
  for (const auto& [id, one] : files_) {
    if (one.settled && one.record.expires <= unix_seconds && !in_use(id)) {
      ids.push_back(id);
    }
  }
  return ids;
}

std::optional<api_error> batch_shelf::begin_batch(const batch_record& batch) {
  const auto open = static_cast<std::size_t>(
      std::count_if(batches_.begin(), batches_.end(), [&](const auto& one) {
        const batch_record& other = one.second.record;
        return other.owner == batch.owner && !is_over(other.state);
      }));
  if (open >= limits::batches_open_per_key_max) {
    return refusal(
        429, "batch_quota",
        fmt::format("this key has {} batches that are not over, as many as it may have", open));
  }
  if (open_batches() >= limits::batches_open_max || batches_.size() >= limits::batches_max) {
    return refusal(503, "overloaded", "this node has as many batches as it may; ask another");
  }
  batches_[batch.id] = {batch, false};
  return std::nullopt;
}

void batch_shelf::settle_batch(const std::string& id) {
  if (const auto found = batches_.find(id); found != batches_.end()) {
    found->second.settled = true;
  }
}

void batch_shelf::put_batch(const batch_record& batch) { batches_[batch.id] = {batch}; }

void batch_shelf::drop_batch(const std::string& id) { batches_.erase(id); }

const batch_record* batch_shelf::find_batch(std::string_view owner, const std::string& id) const {
  const auto found = batches_.find(id);
  return found != batches_.end() && found->second.settled && found->second.record.owner == owner
             ? &found->second.record
             : nullptr;
}

batch_record* batch_shelf::record_of(const std::string& id) {
  const auto found = batches_.find(id);
  return found == batches_.end() ? nullptr : &found->second.record;
}

api_result<json> batch_shelf::list_batches(std::string_view owner, const list_query& query) const {
  std::vector<const batch_record*> all;
  for (const auto& [id, one] : batches_) {
    if (one.settled && one.record.owner == owner) {
      all.push_back(&one.record);
    }
  }
  return page_of(std::move(all), query);
}

std::vector<std::string> batch_shelf::surplus_batches(std::string_view owner) const {
  std::vector<std::pair<std::uint64_t, std::string>> over;
  std::size_t all = 0;
  for (const auto& [id, one] : batches_) {
    const batch_record& batch = one.record;
    all += batch.owner == owner ? 1 : 0;
    if (batch.owner == owner && one.settled && is_over(batch.state)) {
      over.emplace_back(batch.created, id);
    }
  }
  std::sort(over.begin(), over.end());
  const std::size_t surplus = all - std::min(all, limits::batches_per_key_max);
  std::vector<std::string> ids;
  for (std::size_t i = 0; i < std::min(surplus, over.size()); ++i) {
    ids.push_back(over[i].second);
  }
  return ids;
}

std::vector<std::string> batch_shelf::expired_batches(std::uint64_t unix_seconds) const {
  std::vector<std::string> ids;
  for (const auto& [id, one] : batches_) {
    const std::uint64_t last = one.record.expires + limits::file_life_most;
    if (is_over(one.record.state) && last <= unix_seconds) {
      ids.push_back(id);
    }
  }
  return ids;
}

std::size_t batch_shelf::open_batches() const {
  return static_cast<std::size_t>(
      std::count_if(batches_.begin(), batches_.end(),
                    [](const auto& one) { return !is_over(one.second.record.state); }));
}

} // namespace ovir::gateway
