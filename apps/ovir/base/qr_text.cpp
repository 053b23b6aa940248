#include "apps/ovir/base/qr_text.hpp"

#include <qrencode.h>

#include <memory>

namespace ovir::apps {

namespace {

constexpr int quiet_modules = 4; ///< around a code, as ISO/IEC 18004 asks for
constexpr std::string_view black_and_white = "\x1b[40;97m";
constexpr std::string_view usual_colours = "\x1b[0m\n";

struct free_code {
  void operator()(QRcode* code) const noexcept { QRcode_free(code); }
};

} // namespace

result<std::string> qr_text(std::string_view text) {
  const std::unique_ptr<QRcode, free_code> code{
      QRcode_encodeData(static_cast<int>(text.size()),
                        reinterpret_cast<const unsigned char*>(text.data()), 0, QR_ECLEVEL_L)};
  if (!code) {
    return fail(errc::over_limit, "{} bytes do not fit into a QR code; use the text", text.size());
  }
  const auto is_light = [&code](int x, int y) {
    const bool inside = x >= 0 && y >= 0 && x < code->width && y < code->width;
    return !inside || (code->data[y * code->width + x] & 1U) == 0;
  };
  std::string out;
  for (int y = -quiet_modules; y < code->width + quiet_modules; y += 2) {
    out += black_and_white;
    for (int x = -quiet_modules; x < code->width + quiet_modules; ++x) {
      const bool upper = is_light(x, y);
      const bool lower = is_light(x, y + 1);
      out += upper ? (lower ? "\u2588" : "\u2580") : (lower ? "\u2584" : " ");
    }
    out += usual_colours;
  }
  return out;
}

} // namespace ovir::apps
