#include "apps/ovir/learn/learn_plot.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace ovir::apps {

namespace {

constexpr double plot_width = 720;
constexpr double plot_height = 400;
constexpr double plot_left = 60;
constexpr double plot_right = 20;
constexpr double plot_top = 36;
constexpr double plot_bottom = 44;
constexpr int plot_lines = 5; ///< of the grid, beside the lowest

/// Where steps and losses lie in the picture.
struct plot_scale {
  double steps;
  double low;
  double high;

  [[nodiscard]] double x(double step) const {
    return plot_left + (plot_width - plot_left - plot_right) * step / std::max(steps, 1.0);
  }
  [[nodiscard]] double y(double loss) const {
    const double share = (loss - low) / (high - low);
    return plot_height - plot_bottom - (plot_height - plot_top - plot_bottom) * share;
  }
};

plot_scale scale_of(std::span<const double> losses,
                    std::span<const learning::evaluation> evaluations) {
  plot_scale s{static_cast<double>(losses.size()), 0, 0};
  double low = HUGE_VAL;
  for (const double loss : losses) {
    low = std::min(low, loss);
    s.high = std::max(s.high, loss);
  }
  for (const learning::evaluation& e : evaluations) {
    low = std::min(low, e.loss);
    s.high = std::max(s.high, e.loss);
  }
  // A curve that hardly falls is shown from zero, and others from somewhat below their lowest.
  s.low = low < s.high ? std::max(0.0, low - (s.high - low) / 10) : 0;
  s.high = s.high > s.low ? s.high : s.low + 1;
  return s;
}

} // namespace

std::string loss_plot(std::span<const double> losses,
                      std::span<const learning::evaluation> evaluations) {
  const plot_scale s = scale_of(losses, evaluations);
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {:.0f} {:.0f}\" "
      "font-family=\"sans-serif\" font-size=\"12\">\n"
      "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
      "<text x=\"{:.0f}\" y=\"22\" font-size=\"14\">Loss by step, in nats for each token</text>\n",
      plot_width, plot_height, plot_left);
  for (int i = 0; i <= plot_lines; ++i) {
    const double loss = s.low + (s.high - s.low) * i / plot_lines;
    out += fmt::format("<line x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\" "
                       "stroke=\"#dddddd\"/>\n"
                       "<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{:.3f}</text>\n",
                       plot_left, plot_width - plot_right, s.y(loss), s.y(loss), plot_left - 6,
                       s.y(loss) + 4, loss);
  }
  for (int i = 0; i <= plot_lines; ++i) {
    const double step = std::floor(s.steps * i / plot_lines);
    out += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{:.0f}</text>\n",
                       s.x(step), plot_height - plot_bottom + 18, step);
  }
  out += "<polyline fill=\"none\" stroke=\"#2266aa\" stroke-width=\"1.5\" points=\"";
  for (std::size_t i = 0; i < losses.size(); ++i) {
    out += fmt::format("{}{:.1f},{:.1f}", i == 0 ? "" : " ", s.x(static_cast<double>(i + 1)),
                       s.y(losses[i]));
  }
  out += "\"/>\n";
  for (const learning::evaluation& e : evaluations) {
    out += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4\" fill=\"#cc4422\"/>\n",
                       s.x(e.step), s.y(e.loss));
  }
  out += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" fill=\"#2266aa\">training</text>\n"
                     "<text x=\"{:.1f}\" y=\"{:.1f}\" fill=\"#cc4422\">held back</text>\n</svg>\n",
                     plot_width - 170, 22.0, plot_width - 90, 22.0);
  return out;
}

} // namespace ovir::apps
