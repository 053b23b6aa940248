#include "actors/request/request_trace.hpp"

#include "messages/limits/trace.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>

namespace ovir::actors {

namespace {

using json = nlohmann::ordered_json;
using time = request_trace::time;

// Threads of the lead's process.
constexpr int lead_process = 1;
constexpr int request_thread = 1;
constexpr int steps_thread = 2;
// Threads of a stage's: a node may have several stages of a path.
constexpr int first_stage_process = 2;

double micros(time t) { return std::chrono::duration<double, std::micro>(t).count(); }

class writer {
public:
  writer(const request_trace& trace, const trace_names& names) : t_(trace), names_(names) {}

  std::string text(request_id request, const std::string& lead) {
    process(lead_process, lead.empty() ? "lead" : lead + " (lead)");
    thread(lead_process, request_thread, "request");
    spans_of_request(request);
    for (std::size_t i = 0; i < t_.feeds.size(); ++i) {
      span_of_feed(i);
    }
    for (const request_trace::trouble& trouble : t_.troubles) {
      instant(trouble);
    }
    spans_of_replays();
    json file{{"traceEvents", std::move(events_)},
              {"displayTimeUnit", "ms"},
              {"otherData",
               {{"producer", "ovir"},
                {"request", fmt::format("{:016x}", request.value)},
                {"began_unix_us", t_.began_unix_us},
                {"left_out", t_.left_out}}}};
    return file.dump(-1, ' ', false, json::error_handler_t::replace);
  }

private:
  void process(int id, const std::string& name) {
    events_.push_back({{"name", "process_name"},
                       {"ph", "M"},
                       {"pid", id},
                       {"tid", 0},
                       {"args", {{"name", name}}}});
  }
  void thread(int process, int id, const std::string& name) {
    events_.push_back({{"name", "thread_name"},
                       {"ph", "M"},
                       {"pid", process},
                       {"tid", id},
                       {"args", {{"name", name}}}});
  }
  void span(int process, int thread, const std::string& name, const char* kind, time from, time to,
            json args = json::object()) {
    events_.push_back({{"name", name},
                       {"cat", kind},
                       {"ph", "X"},
                       {"ts", micros(from)},
                       {"dur", micros(std::max(time{0}, to - from))},
                       {"pid", process},
                       {"tid", thread},
                       {"args", std::move(args)}});
  }
  void instant(const request_trace::trouble& trouble) {
    events_.push_back({{"name", fmt::format("stage {} is lost", trouble.stage)},
                       {"cat", "trouble"},
                       {"ph", "i"},
                       {"s", "p"},
                       {"ts", micros(trouble.at)},
                       {"pid", lead_process},
                       {"tid", steps_thread},
                       {"args", {{"reason", trouble.reason}}}});
  }

  [[nodiscard]] json stages_json(const request_trace::path& path) const {
    json list = json::array();
    for (const auto& [node, layers] : path.stages) {
      list.push_back({{"node", name_of(node)},
                      {"first_layer", layers.first},
                      {"last_layer", layers.last - 1}});
    }
    return list;
  }
  [[nodiscard]] std::string name_of(const node_id& node) const {
    const auto found = names_.find(node);
    return found != names_.end() ? found->second : node.empty() ? "here" : short_name(node);
  }

  [[nodiscard]] time first_fed_after(time at) const {
    for (const request_trace::feed& f : t_.feeds) {
      if (f.at >= at) {
        return f.at;
      }
    }
    return t_.generated.value_or(t_.ended);
  }

  void spans_of_request(request_id request) {
    span(lead_process, request_thread, "request", "request", -t_.waited, t_.ended,
         {{"request", fmt::format("{:016x}", request.value)}});
    if (t_.waited > time{0}) {
      span(lead_process, request_thread, "admission", "admission", -t_.waited, time{0});
    }
    const time asked = t_.asked_for_path.value_or(time{0});
    if (asked > time{0}) {
      span(lead_process, request_thread, "cache", "cache", time{0}, asked);
    }
    if (!t_.paths.empty()) {
      const time found = t_.paths.front().at;
      span(lead_process, request_thread, "planning", "planning", asked, found);
      span(lead_process, request_thread, "path opening", "opening", found, first_fed_after(found),
           {{"stages", stages_json(t_.paths.front())}});
    }
    if (!t_.feeds.empty()) {
      const auto answer =
          std::find_if(t_.feeds.begin(), t_.feeds.end(), [](const auto& f) { return f.drawn; });
      const time generated = t_.generated.value_or(t_.ended);
      const time first = answer == t_.feeds.end() ? generated : *answer->drawn;
      span(lead_process, request_thread, "prefill", "prefill", t_.feeds.front().at, first);
      time last = first;
      for (const request_trace::feed& f : t_.feeds) {
        last = std::max(last, f.drawn.value_or(last));
      }
      span(lead_process, request_thread, "decode", "decode", first, last);
      if (t_.generated && t_.ended > generated) {
        span(lead_process, request_thread, "closing", "closing", generated, t_.ended);
      }
    }
    for (std::size_t i = 1; i < t_.paths.size(); ++i) {
      // From the first trouble since the path before, to the first tokens on this one.
      time from = t_.paths[i].at;
      std::string why;
      for (const request_trace::trouble& trouble : t_.troubles) {
        if (trouble.at > t_.paths[i - 1].at && trouble.at <= t_.paths[i].at) {
          from = trouble.at;
          why = trouble.reason;
          break;
        }
      }
      span(lead_process, request_thread, "recovery", "recovery", from,
           first_fed_after(t_.paths[i].at),
           {{"reason", why}, {"stages", stages_json(t_.paths[i])}});
    }
  }

  [[nodiscard]] const request_trace::path* path_of(epoch driver) const {
    const request_trace::path* found = nullptr;
    for (const request_trace::path& path : t_.paths) {
      if (path.driver <= driver) {
        found = &path;
      }
    }
    return found;
  }

  /// What the stages said of this feed, in order of stages.
  [[nodiscard]] std::vector<const request_trace::pass*> passes_of(const request_trace::feed& f) {
    const position end = f.first + f.count + f.drafts;
    std::vector<const request_trace::pass*> found;
    for (std::size_t i = 0; i < t_.passes.size(); ++i) {
      const request_trace::pass& p = t_.passes[i];
      if (p.driver == f.driver && p.length > f.first && p.length <= end && p.told >= f.at &&
          taken_.emplace(i, true).second) {
        const bool known = std::any_of(found.begin(), found.end(),
                                       [&](const auto* other) { return other->stage == p.stage; });
        if (known) {
          taken_.erase(i);
        } else {
          found.push_back(&p);
        }
      }
    }
    std::sort(found.begin(), found.end(),
              [](const auto* a, const auto* b) { return a->stage < b->stage; });
    return found;
  }

  void span_of_feed(std::size_t index) {
    const request_trace::feed& f = t_.feeds[index];
    const request_trace::path* const path = path_of(f.driver);
    const auto passes = passes_of(f);
    time end = f.answered.value_or(f.at);
    time computed{0};
    for (const request_trace::pass* p : passes) {
      computed += p->computed;
      end = f.answered ? end : std::max(end, p->told);
    }
    const bool decodes = f.count == 1 && f.answered;
    // What nobody computed in is the links' time, the same on each way between two.
    const time on_links = f.answered ? std::max(time{0}, end - f.at - computed) : time{0};
    const time way = on_links / static_cast<std::int64_t>(passes.size() + 1);
    json args{{"first", f.first},
              {"count", f.count},
              {"drafts", f.drafts},
              {"compute_us", micros(computed)}};
    if (f.answered) {
      args["links_us"] = micros(on_links);
    }
    const time drawn = f.drawn.value_or(end);
    span(lead_process, row_for(f.at, drawn),
         decodes ? fmt::format("step {}", f.first) : "prefill pass", decodes ? "step" : "pass",
         f.at, drawn, std::move(args));
    time at = f.at;
    for (const request_trace::pass* p : passes) {
      const auto busy = busy_until_.find({p->driver, p->stage});
      at = std::max(at + way, busy == busy_until_.end() ? f.at : busy->second);
      at = std::min(at, end);
      const time to = std::min(at + p->computed, end);
      began_.emplace(std::pair{p->driver, p->stage}, at);
      stage_span(*p, path, at, to, decodes ? fmt::format("step {}", f.first) : "prefill pass");
      busy_until_[{p->driver, p->stage}] = to;
      at = to;
    }
  }

  /// Passes of a prompt are under way side by side: each in the first row that is free.
  int row_for(time from, time to) {
    std::size_t row = 0;
    while (row < rows_.size() && rows_[row] > from) {
      ++row;
    }
    if (row == rows_.size()) {
      rows_.push_back(to);
      thread(lead_process, steps_thread + static_cast<int>(row),
             row == 0 ? "steps" : fmt::format("steps, beside ({})", row + 1));
    }
    rows_[row] = to;
    return steps_thread + static_cast<int>(row);
  }

  void stage_span(const request_trace::pass& p, const request_trace::path* path, time from, time to,
                  const std::string& name) {
    if (path == nullptr || p.stage >= path->stages.size()) {
      return;
    }
    const auto& [node, layers] = path->stages[p.stage];
    span(process_of(node), thread_of(node, layers), name, "compute", from, to,
         {{"stage", p.stage}, {"length", p.length}, {"compute_us", micros(p.computed)}});
  }

  /// What was computed again for a stage that took another's place is nobody's step. The stage did
  /// that before its first step, even where the lead heard of it later.
  void spans_of_replays() {
    for (std::size_t i = 0; i < t_.passes.size(); ++i) {
      const request_trace::pass& p = t_.passes[i];
      if (!taken_.contains(i)) {
        const auto step = began_.find({p.driver, p.stage});
        const time to = step == began_.end() ? p.told : std::min(p.told, step->second);
        time& until = replayed_until_[p.stage]; // what is heard of late is not drawn twice
        const time from = std::max({time{0}, until, to - p.computed});
        stage_span(p, path_of(p.driver), std::min(from, to), to, "replay");
        until = std::max(until, to);
      }
    }
  }

  int process_of(const node_id& node) {
    const auto [found, fresh] =
        processes_.emplace(node, first_stage_process + static_cast<int>(processes_.size()));
    if (fresh) {
      process(found->second, name_of(node));
    }
    return found->second;
  }
  int thread_of(const node_id& node, layer_range layers) {
    const auto [found, fresh] =
        threads_.emplace(std::pair{node, std::pair{layers.first, layers.last}},
                         static_cast<int>(threads_.size()) + 1);
    if (fresh) {
      thread(process_of(node), found->second,
             fmt::format("layers {}-{}", layers.first, layers.last - 1));
    }
    return found->second;
  }

  const request_trace& t_;
  const trace_names& names_;
  json events_ = json::array();
  std::map<std::size_t, bool> taken_;                     ///< passes that belong to a feed
  std::map<std::pair<epoch, std::uint32_t>, time> began_; ///< the first step of each stage
  std::map<std::pair<epoch, std::uint32_t>, time> busy_until_;
  std::map<std::uint32_t, time> replayed_until_; ///< by stage
  std::vector<time> rows_;                       ///< when the last span of each ends
  std::map<node_id, int> processes_;
  std::map<std::pair<node_id, std::pair<layer_index, layer_index>>, int> threads_;
};

template <class List, class Item>
void keep(List& list, std::size_t most, std::uint64_t& left_out, Item item) {
  if (list.size() < most) {
    list.push_back(std::move(item));
  } else {
    ++left_out;
  }
}

} // namespace

void request_trace::take_path(time now, epoch driver, layer_places stages) {
  keep(paths, limits::trace_marks_max, left_out, path{now, driver, std::move(stages)});
}

void request_trace::take_feed(time now, epoch driver, position first, std::uint32_t count,
                              std::uint32_t drafts) {
  keep(feeds, limits::trace_feeds_max, left_out, feed{driver, first, count, drafts, now});
}

void request_trace::take_pass(time now, epoch driver, std::uint32_t stage, position length,
                              time computed) {
  keep(passes, limits::trace_passes_max, left_out, pass{driver, stage, length, computed, now});
}

void request_trace::take_answer(time now, epoch driver, position first) {
  const auto found = std::find_if(feeds.rbegin(), feeds.rend(), [&](const feed& f) {
    return f.driver == driver && first >= f.first && first < f.first + f.count;
  });
  if (found != feeds.rend() && !found->answered) {
    found->answered = now;
  }
}

void request_trace::take_draw(time now, position at) {
  const auto found = std::find_if(feeds.rbegin(), feeds.rend(), [&](const feed& f) {
    return at >= f.first && at < f.first + f.count;
  });
  if (found != feeds.rend() && !found->drawn) {
    found->drawn = now;
    found->answered = found->answered.value_or(now);
  }
}

void request_trace::take_trouble(time now, std::uint32_t stage, std::string reason) {
  keep(troubles, limits::trace_marks_max, left_out, trouble{now, stage, std::move(reason)});
}

std::string chrome_trace(const request_trace& trace, request_id request, const std::string& lead,
                         const trace_names& names) {
  return writer{trace, names}.text(request, lead);
}

} // namespace ovir::actors
