#include "gateway/batches/batch_runs.hpp"

#include "gateway/batches/batch_run_parts.hpp"
#include "gateway/http/event_id.hpp"
#include "messages/check.hpp"
#include "messages/limits/batches.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <utility>
#include <vector>

namespace ovir::gateway {

namespace {

/// Of a line whose model is unknown after a restart: half a minute.
constexpr std::uint32_t early_tries = 5;

std::string_view text_of_map(const storage::mapped_file& file) {
  const auto bytes = file.bytes();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Of a reply that asks to come again.
std::chrono::milliseconds wait_asked_for(const http_reply& reply) {
  std::uint32_t seconds = 0;
  for (const auto& [name, value] : reply.fields) {
    if (name == "Retry-After") {
      std::from_chars(value.data(), value.data() + value.size(), seconds);
    }
  }
  return std::chrono::seconds{seconds};
}

stored_file output_of(const batch_record& batch, const std::string& id, std::string_view what,
                      std::uint64_t bytes, std::uint64_t now) {
  stored_file file;
  file.id = id;
  file.owner = batch.owner;
  file.name = fmt::format("{}_{}.jsonl", batch.id, what);
  file.purpose = "batch_output";
  file.bytes = bytes;
  file.created = now;
  file.expires = now + batch.output_life;
  return file;
}

} // namespace

batch_runs::batch_runs(const api_surroundings& around, api_asker& asker, batch_shelf& shelf,
                       batch_folder& folder, disk_work on_disk, std::uint32_t lines_at_once)
    : around_(around), asker_(asker), shelf_(shelf), folder_(folder), on_disk_(std::move(on_disk)),
      lines_at_once_(std::max<std::uint32_t>(lines_at_once, 1)) {}

batch_runs::~batch_runs() {
  for (const auto& [id, r] : runs_) {
    for (const auto& [index, flight] : r->under_way) {
      if (flight.exchange) {
        flight.exchange->forget(); // which knows its batch
      }
    }
  }
}

void batch_runs::take(const batch_record& batch, bool restored) {
  const auto r = std::make_shared<run>(batch);
  r->restored = restored;
  r->search_left = restored ? lines_at_once_ : 0;
  runs_[batch.id] = r;
  if (batch.state == batch_state::cancelling) {
    r->ending = batch_state::cancelled;
  }
  go_on(r);
}

void batch_runs::elsewhere(const run_pointer& r, std::function<result<void>()> work,
                           std::function<void(const result<void>&)> then) {
  r->busy = true;
  const auto outcome = std::make_shared<result<void>>();
  on_disk_([work = std::move(work), outcome] { *outcome = work(); },
           [this, r, outcome, then = std::move(then)] {
             r->busy = false;
             then(*outcome);
             go_on(r);
             begin_lines();
           });
}

/// The next thing that has to be done for a batch, beside asking its lines.
void batch_runs::go_on(const run_pointer& r) {
  if (r->busy || r->cancelling || r->over || around_.now() < r->stalled_until) {
    return;
  }
  if (!r->loaded) {
    return scan(r);
  }
  if (!r->answers.text.empty() || !r->errors.text.empty()) {
    return write(r);
  }
  if (!r->ending && r->done_count == r->lines.lines()) {
    r->ending = batch_state::completed;
  }
  if (!r->ending || !r->under_way.empty()) {
    return;
  }
  if (r->rest) {
    return write_rest(r);
  }
  end(r);
}

// Before the first line

void batch_runs::scan(const run_pointer& r) {
  const batch_record* const record = shelf_.record_of(r->id);
  const auto over = std::make_shared<bool>(false);
  elsewhere(
      r,
      [this, r, over, id = record->input]() -> result<void> {
        if (!r->input) {
          OVIR_ASSIGN(r->input, folder_.bytes_of(id));
        }
        *over = r->lines.step(text_of_map(*r->input), limits::batch_scan_bytes);
        return {};
      },
      [this, r, over](const result<void>& done) {
        if (!done) {
          return fail_input(r, {{"input_unreadable", done.error().message}});
        }
        if (*over && !r->lines.faults().empty()) {
          fail_input(r, r->lines.faults());
        } else if (*over) {
          load(r);
        }
      });
}

/// What an earlier life wrote, before any line is asked. That it is in progress does not come to
/// the disk: another life looks at the input again anyway.
void batch_runs::load(const run_pointer& r) {
  const batch_record& record = *shelf_.record_of(r->id);
  const auto answers = std::make_shared<written_lines>();
  const auto errors = std::make_shared<written_lines>();
  elsewhere(
      r,
      [this, r, answers, errors, output = record.output,
       failures = record.errors]() -> result<void> {
        OVIR_ASSIGN(*answers, folder_.lines_of(output, r->id));
        OVIR_ASSIGN(*errors, folder_.lines_of(failures, r->id));
        return {};
      },
      [this, r, answers, errors](const result<void>& done) {
        if (!done) {
          return stall(*r, done.error());
        }
        r->done.assign(r->lines.lines(), false);
        for (const written_lines* const written : {answers.get(), errors.get()}) {
          for (const std::uint32_t index : written->indexes) {
            const bool fresh = index < r->done.size() && !r->done[index];
            r->done_count += fresh ? 1 : 0;
            if (fresh) {
              r->done[index] = true;
            }
          }
        }
        r->answers_bytes = answers->bytes;
        r->errors_bytes = errors->bytes;
        batch_record& now = *shelf_.record_of(r->id);
        now.counts = {r->lines.lines(), answers->indexes.size(), errors->indexes.size()};
        if (now.state == batch_state::validating) {
          now.state = batch_state::in_progress;
          now.times["in_progress"] = around_.unix_seconds();
        }
        r->loaded = true;
        around_.say(std::nullopt, fmt::format("batch {}: {} of {} lines are done", r->id,
                                              r->done_count, r->lines.lines()));
      });
}

void batch_runs::fail_input(const run_pointer& r, std::vector<batch_fault> faults) {
  r->ending = batch_state::failed;
  batch_record record = *shelf_.record_of(r->id);
  record.state = batch_state::failed;
  record.times["failed"] = around_.unix_seconds();
  record.faults = std::move(faults);
  elsewhere(
      r, [this, record] { return folder_.keep(record); },
      [this, r, record](const result<void>& done) {
        if (!done) {
          return stall(*r, done.error());
        }
        r->over = true;
        shelf_.put_batch(record);
        runs_.erase(r->id);
      });
}

// Lines

/// A line of the batch whose turn it is: batches take turns, so that a long one is no obstacle.
void batch_runs::begin_lines() {
  while (under_way_ < lines_at_once_ && around_.engine->ready()) {
    run_pointer chosen;
    std::optional<std::uint32_t> index;
    auto at = runs_.upper_bound(turn_);
    for (std::size_t seen = 0; seen < runs_.size() && !index; ++seen, ++at) {
      if (at == runs_.end()) {
        at = runs_.begin();
      }
      chosen = at->second;
      index = next_line(*chosen);
    }
    if (!index) {
      return;
    }
    turn_ = chosen->id;
    read_line(chosen, *index);
  }
}

std::optional<std::uint32_t> batch_runs::next_line(run& r) const {
  const auto now = around_.now();
  if (!r.loaded || r.ending || now < r.stalled_until) {
    return std::nullopt;
  }
  const auto due = std::find_if(r.again.begin(), r.again.end(),
                                [&](const auto& one) { return one.second.until <= now; });
  if (due != r.again.end()) {
    return due->first;
  }
  if (r.again.size() >= std::size_t{2} * lines_at_once_) {
    return std::nullopt; // the cluster, or the key's quota, takes none just now
  }
  while (r.next < r.done.size() && r.done[r.next]) {
    ++r.next;
  }
  return r.next < r.done.size() ? std::optional{r.next} : std::nullopt;
}

/// On the other thread, because a line may be long.
void batch_runs::read_line(const run_pointer& r, std::uint32_t index) {
  run::flight flight;
  if (const auto paused = r->again.find(index); paused != r->again.end()) {
    flight.tries = paused->second.tries;
    r->again.erase(paused);
  } else {
    r->next = index + 1;
  }
  r->under_way[index] = std::move(flight);
  ++under_way_;
  const auto read = std::make_shared<std::variant<batch_line, batch_fault>>();
  on_disk_(
      [r, index, read] {
        *read = batch_line_from(r->lines.line(text_of_map(*r->input), index), r->endpoint,
                                index + std::uint64_t{1});
      },
      [this, r, index, read] {
        auto* const line = std::get_if<batch_line>(read.get());
        OVIR_CHECK(line != nullptr); // it was looked at with all lines
        if (r->under_way.contains(index)) {
          ask(r, index, std::move(*line));
        }
        begin_lines();
      });
}

void batch_runs::ask(const run_pointer& r, std::uint32_t index, batch_line line) {
  http_request request;
  request.method = "POST";
  request.path = r->endpoint;
  request.fields["content-type"] = "application/json";
  request.fields["x-ovir-request"] = to_text(request_of_line(r->id, index));
  request.body = std::move(line.body);
  const auto exchange = std::make_shared<line_exchange>(
      [this, r, index](const http_reply& reply) { take_answer(r, index, reply); });
  run::flight& flight = r->under_way.at(index);
  flight.name = std::move(line.name);
  flight.exchange = exchange;
  const std::uint32_t tries = flight.tries;
  const bool may_run = tries > 0 || r->search_left > 0;
  r->search_left -= r->search_left > 0 ? 1 : 0;
  const ask_start begun = asker_.ask(r->owner, std::move(request), exchange, may_run);
  if (begun == ask_start::begun) {
    return;
  }
  r->under_way.erase(index);
  --under_way_;
  if (begun == ask_start::no_room) {
    return ask_later(r, index, tries, {});
  }
  batch_record& record = *shelf_.record_of(r->id);
  record.faults = {{"invalid_api_key", "the API key of this batch is unknown or was revoked"}};
  begin_end(r, batch_state::cancelled, std::nullopt);
}

void batch_runs::take_answer(const run_pointer& r, std::uint32_t index, const http_reply& reply) {
  const auto found = r->under_way.find(index);
  if (found == r->under_way.end()) {
    return;
  }
  const run::flight flight = std::move(found->second);
  r->under_way.erase(found);
  --under_way_;
  // A node that has just begun may not know its models yet.
  const bool early = reply.status == 404 && r->restored && flight.tries < early_tries;
  if (reply.status == 429 || reply.status == 503 || early) {
    ask_later(r, index, flight.tries, wait_asked_for(reply));
  } else {
    run::unwritten& to = reply.status == 200 ? r->answers : r->errors;
    to.text += answered_line(r->id, index, flight.name, reply);
    to.lines.push_back(index);
  }
  go_on(r);
  begin_lines();
}

void batch_runs::ask_later(const run_pointer& r, std::uint32_t index, std::uint32_t tries,
                           std::chrono::milliseconds least) {
  constexpr std::uint32_t doublings = 6;
  const auto pause = std::min<std::chrono::milliseconds>(
      limits::batch_pause_least * (1U << std::min(tries, doublings)), limits::batch_pause_most);
  r->again[index] = {around_.now() + std::max(pause, least), tries + 1};
}

// The disk

void batch_runs::write(const run_pointer& r) {
  const auto answers = std::make_shared<run::unwritten>(std::exchange(r->answers, {}));
  const auto errors = std::make_shared<run::unwritten>(std::exchange(r->errors, {}));
  const batch_record& record = *shelf_.record_of(r->id);
  elsewhere(
      r,
      [this, answers, errors, output = record.output, failures = record.errors,
       at = r->answers_bytes, errors_at = r->errors_bytes]() -> result<void> {
        if (!answers->text.empty()) {
          OVIR_TRY(folder_.write(output, at, answers->text));
        }
        return errors->text.empty() ? result<void>{}
                                    : folder_.write(failures, errors_at, errors->text);
      },
      [this, r, answers, errors](const result<void>& written) {
        if (!written) {
          r->answers.put_in_front(std::move(*answers));
          r->errors.put_in_front(std::move(*errors));
          return stall(*r, written.error());
        }
        r->answers_bytes += answers->text.size();
        r->errors_bytes += errors->text.size();
        for (const run::unwritten* const part : {answers.get(), errors.get()}) {
          for (const std::uint32_t index : part->lines) {
            r->done[index] = true;
            ++r->done_count;
          }
        }
        completed_ += answers->lines.size();
        failed_ += errors->lines.size();
        batch_counts& counts = shelf_.record_of(r->id)->counts;
        counts.completed += answers->lines.size();
        counts.failed += errors->lines.size();
        if (r->answers_bytes + r->errors_bytes > limits::batch_output_bytes_max && !r->ending) {
          begin_end(r, batch_state::completed,
                    batch_fault{"output_too_large",
                                fmt::format("the batch's answers have more than {} bytes",
                                            limits::batch_output_bytes_max)});
        }
      });
}

/// An error for each line that is left.
void batch_runs::write_rest(const run_pointer& r) {
  const auto text = std::make_shared<std::string>();
  const auto count = std::make_shared<std::uint32_t>(0);
  const batch_record& record = *shelf_.record_of(r->id);
  elsewhere(
      r,
      [this, r, text, count, failures = record.errors, at = r->errors_bytes]() -> result<void> {
        for (std::uint32_t i = 0; i < r->done.size(); ++i) {
          if (r->done[i]) {
            continue;
          }
          const auto read = batch_line_from(r->lines.line(text_of_map(*r->input), i), r->endpoint,
                                            i + std::uint64_t{1});
          const auto* const line = std::get_if<batch_line>(&read);
          *text += unanswered_line(r->id, i, line != nullptr ? line->name : std::string{},
                                   r->rest->code, r->rest->message);
          ++*count;
        }
        return text->empty() ? result<void>{} : folder_.write(failures, at, *text);
      },
      [this, r, text, count](const result<void>& written) {
        if (!written) {
          return stall(*r, written.error());
        }
        r->rest.reset();
        r->done.assign(r->done.size(), true);
        r->done_count = r->lines.lines();
        r->errors_bytes += text->size();
        failed_ += *count;
        shelf_.record_of(r->id)->counts.failed += *count;
      });
}

void batch_runs::stall(run& r, const error& why) {
  r.stalled_until = around_.now() + limits::batch_disk_pause;
  if (!std::exchange(r.told, true)) {
    around_.say(std::nullopt, fmt::format("batch {} waits for the disk: {}", r.id, why.message));
  }
}

// The end

/// No further line is begun, and those under way are left. What came is written first.
void batch_runs::begin_end(const run_pointer& r, batch_state state,
                           std::optional<batch_fault> rest) {
  r->ending = state;
  r->rest = std::move(rest);
  r->again.clear();
  under_way_ -= static_cast<std::uint32_t>(r->under_way.size());
  for (const auto& [index, flight] : std::exchange(r->under_way, {})) {
    if (flight.exchange) {
      asker_.give_up(r->owner, request_of_line(r->id, index));
      flight.exchange->leave();
    }
  }
  go_on(r);
}

void batch_runs::end(const run_pointer& r) {
  batch_record record = *shelf_.record_of(r->id);
  const std::uint64_t now = around_.unix_seconds();
  record.state = *r->ending;
  record.times["finalizing"] = now;
  record.times[std::string{name_of(record.state)}] = now;
  std::vector<stored_file> files;
  if (record.counts.completed > 0) {
    files.push_back(output_of(record, record.output, "output", r->answers_bytes, now));
  }
  if (record.counts.failed > 0) {
    files.push_back(output_of(record, record.errors, "error", r->errors_bytes, now));
  }
  elsewhere(
      r,
      [this, record, files]() -> result<void> {
        for (const stored_file& file : files) {
          OVIR_TRY(folder_.keep(file));
        }
        return folder_.keep(record);
      },
      [this, r, record, files](const result<void>& kept) {
        if (!kept) {
          return stall(*r, kept.error());
        }
        for (const stored_file& file : files) {
          shelf_.put_file(file);
        }
        r->over = true;
        shelf_.put_batch(record);
        runs_.erase(r->id);
        around_.say(std::nullopt, fmt::format("batch {}: {}, {} lines answered, {} not", record.id,
                                              name_of(record.state), record.counts.completed,
                                              record.counts.failed));
      });
}

void batch_runs::cancel(const std::string& id,
                        std::function<void(const result<batch_record>&)> done) {
  const auto found = runs_.find(id);
  batch_record* const record = shelf_.record_of(id);
  if (found == runs_.end() || found->second->ending) { // it ends anyway
    return done(*record);
  }
  record->state = batch_state::cancelling;
  record->times["cancelling"] = around_.unix_seconds();
  const run_pointer r = found->second;
  r->cancelling = true;
  begin_end(r, batch_state::cancelled, std::nullopt);
  // Not on the disk's thread: `done` may hold a connection, which ends with the server. Nothing
  // else writes this record now.
  const auto kept = std::make_shared<result<void>>();
  around_.elsewhere([this, kept, copy = *record] { *kept = folder_.keep(copy); },
                    [this, r, kept, copy = *record, done = std::move(done)] {
                      *kept ? done(copy) : done(kept->error());
                      r->cancelling = false;
                      go_on(r);
                    });
}

void batch_runs::tick() {
  const std::uint64_t now = around_.unix_seconds();
  const auto all = runs_; // one that ends is taken out
  for (const auto& [id, r] : all) {
    const batch_record* const record = shelf_.record_of(id);
    if (!r->ending && record != nullptr && record->expires <= now) {
      begin_end(r, batch_state::expired,
                batch_fault{"batch_expired", "the batch expired before this line had an answer"});
    } else {
      go_on(r);
    }
  }
  begin_lines();
}

} // namespace ovir::gateway
