#include "actors/placement/placement.hpp"

#include "actors/placement/placement_search.hpp"
#include "actors/placement/placement_spares.hpp"
#include "actors/placement/placement_state.hpp"
#include "messages/limits/placement.hpp"

#include <algorithm>
#include <iterator>
#include <numeric>

namespace ovir::actors {

std::uint32_t placed_positions(std::uint32_t promised) noexcept {
  return std::clamp(promised, 1U, limits::placement_positions_max);
}

std::uint32_t layers_that_fit(const placeable_model& model, std::uint64_t memory) {
  layer_marks marks(model.shape.layer_weights.size());
  std::uint32_t held = 0;
  while (held < marks.size()) {
    marks[held] = true;
    if (bytes_of(model, marks) > memory) {
      break;
    }
    ++held;
  }
  return held;
}

std::string_view to_string(placement_act act) {
  switch (act) {
  case placement_act::fetch: return "fetch";
  case placement_act::drop: return "drop";
  case placement_act::spare: return "spare";
  }
  return "";
}

std::string_view to_string(placement_reason reason) {
  switch (reason) {
  case placement_reason::nobody_holds: return "no node holds them";
  case placement_reason::no_path: return "no path leads over them";
  case placement_reason::one_holds: return "only one node holds them";
  case placement_reason::demand: return "many ask for the model";
  case placement_reason::one_disk: return "only one node has them on its disk";
  case placement_reason::room: return "their room is needed";
  case placement_reason::not_asked: return "no request has come for the model for long";
  }
  return "";
}

namespace {

layer_marks without(const layer_marks& from, const layer_marks& these) {
  layer_marks rest = from;
  for (std::size_t i = 0; i < rest.size(); ++i) {
    rest[i] = rest[i] && !these[i];
  }
  return rest;
}

layer_marks with(layer_marks marks, layer_range range, bool value) {
  std::fill(marks.begin() + range.first, marks.begin() + range.last, value);
  return marks;
}

/// Orders from what is held to what is to be held, as many as may be given at once.
class order_list {
public:
  order_list(const std::vector<placeable_model>& models,
             const std::vector<const placement_node*>& nodes, const placement_search& search)
      : models_(models), nodes_(nodes), search_(search), now_(models, nodes, false) {
    std::vector<const placement_node*> answering;
    std::copy_if(nodes.begin(), nodes.end(), std::back_inserter(answering),
                 [](const placement_node* node) { return node->answers; });
    const placement_state sure{models, answering, false};
    for (std::size_t m = 0; m < models.size(); ++m) {
      sure_.push_back(sure.copies(m));
    }
  }

  void write(placement& out) {
    for (std::size_t n = 0; n < nodes_.size(); ++n) {
      for (std::size_t m = 0; m < models_.size(); ++m) {
        drop(n, m, out);
      }
    }
    // What is fetched is not held yet: it takes room, and lets no other drop its copy.
    for (std::size_t n = 0; n < nodes_.size(); ++n) {
      for (std::size_t m = 0; m < models_.size(); ++m) {
        layer_marks both = now_.marks(n, m);
        mark(both, nodes_[n]->coming, models_[m].id);
        now_.set(n, m, std::move(both));
      }
    }
    for (std::size_t n = 0; n < nodes_.size(); ++n) {
      for (std::size_t m = 0; m < models_.size(); ++m) {
        fetch(n, m, out);
      }
    }
  }

private:
  void drop(std::size_t n, std::size_t m, placement& out) {
    for (const layer_range& range :
         ranges_of(without(now_.marks(n, m), search_.state().marks(n, m)))) {
      layer_marks safe(now_.marks(n, m).size());
      for (std::uint32_t i = range.first; i < range.last; ++i) {
        safe[i] = !models_[m].wanted || sure_[m][i] > 1;
        sure_[m][i] -= safe[i] && sure_[m][i] > 0 ? 1 : 0;
        out.waiting += safe[i] ? 0 : 1;
      }
      for (const layer_range& part : ranges_of(safe)) {
        const placement_reason reason =
            models_[m].wanted ? placement_reason::room : placement_reason::not_asked;
        out.orders.push_back({nodes_[n]->node, models_[m].id, part, placement_act::drop, reason});
        now_.set(n, m, with(now_.marks(n, m), part, false));
      }
    }
  }

  void fetch(std::size_t n, std::size_t m, placement& out) {
    for (const layer_range& range :
         ranges_of(without(search_.state().marks(n, m), now_.marks(n, m)))) {
      layer_marks more = with(now_.marks(n, m), range, true);
      if (now_.used_with(n, m, more) > nodes_[n]->memory) {
        ++out.waiting;
        continue;
      }
      out.orders.push_back({nodes_[n]->node, models_[m].id, range, placement_act::fetch,
                            search_.reason(n, m, range.first)});
      now_.set(n, m, std::move(more));
    }
  }

  const std::vector<placeable_model>& models_;
  const std::vector<const placement_node*>& nodes_;
  const placement_search& search_;
  placement_state now_;
  std::vector<std::vector<std::uint32_t>>
      sure_; ///< copies of nodes that answer, by model and layer
};

} // namespace

placement place(const std::vector<placeable_model>& models,
                const std::vector<placement_node>& nodes) {
  std::vector<std::size_t> by_key(nodes.size());
  std::iota(by_key.begin(), by_key.end(), std::size_t{0});
  std::sort(by_key.begin(), by_key.end(),
            [&](std::size_t a, std::size_t b) { return nodes[a].node < nodes[b].node; });
  std::vector<const placement_node*> ordered;
  ordered.reserve(nodes.size());
  for (const std::size_t at : by_key) {
    ordered.push_back(&nodes[at]);
  }
  placement_search search{models, ordered};
  search.run();

  placement out;
  out.held.resize(nodes.size());
  for (std::size_t m = 0; m < models.size(); ++m) {
    out.models.push_back({models[m].id, search.state().copies(m),
                          search.state().reached(m).layer == models[m].shape.layer_weights.size()});
    for (std::size_t n = 0; n < ordered.size(); ++n) {
      std::vector<layer_range> ranges = ranges_of(search.state().marks(n, m));
      if (!ranges.empty()) {
        out.held[by_key[n]].emplace(models[m].id, std::move(ranges));
      }
    }
  }
  order_list{models, ordered, search}.write(out);
  if (out.orders.empty()) {
    out.orders = spare_orders(models, ordered, search.state());
  }
  return out;
}

} // namespace ovir::actors
