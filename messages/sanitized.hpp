#pragma once

namespace ovir {

/// The address sanitizer reserves all address space there is, keeps what was freed for a while, and
/// calls more of the system: bounds on a process's memory mean nothing under it.
#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool address_sanitized = true;
#elif defined(__has_feature)
inline constexpr bool address_sanitized = __has_feature(address_sanitizer);
#else
inline constexpr bool address_sanitized = false;
#endif

/// The thread sanitizer has operators `new` and `delete` of its own, and calls more of the system.
#if defined(__SANITIZE_THREAD__)
inline constexpr bool thread_sanitized = true;
#elif defined(__has_feature)
inline constexpr bool thread_sanitized = __has_feature(thread_sanitizer);
#else
inline constexpr bool thread_sanitized = false;
#endif

} // namespace ovir
