#include "compute/devices/device_segment.hpp"

#include "compute/devices/device_kv.hpp"
#include "compute/devices/device_pass.hpp"
#include "compute/devices/device_weights.hpp"
#include "compute/forward/layer_engine.hpp"
#include "compute/forward/layer_step.hpp"
#include "compute/tensor/quantized_rows.hpp"
#include "messages/check.hpp"
#include "messages/limits/devices.hpp"
#include "messages/limits/general.hpp"

#include <algorithm>
#include <utility>

namespace ovir::compute {

namespace {

/// cos and sin of positions on a device, as far as they were needed.
class device_rope {
public:
  void set(rope_table table, std::uint32_t rope_dim) {
    table_ = std::move(table);
    rope_dim_ = rope_dim;
  }
  result<void> grow_to(device& d, position n) {
    constexpr position at_once = 256;
    if (n <= made_) {
      return {};
    }
    const position target = (n + at_once - 1) / at_once * at_once;
    table_.grow(target);
    std::vector<float> rows;
    for (position p = 0; p < target; ++p) {
      rows.insert(rows.end(), table_.row(p), table_.row(p) + rope_dim_);
    }
    OVIR_TRY(grow(d, memory_, rows.size() * sizeof(float)));
    d.write(*memory_, 0, std::as_bytes(std::span{rows}));
    made_ = target;
    return {};
  }
  [[nodiscard]] const device_memory& memory() const { return *memory_; }

private:
  rope_table table_;
  std::uint32_t rope_dim_{0};
  position made_{0};
  device_memory_ptr memory_;
};

class device_engine final : public layer_engine {
public:
  device_engine(std::shared_ptr<device> d, const model& m, layer_range layers)
      : d_(std::move(d)), config_(m.config), layers_(layers), kv_(*d_, m.config, layers) {}

  [[nodiscard]] result<void> load(const model& m);

  [[nodiscard]] result<void> run(engine_pass& pass) override;
  [[nodiscard]] bool has_head() const noexcept override { return head_.panels != nullptr; }
  [[nodiscard]] result<void> head(std::span<const float* const> rows, std::span<float> logits,
                                  std::span<std::uint8_t> ok) override;

private:
  [[nodiscard]] result<void> run_tiles(engine_pass& pass);
  [[nodiscard]] result<void> run_tile(engine_pass& pass, const pass_tile& tile);
  [[nodiscard]] result<void> place_rows(const engine_pass& pass, const pass_tile& tile);
  [[nodiscard]] result<void> place_wanted(const engine_pass& pass, const pass_tile& tile);
  [[nodiscard]] result<void> run_layers(layer_range hashed);
  [[nodiscard]] result<void> take_boundary(layer_index layer, std::uint32_t at);
  [[nodiscard]] result<void> give_back(engine_pass& pass, const pass_tile& tile);
  void find_failures(engine_pass& pass, const pass_tile& tile,
                     std::span<const std::uint32_t> failed);
  void give_boundaries(engine_pass& pass, const pass_tile& tile);
  void give_kv(engine_pass& pass, const pass_tile& tile);
  [[nodiscard]] result<void> head_rows(std::span<const float* const> rows, std::span<float> logits,
                                       std::span<std::uint8_t> ok);

  std::shared_ptr<device> d_;
  model_config config_;
  layer_range layers_;
  std::vector<device_weights> weights_;
  device_matrix head_;
  device_memory_ptr output_norm_;
  device_rope rope_;
  device_rope window_rope_;
  device_kv kv_;
  std::vector<device_kv::request*> requests_; ///< of the pass's sessions
  tile_memory tile_;
  layer_memory memory_;
  device_memory_ptr boundary_key_;
  device_memory_ptr digest_scratch_;
  device_memory_ptr logits_;
};

/// What is said of a stretch of memory that the host writes whole.
template <class T>
result<void> put_into(device& d, device_memory_ptr& memory, const std::vector<T>& values) {
  OVIR_TRY(grow(d, memory, std::max<std::size_t>(values.size(), 1) * sizeof(T)));
  d.write(*memory, 0, std::as_bytes(std::span{values}));
  return {};
}

template <class T>
std::vector<T> read_from(device& d, const device_memory& memory, std::size_t n) {
  std::vector<T> out(n);
  d.read(memory, 0, std::as_writable_bytes(std::span{out}));
  return out;
}

/// Whether row `row` of a session is in a window that the device digests.
bool is_digested(const engine_session& s, std::uint32_t row) {
  return row >= s.lead && row < s.lead + s.windows * limits::window_positions;
}

result<void> device_engine::load(const model& m) {
  device& d = *d_;
  std::vector<float> factors;
  if (const weight& w = m.rope_factors; !w.empty()) {
    factors.resize(w.cols);
    embed_row(w, 0, factors.data());
  }
  rope_.set(rope_table{m.config, factors}, m.config.rope_dim);
  if (m.config.window_rope_base != 0) {
    window_rope_.set(rope_table::of_windows(m.config), m.config.rope_dim);
  }
  for (layer_index l = layers_.first; l < layers_.last; ++l) {
    OVIR_ASSIGN(device_weights one, upload(d, m.layers[l]));
    weights_.push_back(std::move(one));
  }
  if (layers_.last == m.config.layers && check_for_device(m.output)) {
    OVIR_ASSIGN(head_, upload(d, m.output));
    OVIR_ASSIGN(output_norm_, upload_vector(d, m.output_norm));
  }
  OVIR_ASSIGN(boundary_key_, put_boundary_key(d));
  return d.settle();
}

result<void> device_engine::run(engine_pass& pass) {
  const auto done = run_tiles(pass);
  if (!done) {
    kv_.forget();
  }
  return done;
}

result<void> device_engine::run_tiles(engine_pass& pass) {
  requests_.assign(pass.sessions.size(), nullptr);
  position last = 0;
  for (std::size_t i = 0; i < pass.sessions.size(); ++i) {
    engine_session& s = pass.sessions[i];
    if (s.failed) {
      continue;
    }
    const position end = s.first + s.count;
    auto prepared = kv_.prepare(*s.own, *s.kv, s.first, end);
    if (!prepared) {
      s.failed = prepared.error();
      continue;
    }
    requests_[i] = *prepared;
    last = std::max(last, end);
  }
  OVIR_TRY(rope_.grow_to(*d_, last));
  if (config_.window_rope_base != 0) {
    OVIR_TRY(window_rope_.grow_to(*d_, last));
  }
  for (const pass_tile& tile : tiles_of(pass.sessions)) {
    OVIR_TRY(run_tile(pass, tile));
  }
  return {};
}

result<void> device_engine::run_tile(engine_pass& pass, const pass_tile& tile) {
  OVIR_TRY(memory_.reshape(*d_, config_, tile.rows));
  OVIR_TRY(place_rows(pass, tile));
  OVIR_TRY(place_wanted(pass, tile));
  OVIR_TRY(run_layers(pass.hashed));
  return give_back(pass, tile);
}

// The rows of a tile, their positions and pages.
result<void> device_engine::place_rows(const engine_pass& pass, const pass_tile& tile) {
  device& d = *d_;
  std::vector<position> positions;
  std::vector<std::uint32_t> table_of;
  std::vector<std::uint32_t> pages;
  position last = 0;
  for (const tile_part& part : tile.parts) {
    const engine_session& s = pass.sessions[part.session];
    const std::size_t row_bytes = config_.dim * sizeof(float);
    d.write(*memory_.stream, positions.size() * row_bytes,
            std::as_bytes(pass.stream.subspan(std::size_t{s.row + part.from} * config_.dim,
                                              std::size_t{part.count} * config_.dim)));
    table_of.insert(table_of.end(), part.count, static_cast<std::uint32_t>(pages.size()));
    for (std::uint32_t i = 0; i < part.count; ++i) {
      positions.push_back(s.first + part.from + i);
    }
    last = std::max(last, positions.back());
    const std::vector<std::uint32_t>& own = requests_[part.session]->pages;
    pages.insert(pages.end(), own.begin(), own.end());
  }
  tile_.rows = tile.rows;
  tile_.positions = last + 1;
  OVIR_TRY(put_into(d, tile_.position, positions));
  OVIR_TRY(put_into(d, tile_.table_of, table_of));
  OVIR_TRY(put_into(d, tile_.pages, pages));
  return put_into(d, tile_.failed, std::vector<std::uint32_t>(tile.rows, no_device_failure));
}

// Which rows' boundaries go to the host, and which windows are digested here.
result<void> device_engine::place_wanted(const engine_pass& pass, const pass_tile& tile) {
  std::vector<std::uint32_t> kept;
  std::vector<std::uint32_t> window_rows;
  std::vector<std::uint32_t> window_numbers;
  std::uint32_t row = 0;
  for (const tile_part& part : tile.parts) {
    const engine_session& s = pass.sessions[part.session];
    for (std::uint32_t i = part.from; i < part.from + part.count; ++i, ++row) {
      if (!is_digested(s, i)) {
        kept.push_back(row);
      } else if ((i - s.lead) % limits::window_positions == 0) {
        window_rows.push_back(row);
        window_numbers.push_back((s.first + i) / limits::window_positions);
      }
    }
  }
  tile_.kept = static_cast<std::uint32_t>(kept.size());
  tile_.windows = static_cast<std::uint32_t>(window_rows.size());
  device& d = *d_;
  OVIR_TRY(put_into(d, tile_.kept_rows, kept));
  OVIR_TRY(put_into(d, tile_.window_rows, window_rows));
  OVIR_TRY(put_into(d, tile_.window_numbers, window_numbers));
  const std::size_t hashed = pass.hashed.size();
  OVIR_TRY(grow(d, tile_.boundaries, hashed * kept.size() * config_.dim * sizeof(float) + 1));
  OVIR_TRY(grow(d, tile_.digests, hashed * window_rows.size() * digest::size + 1));
  return grow(d, tile_.fresh,
              std::size_t{layers_.size()} * tile.rows * 2 * config_.kv_dim() *
                  sizeof(std::uint16_t));
}

result<void> device_engine::take_boundary(layer_index layer, std::uint32_t at) {
  device& d = *d_;
  if (tile_.kept > 0) {
    launch(d, device_kernel::gather_rows,
           {groups_of(config_.dim, row_of(device_kernel::gather_rows).items), tile_.kept},
           memory_.stream.get(), tile_.kept_rows.get(), config_.dim, tile_.boundaries.get(),
           at * tile_.kept);
  }
  if (tile_.windows == 0) {
    return {};
  }
  return digest_windows(
      d, digest_scratch_, *memory_.stream, config_.dim, layer,
      {tile_.windows, tile_.window_rows.get(), tile_.window_numbers.get(), boundary_key_.get()},
      *tile_.digests, at * tile_.windows);
}

result<void> device_engine::run_layers(layer_range hashed) {
  for (layer_index l = layers_.first; l < layers_.last; ++l) {
    const layer_kind kind = config_.kind_of(l);
    const std::uint32_t at = l - layers_.first;
    const device_layer_step step{
        *d_,          config_,
        weights_[at], l,
        kind,         kind.window_rope ? window_rope_.memory() : rope_.memory(),
        kv_.pool(l),  tile_,
        memory_,      at * tile_.rows};
    OVIR_TRY(step.run());
    if (l < hashed.last) {
      OVIR_TRY(take_boundary(l, l - hashed.first));
    }
  }
  return {};
}

// The first failure of a session's rows is that of the session: the earliest place, there the first
// row.
void device_engine::find_failures(engine_pass& pass, const pass_tile& tile,
                                  std::span<const std::uint32_t> failed) {
  for (const tile_part& part : tile.parts) {
    engine_session& s = pass.sessions[part.session];
    const auto rows = failed.first(part.count);
    failed = failed.subspan(part.count);
    const auto first = std::min_element(rows.begin(), rows.end());
    if (*first != no_device_failure && !s.failed) {
      s.failed = nonfinite_in(layer_places[*first % places_of_layer], *first / places_of_layer,
                              s.first + part.from + static_cast<position>(first - rows.begin()));
    }
  }
}

void device_engine::give_boundaries(engine_pass& pass, const pass_tile& tile) {
  device& d = *d_;
  const std::size_t dim = config_.dim;
  const std::size_t hashed = pass.hashed.size();
  const auto kept = read_from<float>(d, *tile_.boundaries, hashed * tile_.kept * dim);
  const auto digests = read_from<digest>(d, *tile_.digests, hashed * tile_.windows);
  std::vector<std::size_t> first_window; // of each session, among the pass's
  std::size_t windows = 0;
  for (const engine_session& s : pass.sessions) {
    first_window.push_back(windows);
    windows += s.windows;
  }
  for (std::size_t l = 0; l < hashed; ++l) {
    std::size_t kept_row = l * tile_.kept;
    std::size_t window = l * tile_.windows;
    for (const tile_part& part : tile.parts) {
      const engine_session& s = pass.sessions[part.session];
      for (std::uint32_t i = part.from; i < part.from + part.count; ++i) {
        if (!is_digested(s, i)) {
          const std::size_t to = (l * pass.rows + s.row + i) * dim;
          std::copy_n(kept.begin() + static_cast<std::ptrdiff_t>(kept_row++ * dim), dim,
                      pass.boundaries.begin() + static_cast<std::ptrdiff_t>(to));
        } else if ((i - s.lead) % limits::window_positions == 0) {
          pass.digests[l * windows + first_window[part.session] +
                       (i - s.lead) / limits::window_positions] = digests[window++];
        }
      }
    }
  }
}

// The K and V of the rows go to the caches, from which everything else reads them.
void device_engine::give_kv(engine_pass& pass, const pass_tile& tile) {
  const std::size_t kv_dim = config_.kv_dim();
  const std::size_t head_dim = config_.head_dim;
  const auto fresh = read_from<std::uint16_t>(*d_, *tile_.fresh,
                                              std::size_t{layers_.size()} * tile.rows * 2 * kv_dim);
  const std::uint16_t* from = fresh.data();
  for (layer_index l = layers_.first; l < layers_.last; ++l) {
    for (const tile_part& part : tile.parts) {
      kv_cache& kv = *pass.sessions[part.session].kv;
      const position first = pass.sessions[part.session].first + part.from;
      for (position p = first; p < first + part.count; ++p, from += 2 * kv_dim) {
        for (std::uint32_t h = 0; h < config_.kv_heads; ++h) {
          std::copy_n(from + h * head_dim, head_dim, kv.keys(l, h) + p * head_dim);
          std::copy_n(from + kv_dim + h * head_dim, head_dim, kv.values(l, h) + p * head_dim);
        }
      }
    }
  }
}

result<void> device_engine::give_back(engine_pass& pass, const pass_tile& tile) {
  device& d = *d_;
  const auto failed = read_from<std::uint32_t>(d, *tile_.failed, tile.rows);
  const auto stream = read_from<float>(d, *memory_.stream, std::size_t{tile.rows} * config_.dim);
  OVIR_TRY(d.settle());
  find_failures(pass, tile, failed);
  give_boundaries(pass, tile);
  give_kv(pass, tile);
  OVIR_TRY(d.settle());
  auto from = stream.begin();
  for (const tile_part& part : tile.parts) {
    const engine_session& s = pass.sessions[part.session];
    const auto size = std::ptrdiff_t{part.count} * config_.dim;
    std::copy(from, from + size,
              pass.stream.begin() + std::ptrdiff_t{s.row + part.from} * config_.dim);
    from += size;
    if (!s.failed) {
      requests_[part.session]->synced = s.first + part.from + part.count;
    }
  }
  return {};
}

result<void> device_engine::head_rows(std::span<const float* const> rows, std::span<float> logits,
                                      std::span<std::uint8_t> ok) {
  device& d = *d_;
  const auto n = static_cast<std::uint32_t>(rows.size());
  OVIR_TRY(memory_.reshape(d, config_, n));
  OVIR_TRY(grow(d, logits_, logits.size_bytes()));
  OVIR_TRY(put_into(d, tile_.failed, std::vector<std::uint32_t>(n, no_device_failure)));
  for (std::size_t i = 0; i < n; ++i) {
    d.write(*memory_.hidden, i * config_.dim * sizeof(float),
            std::as_bytes(std::span{rows[i], config_.dim}));
  }
  norm_rows(d, *memory_.hidden, *output_norm_, config_.dim, config_.norm_epsilon, n,
            *memory_.hidden);
  const std::array readers{product_reader{&head_, logits_.get()}};
  OVIR_TRY(multiply_all(d, memory_, *memory_.hidden, n, readers, {tile_.failed.get(), 0}));
  d.read(*logits_, 0, std::as_writable_bytes(logits));
  const auto failed = read_from<std::uint32_t>(d, *tile_.failed, n);
  OVIR_TRY(d.settle());
  for (std::size_t i = 0; i < n; ++i) {
    ok[i] = failed[i] == no_device_failure ? ok[i] : std::uint8_t{0};
  }
  return {};
}

result<void> device_engine::head(std::span<const float* const> rows, std::span<float> logits,
                                 std::span<std::uint8_t> ok) {
  for (std::size_t at = 0; at < rows.size(); at += limits::device_rows_max) {
    const std::size_t n = std::min<std::size_t>(limits::device_rows_max, rows.size() - at);
    OVIR_TRY(head_rows(rows.subspan(at, n),
                       logits.subspan(at * config_.vocabulary, n * config_.vocabulary),
                       ok.subspan(at, n)));
  }
  return {};
}

} // namespace

result<void> check_for_device(const model& checked, layer_range layers) {
  if (checked.lora) {
    return fail(errc::unsupported, "the model has an adapter, which devices do not compute; "
                                   "compute it on the processor");
  }
  for (layer_index l = layers.first; l < layers.last; ++l) {
    const layer_weights& w = checked.layers[l];
    if (!w.experts.empty()) {
      return fail(errc::unsupported,
                  "layer {} is a mixture of experts, which devices do not compute; compute it on "
                  "the processor",
                  l);
    }
    for (const layer_part& part : layer_parts) {
      if (const weight& one = w.*part.member; part.product && !one.empty()) {
        if (const auto can = check_for_device(one); !can) {
          return fail(errc::unsupported, "layer {}, {}: {}; compute it on the processor", l,
                      part.name, can.error().message);
        }
      }
    }
  }
  return {};
}

result<std::unique_ptr<segment>> make_device_segment(std::shared_ptr<device> d,
                                                     const model& checked, layer_range layers,
                                                     const kernel_set& kernels) {
  OVIR_CHECK(layers.last <= checked.layers.size(), layers.last);
  OVIR_TRY(check_for_device(checked, layers));
  auto engine = std::make_unique<device_engine>(std::move(d), checked, layers);
  OVIR_TRY(engine->load(checked));
  return segment::make_with(checked, layers, kernels, std::move(engine));
}

} // namespace ovir::compute
