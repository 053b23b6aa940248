#pragma once

/// A symbol that libovir shows; all others are hidden.
#define OVIR_API __attribute__((visibility("default")))
#define OVIR_HIDDEN __attribute__((visibility("hidden")))

/// Names of this version of the binary interface are in `ovir::v0`, and a program writes `ovir::`.
/// Programs of another version do not link. The library's own sources have other things in `ovir`,
/// so that they write `v0`; symbols are called the same both ways.
#ifdef OVIR_LIBRARY_SOURCE
#define OVIR_INLINE
#else
#define OVIR_INLINE inline
#endif
