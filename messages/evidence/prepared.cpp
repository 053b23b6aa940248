#include "messages/evidence/prepared.hpp"

#include "messages/evidence/evidence_codec.hpp"
#include "messages/evidence/prepared.capnp.h"

#include <cmath>

// Grammar: docs/formats/prepared.md, docs/formats/reveal.md.
namespace ovir {

namespace {

using namespace evidence_codec;
using prepared_schema::Prepared;
using prepared_schema::Reveal;

constexpr std::uint64_t prepared_magic = 0x50455250'5249564fU; // "OVIRPREP"
constexpr std::uint64_t reveal_magic = 0x41455652'5249564fU;   // "OVIRRVEA"
constexpr std::uint16_t prepared_version = 1;
constexpr std::uint16_t reveal_version = 1;
constexpr std::string_view prepared_name = "a prepared model";
constexpr std::string_view reveal_name = "a reveal";
constexpr std::size_t layer_bytes = 24; // in a list
constexpr std::size_t pointer_bytes = 8;
constexpr std::uint64_t field_size = (std::uint64_t{1} << 61U) - 1;

template <class T>
capnp::Data::Reader list_of(const std::vector<T>& values) {
  return data_of(std::as_bytes(std::span{values}));
}

std::size_t words_of(const prepared_matrix& m) {
  return 16 + 2 * m.secret.size() + m.product.size();
}

void write_matrix(prepared_schema::Matrix::Builder out, const prepared_matrix& m) {
  out.setForm(m.form);
  out.setRows(m.rows);
  out.setCols(m.cols);
  out.setSecret(list_of(m.secret));
  out.setProduct(list_of(m.product));
  out.setBounds(list_of(m.bounds));
}

result<prepared_matrix> read_matrix(prepared_schema::Matrix::Reader from) {
  prepared_matrix m;
  m.form = from.getForm();
  m.rows = from.getRows();
  m.cols = from.getCols();
  OVIR_ASSIGN(m.secret, fixed_list<std::uint64_t>(from.getSecret(), "a secret vector"));
  OVIR_ASSIGN(m.product, fixed_list<std::uint64_t>(from.getProduct(), "a product"));
  OVIR_ASSIGN(m.bounds, fixed_list<std::uint64_t>(from.getBounds(), "bounds"));
  return m;
}

void write_layer(prepared_schema::Layer::Builder out, const prepared_layer& layer) {
  out.setAttentionNorm(list_of(layer.attention_norm));
  out.setFeedForwardNorm(list_of(layer.feed_forward_norm));
  auto matrices = out.initMatrices(layer_matrices);
  for (std::size_t i = 0; i < layer_matrices; ++i) {
    write_matrix(matrices[static_cast<kj::uint>(i)], layer.matrices[i]);
  }
}

result<prepared_layer> read_layer(prepared_schema::Layer::Reader from) {
  prepared_layer layer;
  OVIR_ASSIGN(layer.attention_norm, fixed_list<float>(from.getAttentionNorm(), "a norm"));
  OVIR_ASSIGN(layer.feed_forward_norm, fixed_list<float>(from.getFeedForwardNorm(), "a norm"));
  const auto matrices = from.getMatrices();
  if (matrices.size() != layer_matrices) {
    return fail(errc::malformed, "a layer of {} matrices; it has {}", matrices.size(),
                layer_matrices);
  }
  for (std::size_t i = 0; i < layer_matrices; ++i) {
    OVIR_ASSIGN(layer.matrices[i], read_matrix(matrices[static_cast<kj::uint>(i)]));
  }
  return layer;
}

std::vector<std::byte> write(const prepared_model& m) {
  std::size_t words = 128 + words_of(m.head) + m.embedding.size() * digest::size / word_bytes +
                      m.rope_factors.size() + m.dim;
  for (const prepared_layer& layer : m.layers) {
    words += 16 + m.dim;
    for (const prepared_matrix& matrix : layer.matrices) {
      words += words_of(matrix);
    }
  }
  return write_message<Prepared>(words, [&](Prepared::Builder out) {
    out.setMagic(prepared_magic);
    out.setVersion(prepared_version);
    out.setLayerCount(m.layer_count);
    out.setDim(m.dim);
    out.setFeedForward(m.feed_forward);
    out.setHeads(m.heads);
    out.setKvHeads(m.kv_heads);
    out.setHeadDim(m.head_dim);
    out.setRopeDim(m.rope_dim);
    out.setVocabulary(m.vocabulary);
    out.setContext(m.context);
    out.setNormEpsilon(m.norm_epsilon);
    out.setRopeBase(m.rope_base);
    out.setModel(data_of(m.model));
    out.setSeed(data_of(m.seed));
    out.setRopeFactors(list_of(m.rope_factors));
    out.setOutputNorm(list_of(m.output_norm));
    write_matrix(out.initHead(), m.head);
    out.setEmbedding(data_of(std::span{m.embedding}));
    auto layers = out.initLayers(static_cast<kj::uint>(m.layers.size()));
    for (std::size_t i = 0; i < m.layers.size(); ++i) {
      write_layer(layers[static_cast<kj::uint>(i)], m.layers[i]);
    }
  });
}

template <class Reader>
result<void> check_begin(const Reader& from, std::uint64_t magic, std::uint16_t version,
                         std::string_view name) {
  if (from.getMagic() != magic) {
    return fail(errc::malformed, "these bytes do not begin like {}", name);
  }
  if (from.getVersion() != version) {
    return fail(errc::unsupported, "{} of version {}; this program knows version {}", name,
                from.getVersion(), version);
  }
  return {};
}

result<prepared_model> read_prepared(Prepared::Reader from, std::size_t present) {
  OVIR_TRY(check_begin(from, prepared_magic, prepared_version, prepared_name));
  prepared_model m;
  m.layer_count = from.getLayerCount();
  m.dim = from.getDim();
  m.feed_forward = from.getFeedForward();
  m.heads = from.getHeads();
  m.kv_heads = from.getKvHeads();
  m.head_dim = from.getHeadDim();
  m.rope_dim = from.getRopeDim();
  m.vocabulary = from.getVocabulary();
  m.context = from.getContext();
  m.norm_epsilon = from.getNormEpsilon();
  m.rope_base = from.getRopeBase();
  OVIR_ASSIGN(m.model, fixed<digest>(from.getModel(), "a digest"));
  OVIR_ASSIGN(m.seed, fixed<digest>(from.getSeed(), "a seed"));
  OVIR_ASSIGN(m.rope_factors, fixed_list<float>(from.getRopeFactors(), "factors"));
  OVIR_ASSIGN(m.output_norm, fixed_list<float>(from.getOutputNorm(), "a norm"));
  OVIR_ASSIGN(m.head, read_matrix(from.getHead()));
  OVIR_ASSIGN(m.embedding, fixed_list<digest>(from.getEmbedding(), "digests"));
  const auto layers = from.getLayers();
  OVIR_TRY(all_there(layers, layer_bytes, present, "layers"));
  for (const auto one : layers) {
    OVIR_ASSIGN(prepared_layer layer, read_layer(one));
    m.layers.push_back(std::move(layer));
  }
  return m;
}

bool in_field(const std::vector<std::uint64_t>& values) {
  return std::all_of(values.begin(), values.end(), [](std::uint64_t v) { return v < field_size; });
}

bool finite(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); });
}

result<void> check_matrix(const prepared_matrix& m, std::uint32_t rows, std::uint32_t cols) {
  const std::uint32_t block = m.form == 1 ? 32 : 256;
  if ((m.form != 1 && m.form != 2) || m.rows != rows || m.cols != cols || cols % block != 0 ||
      m.secret.size() != rows || m.bounds.size() != rows || m.product.size() != cols) {
    return fail(errc::malformed, "a prepared matrix of {} by {} where {} by {} belongs", m.rows,
                m.cols, rows, cols);
  }
  const bool bounded = std::all_of(m.bounds.begin(), m.bounds.end(),
                                   [](std::uint64_t b) { return b <= limits::checked_sum_max; });
  if (!in_field(m.secret) || !in_field(m.product) || !bounded) {
    return fail(errc::malformed, "a prepared matrix with a number outside its range");
  }
  return {};
}

std::vector<std::byte> write(const unit_reveal& u) {
  std::size_t words = 64 + u.rows.size() / 2 + u.between.heads.size() / 2 +
                      u.between.keys.size() / 4 + u.between.values.size() / 4;
  for (const auto& sums : u.sums) {
    words += 4 + sums.size();
  }
  return write_message<Reveal>(words, [&](Reveal::Builder out) {
    out.setMagic(reveal_magic);
    out.setVersion(reveal_version);
    out.setWindow(u.window);
    out.setLayer(u.layer);
    out.setTranscript(data_of(u.transcript));
    out.setRows(list_of(u.rows));
    auto sums = out.initSums(unit_matrices);
    for (std::size_t i = 0; i < unit_matrices; ++i) {
      sums.set(static_cast<kj::uint>(i), list_of(u.sums[i]));
    }
    out.setKeys(list_of(u.between.keys));
    out.setValues(list_of(u.between.values));
    out.setHeads(list_of(u.between.heads));
  });
}

result<unit_reveal> read_reveal(Reveal::Reader from, std::size_t present) {
  OVIR_TRY(check_begin(from, reveal_magic, reveal_version, reveal_name));
  unit_reveal u;
  u.window = from.getWindow();
  u.layer = from.getLayer();
  OVIR_ASSIGN(u.transcript, fixed<digest>(from.getTranscript(), "a digest"));
  OVIR_ASSIGN(u.rows, fixed_list<float>(from.getRows(), "rows"));
  const auto sums = from.getSums();
  OVIR_TRY(all_there(sums, pointer_bytes, present, "sums"));
  if (sums.size() != unit_matrices) {
    return fail(errc::malformed, "{} of {} matrices; it has {}", reveal_name, sums.size(),
                unit_matrices);
  }
  for (std::size_t i = 0; i < unit_matrices; ++i) {
    OVIR_ASSIGN(u.sums[i], fixed_list<std::int64_t>(sums[static_cast<kj::uint>(i)], "sums"));
  }
  OVIR_ASSIGN(u.between.keys, fixed_list<std::uint16_t>(from.getKeys(), "keys"));
  OVIR_ASSIGN(u.between.values, fixed_list<std::uint16_t>(from.getValues(), "values"));
  OVIR_ASSIGN(u.between.heads, fixed_list<float>(from.getHeads(), "heads"));
  return u;
}

} // namespace

digest embedding_row_digest(std::span<const float> row) {
  return hash("ovir/prepared/v1/row", std::as_bytes(row));
}

result<void> check(const prepared_model& m) {
  const auto in = [](std::uint32_t value, std::uint32_t most) {
    return value > 0 && value <= most;
  };
  if (!in(m.layer_count, limits::layers_max) || m.layers.size() != m.layer_count ||
      !in(m.dim, limits::embedding_max) || !in(m.feed_forward, limits::feed_forward_max) ||
      !in(m.heads, limits::embedding_max) || !in(m.kv_heads, m.heads) ||
      m.heads % m.kv_heads != 0 || !in(m.head_dim, limits::embedding_max) ||
      m.rope_dim > m.head_dim || m.rope_dim % 2 != 0 || m.head_dim % 2 != 0 ||
      !in(m.vocabulary, limits::vocabulary_max) || m.embedding.size() != m.vocabulary ||
      !in(m.context, limits::context_max) || !std::isfinite(m.norm_epsilon) ||
      !std::isfinite(m.rope_base) || m.rope_base <= 0 ||
      std::uint64_t{m.heads} * m.head_dim > limits::embedding_max) {
    return fail(errc::malformed, "a prepared model whose shape is none that a model has");
  }
  if (m.output_norm.size() != m.dim || !finite(m.output_norm) || !finite(m.rope_factors) ||
      (!m.rope_factors.empty() && m.rope_factors.size() != m.rope_dim / 2)) {
    return fail(errc::malformed, "a prepared model with a vector of the wrong length or content");
  }
  OVIR_TRY(check_matrix(m.head, m.vocabulary, m.dim));
  const std::uint32_t q_dim = m.heads * m.head_dim;
  const std::uint32_t kv_dim = m.kv_heads * m.head_dim;
  const std::array<std::array<std::uint32_t, 2>, layer_matrices> shapes{{{q_dim, m.dim},
                                                                         {kv_dim, m.dim},
                                                                         {kv_dim, m.dim},
                                                                         {m.dim, q_dim},
                                                                         {m.feed_forward, m.dim},
                                                                         {m.feed_forward, m.dim},
                                                                         {m.dim, m.feed_forward}}};
  for (const prepared_layer& layer : m.layers) {
    if (layer.attention_norm.size() != m.dim || layer.feed_forward_norm.size() != m.dim ||
        !finite(layer.attention_norm) || !finite(layer.feed_forward_norm)) {
      return fail(errc::malformed, "a prepared layer with norms of the wrong length or content");
    }
    for (std::size_t i = 0; i < layer_matrices; ++i) {
      OVIR_TRY(check_matrix(layer.matrices[i], shapes[i][0], shapes[i][1]));
    }
  }
  return {};
}

std::vector<std::byte> encode_prepared(const prepared_model& m) {
  OVIR_CHECK(check(m).has_value());
  return write(m);
}

result<prepared_model> decode_prepared(std::span<const std::byte> bytes) {
  OVIR_ASSIGN(prepared_model m,
              (read_message<Prepared, prepared_model>(bytes, limits::prepared_bytes_max,
                                                      prepared_name, read_prepared)));
  OVIR_TRY(check(m));
  OVIR_TRY(same_bytes(write(m), bytes, prepared_name));
  return m;
}

std::vector<std::byte> encode_reveal(const unit_reveal& u) { return write(u); }

result<unit_reveal> decode_reveal(std::span<const std::byte> bytes) {
  OVIR_ASSIGN(unit_reveal u, (read_message<Reveal, unit_reveal>(bytes, limits::reveal_bytes_max,
                                                                reveal_name, read_reveal)));
  OVIR_TRY(same_bytes(write(u), bytes, reveal_name));
  return u;
}

} // namespace ovir
