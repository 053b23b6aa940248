#pragma once

#include "actors/members/member_table.hpp"
#include "messages/digest.hpp"
#include "messages/ids.hpp"
#include "messages/node_id.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <vector>

namespace ovir::actors {

/// A member that is alive and holds layers of a model.
struct layer_holding {
  const member* who{nullptr};
  std::vector<layer_range> ranges; ///< as stages may use them (`merged_ranges`)
};

/// Who holds which layers of the models that are planned with, by model and layer. Follows the
/// members by what changed: a member whose health and segments are as before costs one look. What
/// members say of other models costs nothing. A value; memory grows with the members and with the
/// layers they hold of the models asked for, of which it keeps limits::node_models_max.
class holder_index {
public:
  using members_view = std::shared_ptr<const std::vector<member>>;

  /// Takes the place of the members there were. Not null. Returns those that are alive no more, or
  /// gone, since the last time, and those that are new and not alive; by key.
  std::vector<node_id> update(members_view now);
  /// Null where there is no such member.
  [[nodiscard]] const member* find(const node_id& node) const;
  /// Those that hold layers of `runs`, by key, each with all its ranges of the model. `layers`: of
  /// the whole model.
  [[nodiscard]] std::vector<layer_holding> holders(const digest& model, std::uint32_t layers,
                                                   std::span<const layer_range> runs);

  /// What one of them holds; no ranges where it is not among them.
  [[nodiscard]] layer_holding holding(const digest& model, std::uint32_t layers,
                                      const node_id& node);

private:
  struct model_entry {
    std::uint32_t layers{0}; ///< ranges beyond them count for nothing
    std::map<node_id, std::vector<layer_range>> ranges;
    std::vector<std::set<node_id>> at; ///< by layer
  };

  void changed(const member* was, const member* is, std::vector<node_id>& gone);
  static void remove(model_entry& entry, const node_id& node);
  static void insert(model_entry& entry, const digest& model, const member& m);
  model_entry& entry_of(const digest& model, std::uint32_t layers);

  members_view members_{std::make_shared<const std::vector<member>>()};
  std::vector<const member*> by_node_; ///< in `members_`, by key
  std::map<digest, model_entry> models_;
};

} // namespace ovir::actors
