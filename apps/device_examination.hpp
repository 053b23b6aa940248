#pragma once

#include "messages/result.hpp"

#include <chrono>
#include <functional>
#include <string>

namespace ovir::apps {

/// What `work` makes, in a process of its own: a driver that ends its process, or waits for ever,
/// ends this one. Its output goes nowhere. `unsupported` with what became of it, or with what
/// `work` says. Precondition: this process has one thread.
[[nodiscard]] result<std::string>
apart_from_drivers(const std::function<result<std::string>()>& work,
                   std::chrono::milliseconds patience);

} // namespace ovir::apps
