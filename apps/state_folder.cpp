#include "apps/state_folder.hpp"

#include <cstdlib>
#include <filesystem>

namespace ovir::apps {

namespace {

std::string_view variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? std::string_view{} : std::string_view{value};
}

} // namespace

result<std::string> state_folder() {
  return state_folder_from(variable("OVIR_HOME"), variable("XDG_STATE_HOME"), variable("HOME"));
}

result<std::string> state_folder_from(std::string_view ovir_home, std::string_view xdg_state_home,
                                      std::string_view home) {
  if (!ovir_home.empty()) {
    return std::string{ovir_home};
  }
  if (const std::filesystem::path base{xdg_state_home}; base.is_absolute()) {
    return (base / "ovir").string();
  }
  if (const std::filesystem::path base{home}; base.is_absolute()) {
    return (base / ".local" / "state" / "ovir").string();
  }
  return fail(errc::invalid_argument,
              "none of OVIR_HOME, XDG_STATE_HOME and HOME says where to keep keys and state; set "
              "OVIR_HOME to a folder");
}

result<std::string> operator_folder() {
  return operator_folder_from(variable("OVIR_OPERATOR"), variable("XDG_CONFIG_HOME"),
                              variable("HOME"));
}

result<std::string> operator_folder_from(std::string_view ovir_operator,
                                         std::string_view xdg_config_home, std::string_view home) {
  if (!ovir_operator.empty()) {
    return std::string{ovir_operator};
  }
  if (const std::filesystem::path base{xdg_config_home}; base.is_absolute()) {
    return (base / "ovir").string();
  }
  if (const std::filesystem::path base{home}; base.is_absolute()) {
    return (base / ".config" / "ovir").string();
  }
  return fail(errc::invalid_argument,
              "none of OVIR_OPERATOR, XDG_CONFIG_HOME and HOME says where to keep the operator's "
              "key; set OVIR_OPERATOR to a folder");
}

std::string admin_key_path_in(const std::string& operator_folder) {
  return (std::filesystem::path{operator_folder} / "admin.key").string();
}

std::string key_path_in(const std::string& state_folder) {
  return (std::filesystem::path{state_folder} / "node.key").string();
}

std::string store_path_in(const std::string& state_folder) {
  return (std::filesystem::path{state_folder} / "store").string();
}

std::string models_path_in(const std::string& state_folder) {
  return (std::filesystem::path{state_folder} / "models").string();
}

} // namespace ovir::apps
