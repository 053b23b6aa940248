#pragma once

#include "apps/ovir/base/command.hpp"
#include "node/node.hpp"
#include "node/node_options.hpp"

#include <functional>

namespace ovir::apps {

/// Runs a node until it is told to end, then drains it. `reread` gives its options again when
/// SIGHUP asks for them; null: SIGHUP opens the log anew and nothing else. `started`, if given, is
/// called once the node listens.
[[nodiscard]] result<exit_code>
run_node(const supervision::node_options& how, surroundings& around,
         const std::function<result<supervision::node_options>()>& reread,
         const std::function<void(const supervision::node&)>& started = {});

} // namespace ovir::apps
