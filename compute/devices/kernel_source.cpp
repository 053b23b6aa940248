#include "compute/devices/kernel_source.hpp"

#include "compute/devices/kernel_text.hpp"
#include "compute/kernels/formats/packed_weights.hpp"
#include "compute/kernels/formats/unpacked_rows.hpp"
#include "compute/tensor/layouts.hpp"
#include "messages/limits/devices.hpp"
#include "messages/limits/general.hpp"

#include <fmt/format.h>

#include <array>
#include <span>

namespace ovir::compute {

namespace {

constexpr std::size_t dword = 4;

struct constant {
  std::string_view name;
  std::size_t value;
};

constexpr std::size_t dwords(std::size_t bytes) { return bytes / dword; }

using namespace layout;
static_assert(packed_rows == panel_rows);
static_assert(q4_k_panel::scales == panel_line && q5_k_panel::scales == panel_line &&
              q4_k_panel::dmin == panel_halves && q5_k_panel::dmin == panel_halves);
static_assert(q4_k_panel::nibbles == 4 * panel_line && q5_k_panel::weights == 4 * panel_line);
static_assert(q5_k_panel::pair_bytes == 10 * panel_line);
static_assert(q6_k_panel::quarter_bytes == 12 * panel_line);
static_assert(q8_0_block::bytes == 2 + 32 && q4_0_block::bytes == 2 + 16);

constexpr std::array constants{
    constant{"PANEL_ROWS", panel_rows},
    constant{"PANEL_LINE", dwords(panel_line)},
    constant{"Q4_K_PANEL", dwords(q4_k_panel::bytes)},
    constant{"Q4_K_NIBBLES", dwords(q4_k_panel::nibbles)},
    constant{"Q5_K_PANEL", dwords(q5_k_panel::bytes)},
    constant{"Q5_K_WEIGHTS", dwords(q5_k_panel::weights)},
    constant{"Q6_K_PANEL", dwords(q6_k_panel::bytes)},
    constant{"Q6_K_SCALES", dwords(q6_k_panel::scales)},
    constant{"Q6_K_QUARTERS", dwords(q6_k_panel::quarters)},
    constant{"GROUP_BLOCKS", packed_group_blocks},
    constant{"GROUP_SCALES", dwords(packed_group_scales)},
    constant{"UNPACKED_32", dwords(unpacked_32_bytes)},
    constant{"UNPACKED_256", dwords(unpacked_256_bytes)},
    constant{"WINDOW", limits::window_positions},
    constant{"TOKENS_MAX", device_tokens_max},
    constant{"QUANTIZE_COLUMNS", limits::device_columns_max},
};

} // namespace

std::string kernel_source() {
  std::string out;
  for (const constant& c : constants) {
    out += fmt::format("#define {} {}\n", c.name, c.value);
  }
  out += kernel_text();
  return out;
}

digest source_digest(std::string_view source) {
  return hash("ovir/device/v1/source", std::as_bytes(std::span{source.data(), source.size()}));
}

} // namespace ovir::compute
