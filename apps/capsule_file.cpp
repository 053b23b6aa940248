#include "apps/capsule_file.hpp"

#include "compute/gguf/manifest.hpp"

#include <charconv>
#include <optional>

namespace ovir::apps {

namespace {

std::optional<std::uint32_t> number(std::string_view text) {
  std::uint32_t value = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  return read.ec == std::errc{} && read.ptr == text.data() + text.size() ? std::optional{value}
                                                                         : std::nullopt;
}

} // namespace

result<compute::piece_choice> parse_units(std::string_view text, const receipt& r) {
  const std::size_t at = text.find('@');
  const std::string_view layers = text.substr(0, at);
  const std::size_t dash = layers.find('-');
  const auto first = number(layers.substr(0, dash));
  const auto last = dash == std::string_view::npos ? first : number(layers.substr(dash + 1));
  const auto window = at == std::string_view::npos ? std::optional{windows_of(r.positions) - 1}
                                                   : number(text.substr(at + 1));
  if (!first || !last || !window || *last < *first || *last >= r.asked.layers ||
      *window >= windows_of(r.positions)) {
    return fail(errc::invalid_argument,
                "\"{}\" names no units: give a layer from 0 to {} or a range such as 3-5, and "
                "behind it @ and a window from 0 to {}, such as 3@2",
                text, r.asked.layers - 1, windows_of(r.positions) - 1);
  }
  return compute::piece_choice{
      {*first, *last + 1}, *window * limits::window_positions + positions_of(*window, r.positions)};
}

result<void> is_model_of(const receipt& r, const open_model& model) {
  OVIR_ASSIGN(const compute::model_manifest manifest, compute::manifest_of(model.metadata));
  if (const digest given = compute::name_of(manifest); given != r.asked.model) {
    return fail(errc::digest_mismatch, "the receipt is about model {}, {} is {}",
                to_hex(r.asked.model), model.path, to_hex(given));
  }
  return {};
}

result<std::vector<std::byte>>
capsule_bytes(const receipt& r, const std::vector<std::string>& units, const ready_model& model,
              const compute::kernel_set& kernels, compute::parallel_runner& runner) {
  const auto found = compute::check_receipt(r, {compute::signer_policy::kind::any, {}});
  if (!found.empty()) {
    return fail(errc::digest_mismatch, "the receipt does not hold: {}", found.front().what);
  }
  OVIR_TRY(is_model_of(r, model.source));
  std::vector<compute::piece_choice> pieces;
  for (const std::string& text : units) {
    OVIR_ASSIGN(const compute::piece_choice piece, parse_units(text, r));
    pieces.push_back(piece);
  }
  if (pieces.empty()) {
    pieces = compute::whole_stages(r);
  }
  OVIR_ASSIGN(const capsule made, compute::make_capsule(r, pieces, model.weights, kernels, runner));
  std::vector<std::byte> bytes = encode_capsule(made);
  if (bytes.size() > limits::capsule_bytes_max) {
    return fail(errc::over_limit, "a capsule of {} bytes; it has at most {}: choose fewer units",
                bytes.size(), limits::capsule_bytes_max);
  }
  return bytes;
}

} // namespace ovir::apps
