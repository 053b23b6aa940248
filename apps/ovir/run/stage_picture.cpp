#include "apps/ovir/run/stage_picture.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace ovir::apps {

namespace {

constexpr std::size_t boxes_per_row = 3;
constexpr std::size_t box_columns = 20; // inside the frame
constexpr std::size_t boxes_drawn_max = 12;

std::string repeated(std::string_view text, std::size_t count) {
  std::string all;
  for (std::size_t i = 0; i < count; ++i) {
    all += text;
  }
  return all;
}

// One row of boxes; an arrow leads into a box unless it is the first of all.
std::string row_of(const std::vector<picture_box>& boxes, bool starts, bool ends) {
  const std::string bar = repeated("─", box_columns + 2);
  std::string text;
  const auto frame = [&](std::string_view left, std::string_view right) {
    text += "   ";
    for (std::size_t i = 0; i < boxes.size(); ++i) {
      text += fmt::format("{}{}{}{}", i == 0 ? "" : "   ", left, bar, right);
    }
    text += "\n";
  };
  frame("┌", "┐");
  for (std::size_t line = 0; line < boxes.front().size(); ++line) {
    const bool middle = line == 1;
    text += middle && !starts ? " → " : "   ";
    for (std::size_t i = 0; i < boxes.size(); ++i) {
      // The precision counts columns and cuts between characters.
      text += fmt::format("{}│ {:<{}.{}} │", i == 0 ? "" : (middle ? " → " : "   "), boxes[i][line],
                          box_columns, box_columns);
    }
    text += middle && !ends ? " →\n" : "\n";
  }
  frame("└", "┘");
  return text;
}

} // namespace

std::string layers_text(const layer_range& layers) {
  return layers.size() == 1 ? fmt::format("layer {}", layers.first)
                            : fmt::format("layers {} to {}", layers.first, layers.last - 1);
}

std::string ends_text(const layer_range& layers, std::uint32_t layer_count) {
  std::string ends;
  if (layers.first == 0) {
    ends = "embedding";
  }
  if (layers.last == layer_count) {
    ends += ends.empty() ? "norm, head" : ", head";
  }
  return ends;
}

std::string picture_of(const std::vector<picture_box>& boxes) {
  std::string text;
  if (boxes.size() > boxes_drawn_max) {
    for (const picture_box& lines : boxes) {
      text += fmt::format("   {:<12}", lines[0]);
      for (std::size_t i = 1; i < lines.size(); ++i) {
        text += fmt::format(" {:<18}", lines[i]);
      }
      text.erase(text.find_last_not_of(' ') + 1);
      text += "\n";
    }
    return text;
  }
  for (std::size_t first = 0; first < boxes.size(); first += boxes_per_row) {
    const std::size_t last = std::min(first + boxes_per_row, boxes.size());
    const std::vector<picture_box> row{boxes.begin() + static_cast<std::ptrdiff_t>(first),
                                       boxes.begin() + static_cast<std::ptrdiff_t>(last)};
    text += row_of(row, first == 0, last == boxes.size());
  }
  return text;
}

} // namespace ovir::apps
