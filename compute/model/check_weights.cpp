#include "compute/model/lora.hpp"
#include "compute/model/model.hpp"
#include "compute/model/weight_bounds.hpp"
#include "messages/check.hpp"

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

namespace ovir::compute {

namespace {

/// Enough for a thread to be worth waking, little enough that threads finish together.
constexpr std::size_t job_bytes = std::size_t{4} << 20U;

/// Bounds of a RoPE factor: it divides a frequency of at most 1, and positions times frequency must
/// stay below 2^31 for our sine and cosine (positions < 2^20).
constexpr float rope_factor_min = 0x1p-10F;
constexpr float rope_factor_max = 0x1p20F;

struct checked_weight {
  std::string name;
  weight* target;
  std::uint32_t first_row{0}; ///< of `target`, in the tensor
};

struct job {
  std::size_t weight;
  std::uint32_t first;
  std::uint32_t last;
  row_bounds found;
};

bool is_tied(const model& m) { return m.output.data == m.token_embedding.data; }

std::vector<checked_weight> weights_in(model& m, layer_range layers) {
  std::vector<checked_weight> list;
  if (layers.first == 0) {
    list.push_back({"token_embd.weight", &m.token_embedding});
  }
  for (layer_index l = layers.first; l < layers.last; ++l) {
    for_each_product(m.layers[l], [&](std::string_view name, weight& target, std::uint32_t first) {
      list.push_back({fmt::format("blk.{}.{}.weight", l, name), &target, first});
    });
  }
  if (layers.last == m.config.layers && !is_tied(m)) {
    list.push_back({"output.weight", &m.output});
  } else if (layers.last == m.config.layers && layers.first != 0) {
    list.push_back({"token_embd.weight", &m.output});
  }
  // Only checked weights are packed; looking again would bring the file back into memory. A member
  // of a group may have nothing of a tensor.
  std::erase_if(list, [](const checked_weight& c) {
    return c.target->row_bytes() == 0 || form_for(c.target->type) == activation_form::floats ||
           c.target->packed != nullptr;
  });
  return list;
}

std::vector<job> jobs_for(const std::vector<checked_weight>& list) {
  std::vector<job> jobs;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const weight& w = *list[i].target;
    const auto rows =
        static_cast<std::uint32_t>(std::max<std::size_t>(1, job_bytes / w.row_bytes()));
    for (std::uint32_t first = 0; first < w.rows; first += rows) {
      jobs.push_back({i, first, first + std::min(rows, w.rows - first), {}});
    }
  }
  return jobs;
}

result<void> check_rope_factors(const weight& factors) {
  for (std::uint32_t i = 0; i < factors.cols; ++i) {
    float value = 0;
    std::memcpy(&value, factors.data + std::size_t{i} * sizeof(float), sizeof(float));
    if (!(value >= rope_factor_min && value <= rope_factor_max)) {
      return fail(errc::malformed,
                  "element {} of tensor \"rope_freqs.weight\" is {}, it must be from {} to {}", i,
                  value, rope_factor_min, rope_factor_max);
    }
  }
  return {};
}

} // namespace

result<void> check_weights(model& m, layer_range layers, parallel_runner& runner) {
  OVIR_CHECK(layers.first < layers.last && layers.last <= m.layers.size(), layers.first,
             layers.last);
  if (!m.rope_factors.empty()) {
    OVIR_TRY(check_rope_factors(m.rope_factors));
  }
  if (m.lora) {
    OVIR_TRY(check_lora(*m.lora, layers));
  }
  const std::vector<checked_weight> list = weights_in(m, layers);
  std::vector<job> jobs = jobs_for(list);
  runner.run(jobs.size(), [&](std::size_t i) {
    job& j = jobs[i];
    j.found = bounds_of_rows(*list[j.weight].target, j.first, j.last);
  });
  // In order, so that the error named is the same however many threads looked.
  for (const job& j : jobs) {
    if (j.found.nonfinite) {
      return fail(errc::malformed,
                  "tensor \"{}\" has an infinite or NaN scale{} in row {}; the file is damaged or "
                  "was converted wrongly",
                  list[j.weight].name,
                  list[j.weight].target->type == tensor_type::mxfp4
                      ? ", or one that is not from 2^-31 to 2^8,"
                      : "",
                  list[j.weight].first_row + *j.found.nonfinite);
    }
    list[j.weight].target->wide = list[j.weight].target->wide || j.found.wide;
  }
  if (is_tied(m) && layers.first == 0) {
    m.output.wide = m.token_embedding.wide; // the same bytes, looked at once
  }
  return {};
}

} // namespace ovir::compute
