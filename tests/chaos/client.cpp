#include "tests/chaos/client.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <exception>

namespace ovir::chaos {

namespace {

constexpr std::chrono::seconds client_deadline{120};
constexpr std::chrono::seconds stall_window{2};

double ms_between(clock::time_point from, clock::time_point to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

} // namespace

clients::clients(const test::test_cluster& cluster, const std::vector<expected_answer>& workload,
                 std::size_t count, std::uint64_t seed)
    : cluster_(cluster), workload_(workload), streams_(count), shells_(count, nullptr),
      running_(count) {
  for (std::size_t i = 0; i < count; ++i) {
    threads_.emplace_back([this, i, seed] { run(i, seed); });
  }
}

clients::~clients() {
  over_.store(true);
  {
    const std::lock_guard lock{guard_};
    for (test::cluster_shell* shell : shells_) {
      if (shell != nullptr) {
        shell->interrupt();
      }
    }
  }
  for (std::thread& thread : threads_) {
    thread.join();
  }
}

void clients::run(std::size_t index, std::uint64_t seed) {
  std::mt19937_64 random{seed ^ (0x9e3779b97f4a7c15U * (index + 1))};
  // Each begins at another scheduler.
  std::vector<std::size_t> places = cluster_.with_role("scheduler");
  std::rotate(places.begin(), places.begin() + static_cast<long>(index % places.size()),
              places.end());
  try {
    test::cluster_shell shell = cluster_.shell(places, client_deadline);
    {
      const std::lock_guard lock{guard_};
      shells_[index] = &shell;
    }
    while (!over_.load()) {
      ask(index, shell, workload_[random() % workload_.size()], fmt::format("{:016x}", random()));
    }
    const std::lock_guard lock{guard_};
    shells_[index] = nullptr;
  } catch (const std::exception& failed) {
    const std::lock_guard lock{guard_};
    tally_.lost.push_back(fmt::format("client {}: {}", index, failed.what()));
  }
  const std::lock_guard lock{guard_};
  --running_;
  ++version_;
  changed_.notify_all();
}

void clients::ask(std::size_t index, test::cluster_shell& shell, const expected_answer& wanted,
                  const std::string& request) {
  apps::json arguments = wanted.arguments;
  arguments["request"] = request;
  {
    const std::lock_guard lock{guard_};
    const clock::time_point now = clock::now();
    streams_[index] = {.request = request,
                       .begun = now,
                       .news = now,
                       .wanted = static_cast<std::uint32_t>(wanted.tokens.size())};
    ++version_;
  }
  changed_.notify_all();
  apps::shell_listener listener;
  listener.token = [this, index](std::uint64_t) { token_came(index); };
  std::string notes;
  listener.note = [&notes](std::string_view note) { notes += fmt::format(" [{}]", note); };
  const apps::shell_outcome outcome = shell.call("run", arguments, listener);
  const std::string failure = test::failure_text(outcome);
  const auto* const data = std::get_if<apps::json>(&outcome);
  const std::string wrong = data == nullptr ? std::string{} : difference(wanted, *data);
  const std::lock_guard lock{guard_};
  stream& s = streams_[index];
  if (s.hurt) {
    note_token(s, clock::now()); // the end is news as well
  }
  if (s.hurt) {
    close_hurt(s);
  }
  ++tally_.requests;
  tally_.tokens += s.drawn;
  if (data != nullptr) {
    tally_.recoveries += data->value("recoveries", std::uint64_t{0});
  }
  if (!failure.empty()) {
    const bool contradiction = failure.starts_with("digest_mismatch");
    (contradiction ? tally_.changed : tally_.lost)
        .push_back(fmt::format("request {} after {} of {} tokens and {:.1f} s: {}{}", request,
                               s.drawn, s.wanted, ms_between(s.begun, clock::now()) / 1e3, failure,
                               notes));
  } else if (!wrong.empty()) {
    tally_.changed.push_back(fmt::format("request {}: {}{}", request, wrong, notes));
  }
  s.request.clear();
  ++version_;
  changed_.notify_all();
}

void clients::token_came(std::size_t index) {
  {
    const std::lock_guard lock{guard_};
    stream& s = streams_[index];
    const clock::time_point now = clock::now();
    if (s.hurt) {
      note_token(s, now);
    }
    s.news = now;
    ++s.drawn;
    ++version_;
  }
  changed_.notify_all();
}

void clients::note_token(stream& s, clock::time_point now) {
  const double since = ms_between(*s.hurt, now);
  s.next_token_ms = s.next_token_ms.value_or(since);
  s.stall_ms = std::max(s.stall_ms, ms_between(std::max(s.news, *s.hurt), now));
  if (now - *s.hurt > stall_window) {
    close_hurt(s);
  }
}

void clients::close_hurt(stream& s) {
  hurt_waits& waits = tally_.waits[s.by];
  waits.next_token.push_back(*s.next_token_ms);
  waits.stall.push_back(s.stall_ms);
  s.hurt.reset();
  s.next_token_ms.reset();
  s.stall_ms = 0;
}

std::vector<stream> clients::streams() const {
  const std::lock_guard lock{guard_};
  return streams_;
}

void clients::wait_for_news(clock::time_point until) {
  std::unique_lock lock{guard_};
  changed_.wait_until(lock, until, [this, seen = version_] { return version_ != seen; });
}

void clients::hurt(const std::string& request, clock::time_point when, const std::string& by) {
  const std::lock_guard lock{guard_};
  for (stream& s : streams_) {
    if (s.request != request || (s.hurt && !s.next_token_ms)) {
      continue;
    }
    if (s.hurt) {
      close_hurt(s);
    }
    s.hurt = when;
    s.by = by;
  }
}

bool clients::finish(std::chrono::milliseconds within) {
  over_.store(true);
  std::unique_lock lock{guard_};
  return changed_.wait_for(lock, within, [this] { return running_ == 0; });
}

tally clients::results() const {
  const std::lock_guard lock{guard_};
  return tally_;
}

std::size_t clients::failures() const {
  const std::lock_guard lock{guard_};
  return tally_.lost.size() + tally_.changed.size();
}

} // namespace ovir::chaos
