#pragma once

#include "compute/tensor/quantized_rows.hpp"

/// One function per encoding: the weights, scales and mins of a block as integers. The scales that
/// are fp16 are taken out by `decode_block`. docs/formats/gguf.md has the layouts.
namespace ovir::compute {

void decode_q4_1(const std::byte* block, integer_block& out);
void decode_q5_0(const std::byte* block, integer_block& out);
void decode_q5_1(const std::byte* block, integer_block& out);
void decode_q2_k(const std::byte* block, integer_block& out);
void decode_q3_k(const std::byte* block, integer_block& out);
void decode_q5_k(const std::byte* block, integer_block& out);

void decode_iq2_xxs(const std::byte* block, integer_block& out);
void decode_iq2_xs(const std::byte* block, integer_block& out);
void decode_iq2_s(const std::byte* block, integer_block& out);
void decode_iq3_xxs(const std::byte* block, integer_block& out);
void decode_iq3_s(const std::byte* block, integer_block& out);
void decode_iq4_nl(const std::byte* block, integer_block& out);
void decode_mxfp4(const std::byte* block, integer_block& out);
void decode_iq4_xs(const std::byte* block, integer_block& out);

} // namespace ovir::compute
