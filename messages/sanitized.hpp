#pragma once

// GCC defines a macro for each sanitizer; Clang answers a question.
#if defined(__has_feature)
#define OVIR_HAS_SANITIZER(name) __has_feature(name)
#else
#define OVIR_HAS_SANITIZER(name) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || OVIR_HAS_SANITIZER(address_sanitizer)
#define OVIR_ADDRESS_SANITIZED 1
#else
#define OVIR_ADDRESS_SANITIZED 0
#endif
#if defined(__SANITIZE_THREAD__) || OVIR_HAS_SANITIZER(thread_sanitizer)
#define OVIR_THREAD_SANITIZED 1
#else
#define OVIR_THREAD_SANITIZED 0
#endif

namespace ovir {

/// The address sanitizer reserves all address space there is, keeps what was freed for a while, and
/// calls more of the system: bounds on a process's memory mean nothing under it.
inline constexpr bool address_sanitized = OVIR_ADDRESS_SANITIZED == 1;
/// The thread sanitizer has operators `new` and `delete` of its own, and calls more of the system.
inline constexpr bool thread_sanitized = OVIR_THREAD_SANITIZED == 1;

} // namespace ovir
