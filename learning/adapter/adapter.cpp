#include "learning/adapter/adapter.hpp"

#include "messages/digest.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace ovir::learning {

namespace {

/// Elements of A from draws of BLAKE3's extendable output: the k-th 4 bytes are a u32 d, and the
/// element is fl(fl(d) * 2^-31 - 1) * bound.
std::vector<float> drawn(std::uint64_t seed, std::size_t layer, std::string_view name,
                         std::size_t count, float bound) {
  std::vector<std::uint8_t> bytes(count * sizeof(std::uint32_t));
  hasher{"ovir/learn-1/matrix"}
      .update_u64(seed)
      .update_u32(static_cast<std::uint32_t>(layer))
      .update_text(name)
      .finish_into(bytes);
  std::vector<float> out(count);
  for (std::size_t i = 0; i < count; ++i) {
    std::uint32_t draw{};
    std::memcpy(&draw, bytes.data() + i * sizeof draw, sizeof draw);
    out[i] = (static_cast<float>(draw) * 0x1p-31F - 1.0F) * bound;
  }
  return out;
}

} // namespace

result<std::uint8_t> targets_from(std::string_view names) {
  if (names == "all") {
    return all_targets;
  }
  unsigned found = 0;
  while (!names.empty()) {
    const std::size_t end = std::min(names.find(','), names.size());
    const std::string_view name = names.substr(0, end);
    const auto at = std::find_if(targets.begin(), targets.end(), [&](const target& t) {
      return t.name == name || t.name.substr(t.name.find('_') + 1) == name;
    });
    if (at == targets.end()) {
      return fail(
          errc::invalid_argument,
          "no matrix is called \"{}\"; name some of q, k, v, output, gate, up, down, or all", name);
    }
    found |= 1U << static_cast<unsigned>(at - targets.begin());
    names.remove_prefix(std::min(end + 1, names.size()));
  }
  if (found == 0) {
    return fail(errc::invalid_argument, "no matrix is named; name some of q, k, v, output, gate, "
                                        "up, down, or all");
  }
  return static_cast<std::uint8_t>(found);
}

std::string names_of(std::uint8_t mask) {
  std::string text;
  for (std::size_t place = 0; place < targets.size(); ++place) {
    if ((mask >> place & 1U) != 0) {
      text += (text.empty() ? "" : ",") + std::string{targets[place].name};
    }
  }
  return text;
}

lora_numbers zeros_like(const lora_numbers& numbers) {
  lora_numbers out(numbers.size());
  for_each_pair(numbers, [&](std::size_t layer, std::size_t place, const lora_pair& pair) {
    out[layer][place].a.resize(pair.a.size());
    out[layer][place].b.resize(pair.b.size());
  });
  return out;
}

std::uint64_t count_of(const lora_numbers& numbers) noexcept {
  std::uint64_t count = 0;
  for_each_pair(numbers, [&](std::size_t, std::size_t, const lora_pair& pair) {
    count += pair.a.size() + pair.b.size();
  });
  return count;
}

result<adapter> fresh_adapter(const compute::model& m, std::uint32_t rank, float alpha,
                              std::uint8_t mask, std::uint64_t seed) {
  if (rank == 0 || rank > limits::adapter_rank_max) {
    return fail(errc::invalid_argument, "a rank of {} is not within 1 to {}", rank,
                limits::adapter_rank_max);
  }
  if (!(alpha > 0) || alpha > limits::adapter_alpha_max) {
    return fail(errc::invalid_argument, "an alpha of {} is not above 0 and up to {}", alpha,
                limits::adapter_alpha_max);
  }
  if ((mask & all_targets) == 0) {
    return fail(errc::invalid_argument, "an adapter needs a matrix to adapt");
  }
  adapter made{m.config.architecture, rank, alpha, lora_numbers(m.layers.size())};
  for (std::size_t layer = 0; layer < m.layers.size(); ++layer) {
    for (std::size_t place = 0; place < targets.size(); ++place) {
      const compute::weight& w = m.layers[layer].*targets[place].member;
      if ((mask >> place & 1U) == 0 || w.empty()) {
        continue;
      }
      lora_pair& pair = made.numbers[layer][place];
      const float bound = 1.0F / std::sqrt(static_cast<float>(w.cols));
      pair.a = drawn(seed, layer, targets[place].name, std::size_t{rank} * w.cols, bound);
      pair.b.resize(std::size_t{w.rows} * rank);
    }
  }
  return made;
}

result<void> check_fits(const adapter& a, const compute::model& m) {
  if (a.architecture != m.config.architecture) {
    return fail(
        errc::unsupported,
        "the adapter is for a model of architecture {}, and this one is of {}; use its base",
        a.architecture, m.config.architecture);
  }
  if (a.numbers.size() > m.layers.size()) {
    return fail(errc::malformed, "the adapter is for {} layers, and the model has {}; use its base",
                a.numbers.size(), m.layers.size());
  }
  result<void> found;
  for_each_pair(a.numbers, [&](std::size_t layer, std::size_t place, const lora_pair& pair) {
    const compute::weight& w = m.layers[layer].*targets[place].member;
    const std::size_t rank = a.rank;
    if (found && (w.empty() || pair.a.size() != rank * w.cols || pair.b.size() != rank * w.rows)) {
      found = fail(errc::malformed,
                   "the adapter's matrices for blk.{}.{} have {} columns and {} rows, and the "
                   "model's has {} and {}; use its base",
                   layer, targets[place].name, pair.a.size() / rank, pair.b.size() / rank, w.cols,
                   w.rows);
    }
  });
  return found;
}

} // namespace ovir::learning
