#pragma once

#include "messages/result.hpp"

#include <string>
#include <string_view>

/// Where keys, request logs and whatever else outlives a process are kept.
namespace ovir::apps {

/// `$OVIR_HOME`, else `$XDG_STATE_HOME/ovir`, else `$HOME/.local/state/ovir`. A variable that is
/// empty counts as absent, and so does a relative path in the latter two, as the XDG specification
/// has it. The folder need not exist. `invalid_argument` when none of the three says anything.
[[nodiscard]] result<std::string> state_folder();

/// The rule itself; an absent variable is an empty text.
[[nodiscard]] result<std::string> state_folder_from(std::string_view ovir_home,
                                                    std::string_view xdg_state_home,
                                                    std::string_view home);

/// Where the keys of the person are who operates nodes: `$OVIR_OPERATOR`, else
/// `$XDG_CONFIG_HOME/ovir`, else `$HOME/.config/ovir`. No node's state folder, so that who takes a
/// node does not take its operator's place. `invalid_argument` when none of the three says
/// anything.
[[nodiscard]] result<std::string> operator_folder();

/// The rule itself; an absent variable is an empty text.
[[nodiscard]] result<std::string> operator_folder_from(std::string_view ovir_operator,
                                                       std::string_view xdg_config_home,
                                                       std::string_view home);

/// The key in an operator's folder that lets nodes in and operates them.
[[nodiscard]] std::string admin_key_path_in(const std::string& operator_folder);

/// The node's secret key in a state folder.
[[nodiscard]] std::string key_path_in(const std::string& state_folder);

/// The node's content store in a state folder.
[[nodiscard]] std::string store_path_in(const std::string& state_folder);

/// Where `ovir model pull` writes model files to.
[[nodiscard]] std::string models_path_in(const std::string& state_folder);

} // namespace ovir::apps
