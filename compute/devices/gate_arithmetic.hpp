#pragma once

#include <array>
#include <cstdint>
#include <string_view>

/// Known answers of binary32 at its edges: what exact-1 takes for granted of a device.
namespace ovir::compute {

/// Operations of the kernel `arithmetic`, in the order of its cases.
enum class arithmetic_operation : std::uint32_t {
  add,
  multiply,
  divide,
  square_root,
  fused,
  product_and_sum,
  from_long, ///< operands: low and high half
  from_half,
  to_half,
  nearest,
  above,
};

/// Bits of operands and of the one right answer.
struct arithmetic_vector {
  std::string_view name;
  arithmetic_operation operation;
  std::array<std::uint32_t, 3> operands;
  std::uint32_t wanted;
};

inline constexpr std::array<arithmetic_vector, 86> arithmetic_vectors{{
    {"addition, a tie to even", arithmetic_operation::add, {0x3F800000, 0x33800000, 0x00000000}, 0x3F800000},
    {"addition, a tie to the even above", arithmetic_operation::add, {0x3F800001, 0x33800000, 0x00000000}, 0x3F800002},
    {"addition, above a tie", arithmetic_operation::add, {0x3F800000, 0x33800001, 0x00000000}, 0x3F800001},
    {"addition, a negative tie", arithmetic_operation::add, {0xBF800000, 0xB3800000, 0x00000000}, 0xBF800000},
    {"addition of subnormals", arithmetic_operation::add, {0x00000001, 0x00000001, 0x00000000}, 0x00000002},
    {"addition, a subnormal difference", arithmetic_operation::add, {0x00800000, 0x80000001, 0x00000000}, 0x007FFFFF},
    {"addition, overflow", arithmetic_operation::add, {0x7F7FFFFF, 0x73000000, 0x00000000}, 0x7F800000},
    {"addition below overflow", arithmetic_operation::add, {0x7F7FFFFF, 0x72800000, 0x00000000}, 0x7F7FFFFF},
    {"addition, minus zero", arithmetic_operation::add, {0x80000000, 0x80000000, 0x00000000}, 0x80000000},
    {"multiplication, a subnormal result", arithmetic_operation::multiply, {0x1A000000, 0x1A800000, 0x00000000}, 0x00000001},
    {"multiplication, a tie at the least subnormal", arithmetic_operation::multiply, {0x1A000000, 0x1A000000, 0x00000000}, 0x00000000},
    {"multiplication, rounding to the least subnormal", arithmetic_operation::multiply, {0x1A400000, 0x1A000000, 0x00000000}, 0x00000001},
    {"multiplication of a subnormal", arithmetic_operation::multiply, {0x00000001, 0x71800000, 0x00000000}, 0x27000000},
    {"multiplication, negative and subnormal", arithmetic_operation::multiply, {0x8D91A2B4, 0x30FF6E5D, 0x00000000}, 0x801229FB},
    {"multiplication, rounding", arithmetic_operation::multiply, {0x3F800001, 0x3F800001, 0x00000000}, 0x3F800002},
    {"multiplication, long factors", arithmetic_operation::multiply, {0x3FFFFFFF, 0x3FFFFFFF, 0x00000000}, 0x407FFFFE},
    {"division by three", arithmetic_operation::divide, {0x3F800000, 0x40400000, 0x00000000}, 0x3EAAAAAB},
    {"division, a tie below the least subnormal", arithmetic_operation::divide, {0x00000001, 0x40000000, 0x00000000}, 0x00000000},
    {"division, a subnormal result", arithmetic_operation::divide, {0x00800000, 0x40000000, 0x00000000}, 0x00400000},
    {"division by the largest number", arithmetic_operation::divide, {0x3F800000, 0x7F7FFFFF, 0x00000000}, 0x00200000},
    {"division by a subnormal", arithmetic_operation::divide, {0x0D800000, 0x00000001, 0x00000000}, 0x58000000},
    {"division by zero", arithmetic_operation::divide, {0xBF800000, 0x00000000, 0x00000000}, 0xFF800000},
    {"division, no product with a reciprocal", arithmetic_operation::divide, {0xBFD8A6C3, 0x3F83F383, 0x00000000}, 0xBFD229F5},
    {"division, no product with a reciprocal", arithmetic_operation::divide, {0xBF66F988, 0x3FA5CD1B, 0x00000000}, 0xBF325087},
    {"division, no product with a reciprocal", arithmetic_operation::divide, {0xBF1BE443, 0x3FAA3222, 0x00000000}, 0xBEEA7BFF},
    {"division, no product with a reciprocal", arithmetic_operation::divide, {0xBFC8122A, 0x3FDB4C4B, 0x00000000}, 0xBF698E19},
    {"division, no product with a reciprocal", arithmetic_operation::divide, {0x3F069E53, 0x3FBAD3AF, 0x00000000}, 0x3EB87615},
    {"division, no product with a reciprocal", arithmetic_operation::divide, {0x3F0072E5, 0x3FB76186, 0x00000000}, 0x3EB3508E},
    {"the square root", arithmetic_operation::square_root, {0x40000000, 0x00000000, 0x00000000}, 0x3FB504F3},
    {"the square root", arithmetic_operation::square_root, {0x40400000, 0x00000000, 0x00000000}, 0x3FDDB3D7},
    {"the square root", arithmetic_operation::square_root, {0x00000001, 0x00000000, 0x00000000}, 0x1A3504F3},
    {"the square root", arithmetic_operation::square_root, {0x7F7FFFFF, 0x00000000, 0x00000000}, 0x5F7FFFFF},
    {"the square root", arithmetic_operation::square_root, {0x007FFFFF, 0x00000000, 0x00000000}, 0x1FFFFFFF},
    {"the square root, no product with its reciprocal", arithmetic_operation::square_root, {0x3F9CF954, 0x00000000, 0x00000000}, 0x3F8DBFA4},
    {"the square root, no product with its reciprocal", arithmetic_operation::square_root, {0x3FC0D75C, 0x00000000, 0x00000000}, 0x3F9D1C44},
    {"the square root, no product with its reciprocal", arithmetic_operation::square_root, {0x3FB8D389, 0x00000000, 0x00000000}, 0x3F99CF92},
    {"the square root, no product with its reciprocal", arithmetic_operation::square_root, {0x3FDBB15D, 0x00000000, 0x00000000}, 0x3FA7B136},
    {"fma, what a product leaves", arithmetic_operation::fused, {0x3F800001, 0x3F800001, 0xBF800002}, 0x28800000},
    {"fma, one rounding", arithmetic_operation::fused, {0x3FFFFFFF, 0x3FFFFFFF, 0xC07FFFFE}, 0x28800000},
    {"fma, a subnormal result", arithmetic_operation::fused, {0x0D800000, 0x27400000, 0x00000001}, 0x00000002},
    {"fma, a product beyond the largest number", arithmetic_operation::fused, {0x7F000000, 0x40000000, 0xFF7FFFFF}, 0x73800000},
    {"a product and a sum, two roundings", arithmetic_operation::product_and_sum, {0x3F800001, 0x3F800001, 0xBF800002}, 0x00000000},
    {"a product and a sum, two roundings", arithmetic_operation::product_and_sum, {0x3FFFFFFF, 0x3FFFFFFF, 0xC07FFFFE}, 0x00000000},
    {"a product and a sum, two roundings", arithmetic_operation::product_and_sum, {0x3F9A2B3C, 0x3FFF6E5D, 0xC0199999}, 0x3B67B800},
    {"a long to a float", arithmetic_operation::from_long, {0x40000001, 0x00400000, 0x00000000}, 0x5A800001},
    {"a long to a float", arithmetic_operation::from_long, {0x40000000, 0x00400000, 0x00000000}, 0x5A800000},
    {"a long to a float", arithmetic_operation::from_long, {0xBFFFFFFF, 0xFFBFFFFF, 0x00000000}, 0xDA800001},
    {"a long to a float", arithmetic_operation::from_long, {0xFFFFFFFF, 0x7FFFFFFF, 0x00000000}, 0x5F000000},
    {"a long to a float", arithmetic_operation::from_long, {0x00000000, 0x80000000, 0x00000000}, 0xDF000000},
    {"a long to a float", arithmetic_operation::from_long, {0x01000001, 0x00000000, 0x00000000}, 0x4B800000},
    {"a long to a float", arithmetic_operation::from_long, {0x01000003, 0x00000000, 0x00000000}, 0x4B800002},
    {"a long to a float", arithmetic_operation::from_long, {0x00000001, 0x00000000, 0x00000000}, 0x3F800000},
    {"a long to a float", arithmetic_operation::from_long, {0x00000000, 0x00000000, 0x00000000}, 0x00000000},
    {"a long to a float", arithmetic_operation::from_long, {0xFFC00000, 0x3FFFFFFF, 0x00000000}, 0x5E800000},
    {"fp16 to a float", arithmetic_operation::from_half, {0x00000001, 0x00000000, 0x00000000}, 0x33800000},
    {"fp16 to a float", arithmetic_operation::from_half, {0x000003FF, 0x00000000, 0x00000000}, 0x387FC000},
    {"fp16 to a float", arithmetic_operation::from_half, {0x00000400, 0x00000000, 0x00000000}, 0x38800000},
    {"fp16 to a float", arithmetic_operation::from_half, {0x00008001, 0x00000000, 0x00000000}, 0xB3800000},
    {"fp16 to a float", arithmetic_operation::from_half, {0x00007BFF, 0x00000000, 0x00000000}, 0x477FE000},
    {"fp16 to a float", arithmetic_operation::from_half, {0x0000FBFF, 0x00000000, 0x00000000}, 0xC77FE000},
    {"fp16 to a float", arithmetic_operation::from_half, {0x00003555, 0x00000000, 0x00000000}, 0x3EAAA000},
    {"fp16 to a float", arithmetic_operation::from_half, {0x00008000, 0x00000000, 0x00000000}, 0x80000000},
    {"a float to fp16", arithmetic_operation::to_half, {0x33800000, 0x00000000, 0x00000000}, 0x00000001},
    {"a float to fp16", arithmetic_operation::to_half, {0x33000000, 0x00000000, 0x00000000}, 0x00000000},
    {"a float to fp16", arithmetic_operation::to_half, {0x33000001, 0x00000000, 0x00000000}, 0x00000001},
    {"a float to fp16", arithmetic_operation::to_half, {0x33C00000, 0x00000000, 0x00000000}, 0x00000002},
    {"a float to fp16", arithmetic_operation::to_half, {0x387FF000, 0x00000000, 0x00000000}, 0x00000400},
    {"a float to fp16", arithmetic_operation::to_half, {0x477FE000, 0x00000000, 0x00000000}, 0x00007BFF},
    {"a float to fp16", arithmetic_operation::to_half, {0x477FEFFF, 0x00000000, 0x00000000}, 0x00007BFF},
    {"a float to fp16", arithmetic_operation::to_half, {0x477FF000, 0x00000000, 0x00000000}, 0x00007C00},
    {"a float to fp16", arithmetic_operation::to_half, {0x3F800800, 0x00000000, 0x00000000}, 0x00003C00},
    {"a float to fp16", arithmetic_operation::to_half, {0x3F801800, 0x00000000, 0x00000000}, 0x00003C01},
    {"a float to fp16", arithmetic_operation::to_half, {0xBF801001, 0x00000000, 0x00000000}, 0x0000BC01},
    {"a float to fp16", arithmetic_operation::to_half, {0x00000001, 0x00000000, 0x00000000}, 0x00000000},
    {"the nearest integer", arithmetic_operation::nearest, {0x3F000000, 0x00000000, 0x00000000}, 0x00000000},
    {"the nearest integer", arithmetic_operation::nearest, {0x3FC00000, 0x00000000, 0x00000000}, 0x40000000},
    {"the nearest integer", arithmetic_operation::nearest, {0x40200000, 0x00000000, 0x00000000}, 0x40000000},
    {"the nearest integer", arithmetic_operation::nearest, {0xBF000000, 0x00000000, 0x00000000}, 0x80000000},
    {"the nearest integer", arithmetic_operation::nearest, {0xBFC00000, 0x00000000, 0x00000000}, 0xC0000000},
    {"the nearest integer", arithmetic_operation::nearest, {0x42FD0000, 0x00000000, 0x00000000}, 0x42FC0000},
    {"the nearest integer", arithmetic_operation::nearest, {0x3EFFFFFF, 0x00000000, 0x00000000}, 0x00000000},
    {"the next integer above", arithmetic_operation::above, {0x3F000000, 0x00000000, 0x00000000}, 0x3F800000},
    {"the next integer above", arithmetic_operation::above, {0x00000001, 0x00000000, 0x00000000}, 0x3F800000},
    {"the next integer above", arithmetic_operation::above, {0xBF000000, 0x00000000, 0x00000000}, 0x80000000},
    {"the next integer above", arithmetic_operation::above, {0x40000000, 0x00000000, 0x00000000}, 0x40000000},
    {"the next integer above", arithmetic_operation::above, {0x40000001, 0x00000000, 0x00000000}, 0x40400000},
}};

/// Around the least and the largest numbers that fp16 holds, and where it rounds.
inline constexpr std::array<float, 12> fp16_edges{
    0x1p-24F,        0x1p-25F,    0x1.000002p-25F, 0x1.8p-24F,      0x1.ffep-15F, 0x1.ffcp+15F,
    0x1.ffdffep+15F, 0x1.001p+0F, 0x1.003p+0F,     -0x1.002002p+0F, 0x1p-149F,    -0.0F};

} // namespace ovir::compute
