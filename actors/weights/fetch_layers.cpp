#include "actors/weights/fetch_layers.hpp"

#include <algorithm>

namespace ovir::actors {

result<std::vector<std::uint32_t>> wanted_pieces(const compute::piece_list& pieces,
                                                 layer_range layers) {
  if (layers.size() > 0) {
    return pieces.of_segment(layers);
  }
  return pieces.manifest().tokenizer_bytes > 0 ? std::vector<std::uint32_t>{0}
                                               : std::vector<std::uint32_t>{};
}

std::string words_of(layer_range layers) {
  return layers.size() == 0
             ? std::string{"the tokenizer"}
             : "layers " + std::to_string(layers.first) + "-" + std::to_string(layers.last - 1);
}

result<layer_range> fitting_layers(const compute::piece_list& pieces, std::uint64_t memory) {
  layer_range best{0, 0};
  for (layer_index last = 1; last <= pieces.layers(); ++last) {
    OVIR_ASSIGN(const auto wanted, pieces.of_segment({0, last}));
    if (pieces.bytes_of(wanted) > memory / 5 * 4) {
      break;
    }
    best.last = last;
  }
  return best;
}

result<first_layers> first_layers::of(const compute::piece_list& pieces, layer_range layers,
                                      const std::vector<std::uint32_t>& wanted,
                                      const std::vector<std::uint32_t>& missing) {
  first_layers out;
  out.layers_ = layers;
  for (std::uint32_t count = 1; count < layers.size(); count *= 2) {
    // In the order of use, so the pieces of the first layers are the first pieces.
    OVIR_ASSIGN(const auto part, pieces.of_segment({layers.first, layers.first + count}));
    out.steps_.push_back({layers.first + count, part.size()});
  }
  for (std::uint32_t place = 0; place < wanted.size(); ++place) {
    out.turns_.emplace_back(wanted[place], place);
  }
  std::sort(out.turns_.begin(), out.turns_.end());
  out.here_.resize(wanted.size());
  std::vector<std::uint32_t> absent = missing;
  std::sort(absent.begin(), absent.end());
  for (const auto& [piece, place] : out.turns_) {
    out.here_[place] = !std::binary_search(absent.begin(), absent.end(), piece);
  }
  return out;
}

void first_layers::arrived(std::uint32_t piece) {
  const auto known = std::lower_bound(turns_.begin(), turns_.end(), std::pair{piece, 0U});
  if (known != turns_.end() && known->first == piece) {
    here_[known->second] = true;
  }
}

std::optional<layer_range> first_layers::take() {
  while (first_missing_ < here_.size() && here_[first_missing_]) {
    ++first_missing_;
  }
  std::optional<layer_range> told;
  const auto whole = std::find_if(steps_.begin(), steps_.end(),
                                  [this](const step& s) { return s.pieces > first_missing_; });
  if (whole != steps_.begin() && first_missing_ < here_.size()) {
    told = layer_range{layers_.first, std::prev(whole)->last};
  }
  steps_.erase(steps_.begin(), whole);
  return told;
}

} // namespace ovir::actors
