#include "tests/chaos/drill.hpp"

#include <algorithm>
#include <array>

namespace ovir::chaos {

namespace {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds look_every{50};
constexpr std::chrono::milliseconds stream_wait{3'000};
constexpr std::chrono::milliseconds node_wait{10'000};
constexpr std::uint64_t kills_between_other_harms = 5;

constexpr std::array moments{moment::planning, moment::prefill,  moment::decode,
                             moment::settling, moment::recovery, moment::rejoining};
constexpr std::array victims{victim::lead, victim::first_stage, victim::middle_stage,
                             victim::last_stage, victim::bystander};
constexpr std::array other_harms{harm::freeze, harm::cut, harm::freeze, harm::divide};

} // namespace

std::string to_string(moment m) {
  constexpr std::array names{"planning", "prefill", "decode", "settling", "recovery", "rejoining"};
  return names.at(static_cast<std::size_t>(m));
}

std::string to_string(victim v) {
  constexpr std::array names{"lead", "first stage", "middle stage", "last stage", "bystander"};
  return names.at(static_cast<std::size_t>(v));
}

std::string to_string(harm h) {
  constexpr std::array names{"kill", "freeze", "cut", "partition"};
  return names.at(static_cast<std::size_t>(h));
}

drill_step drill_plan::next() {
  ++given_;
  if (other_harms_ && given_ % (kills_between_other_harms + 1) == 0) {
    const std::size_t turn = given_ / (kills_between_other_harms + 1) - 1;
    return {other_harms[turn % other_harms.size()], moment::decode,
            victims[random_() % victims.size()]};
  }
  if (round_.empty()) {
    for (const moment m : moments) {
      for (const victim v : victims) {
        round_.push_back({harm::kill, m, v});
      }
    }
    std::shuffle(round_.begin(), round_.end(), random_);
  }
  const drill_step step = round_.back();
  round_.pop_back();
  return step;
}

drill::drill(test::test_cluster& cluster, crew& nodes, clients& load, drill_options options)
    : cluster_(cluster), nodes_(nodes), load_(load), options_(std::move(options)),
      random_(options_.seed * 31 + 7), plan_(options_.seed, options_.other_harms) {}

bool drill::over() const {
  return count_.kills >= options_.kills || load_.failures() > 0 || !nodes_.fallen().empty() ||
         (options_.end && clock::now() >= *options_.end);
}

std::chrono::milliseconds drill::between(int low, int high) {
  return std::chrono::milliseconds{
      low + static_cast<int>(random_() % (1U + static_cast<unsigned>(high - low)))};
}

bool drill::wait(clock::time_point until, const std::function<bool()>& holds) {
  clock::time_point look_at{};
  while (true) {
    const clock::time_point now = clock::now();
    if (now >= look_at) {
      nodes_.look();
      if (on_look_) {
        on_look_();
      }
      look_at = now + look_every;
    }
    if (holds && holds()) {
      return true;
    }
    if (clock::now() >= until || over()) {
      return false;
    }
    load_.wait_for_news(std::min(until, look_at));
  }
}

void drill::run() {
  while (!over()) {
    do_step(plan_.next());
    wait(clock::now() + between(0, static_cast<int>(options_.pause_max.count())));
  }
}

std::optional<stream> drill::stream_at(moment when) {
  std::optional<stream> found;
  const clock::time_point begun = clock::now();
  const auto age_min = between(5, 40);
  const auto fits = [&](const stream& s) {
    const auto age = clock::now() - s.begun;
    switch (when) {
    case moment::planning: return s.begun >= begun;
    case moment::prefill: return s.drawn == 0 && age >= age_min && age < 400ms;
    case moment::settling: return s.drawn + 3 >= s.wanted && s.drawn > 0;
    default: return s.drawn >= 1 && s.drawn + 8 < s.wanted;
    }
  };
  wait(begun + stream_wait, [&] {
    auto all = load_.streams();
    std::shuffle(all.begin(), all.end(), random_);
    for (const stream& s : all) {
      if (!s.request.empty() && fits(s)) {
        found = s;
        return true;
      }
    }
    return false;
  });
  return found;
}

bool drill::may_take(std::size_t node) const {
  return nodes_.ready().contains(node) && !options_.spared.contains(node) && nodes_.can_lose(node);
}

std::optional<std::size_t> drill::pick(std::vector<std::size_t> from) {
  std::erase_if(from, [this](std::size_t node) { return !may_take(node); });
  return from.empty() ? std::nullopt : std::optional{from[random_() % from.size()]};
}

// Somebody near enough to the wish, where the wish cannot be had without losing streams.
std::optional<std::size_t> drill::choose(victim who, const std::string& request,
                                         const std::vector<job_view>& jobs) {
  const auto job = std::find_if(jobs.begin(), jobs.end(),
                                [&](const job_view& j) { return j.request == request; });
  std::vector<std::size_t> wanted;
  std::vector<std::size_t> all{nodes_.ready().begin(), nodes_.ready().end()};
  if (who == victim::lead) {
    wanted = job != jobs.end() ? std::vector{job->lead} : cluster_.with_role("scheduler");
  } else if (job == jobs.end() || job->path.empty()) {
    wanted = cluster_.with_role("worker");
  } else if (who == victim::first_stage) {
    wanted = {job->path.front()};
  } else if (who == victim::last_stage) {
    wanted = {job->path.back()};
  } else if (who == victim::middle_stage) {
    wanted.assign(job->path.begin(), job->path.end());
    if (wanted.size() > 2) {
      wanted = {wanted.begin() + 1, wanted.end() - 1};
    }
  } else {
    wanted = all;
    std::erase_if(wanted, [&](std::size_t node) { return job->needs(node); });
  }
  const auto chosen = pick(wanted);
  return chosen ? chosen : pick(all);
}

void drill::mark(const std::vector<job_view>& jobs, harm how,
                 const std::function<bool(const job_view&)>& is_hurt) {
  const clock::time_point now = clock::now();
  for (const job_view& job : jobs) {
    if (is_hurt(job)) {
      load_.hurt(job.request, now, to_string(how));
    }
  }
}

void drill::kill(std::size_t node, const drill_step& step, const std::vector<job_view>& jobs) {
  mark(jobs, harm::kill, [node](const job_view& job) { return job.needs(node); });
  nodes_.kill(node, between(100, 1'500));
  ++count_.kills;
  ++count_.by_harm[to_string(harm::kill)];
  ++count_.by_moment[to_string(step.when)];
  ++count_.by_victim[to_string(step.who)];
  ++count_.by_node[cluster_.node(node).name];
}

void drill::kill_joining() {
  const auto young = [this] {
    auto found = nodes_.joining();
    std::erase_if(found, [this](std::size_t node) { return options_.spared.contains(node); });
    return found;
  };
  if (!wait(clock::now() + stream_wait, [&] { return !young().empty(); })) {
    return;
  }
  wait(clock::now() + between(0, 300));
  if (const auto found = young(); !found.empty()) {
    kill(found[random_() % found.size()], {harm::kill, moment::rejoining, victim::bystander}, {});
  }
}

// The one before has just been taken: another one while the requests are being mended.
void drill::kill_again(const drill_step& step) {
  wait(clock::now() + between(0, 500));
  const auto jobs = nodes_.jobs();
  for (const job_view& job : jobs) {
    if (const auto node = choose(step.who, job.request, jobs)) {
      kill(*node, step, jobs);
      return;
    }
  }
}

void drill::cut(std::size_t node, const std::vector<job_view>& jobs) {
  const auto other = pick({nodes_.ready().begin(), nodes_.ready().end()});
  const bool all = random_() % 2 == 0 || !other || *other == node;
  mark(jobs, harm::cut,
       [&](const job_view& job) { return job.needs(node) && (all || job.needs(*other)); });
  cluster_.network().cut([&](std::size_t from, std::size_t to) {
    return all ? from == node || to == node
               : (from == node && to == *other) || (from == *other && to == node);
  });
}

void drill::divide(const std::vector<job_view>& jobs) {
  std::set<std::size_t> side;
  for (std::size_t i = 0; i < cluster_.size(); ++i) {
    if (random_() % 2 == 0) {
      side.insert(i);
    }
  }
  const auto crosses = [&](const job_view& job) {
    return std::any_of(job.path.begin(), job.path.end(), [&](std::size_t stage) {
      return side.contains(stage) != side.contains(job.lead);
    });
  };
  mark(jobs, harm::divide, crosses);
  nodes_.divide(side, between(500, 4'000));
  wait(clock::now() + node_wait, [this] { return !nodes_.divided(); });
}

void drill::do_step(const drill_step& step) {
  if (step.how == harm::kill && step.when == moment::rejoining) {
    return kill_joining();
  }
  const auto somebody = [this] {
    return pick({nodes_.ready().begin(), nodes_.ready().end()}).has_value();
  };
  if (!wait(clock::now() + node_wait, somebody)) {
    return;
  }
  const bool early = step.when == moment::planning;
  auto jobs = early ? nodes_.jobs() : std::vector<job_view>{};
  const auto s = stream_at(step.when);
  if (!s) {
    return;
  }
  if (early) {
    wait(clock::now() + between(0, 6));
  } else {
    jobs = nodes_.jobs();
  }
  const auto node = choose(step.who, s->request, jobs);
  if (!node) {
    return;
  }
  switch (step.how) {
  case harm::kill: {
    drill_step first = step;
    first.when = step.when == moment::recovery ? moment::decode : step.when;
    kill(*node, first, jobs);
    return step.when == moment::recovery ? kill_again(step) : void();
  }
  case harm::freeze:
    mark(jobs, harm::freeze, [&](const job_view& job) { return job.needs(*node); });
    nodes_.freeze(*node, between(200, 4'000));
    break;
  case harm::cut: cut(*node, jobs); break;
  case harm::divide: divide(jobs); break;
  }
  ++count_.by_harm[to_string(step.how)];
}

} // namespace ovir::chaos
