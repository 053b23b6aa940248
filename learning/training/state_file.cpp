#include "learning/training/state_file.hpp"

#include "messages/digest.hpp"
#include "messages/limits/learning.hpp"

#include <cmath>
#include <cstring>

namespace ovir::learning {

namespace {

using compute::gguf;
using compute::gguf_type;
using compute::gguf_writer;

constexpr std::string_view version_key = "ovir.learn.state";
constexpr std::string_view losses_key = "ovir.learn.losses";
constexpr std::string_view steps_key = "ovir.learn.evaluation_steps";
constexpr std::string_view evaluations_key = "ovir.learn.evaluations";
constexpr std::string_view check_key = "ovir.learn.check";
constexpr std::uint32_t version = 1;
constexpr std::string_view first_suffix = ".first";
constexpr std::string_view second_suffix = ".second";

void add_numbers(hasher& h, const lora_numbers& numbers) {
  const auto add = [&h](const std::vector<float>& values) {
    h.update_u64(values.size());
    h.update(std::as_bytes(std::span{values}));
  };
  for_each_pair(numbers, [&](std::size_t layer, std::size_t place, const lora_pair& pair) {
    h.update_u32(static_cast<std::uint32_t>(layer)).update_u32(static_cast<std::uint32_t>(place));
    add(pair.a);
    add(pair.b);
  });
}

digest check_of(const training_state& s) {
  hasher h{"ovir/learn-1/state"};
  h.update_u32(version).update_text(s.is.architecture).update_u32(s.is.rank);
  h.update(std::as_bytes(std::span{&s.is.alpha, 1}));
  h.update_text(s.from.profile).update_text(s.from.base).update_text(s.from.data);
  h.update_text(s.from.settings).update_u32(s.from.steps);
  h.update_u64(s.losses.size()).update(std::as_bytes(std::span{s.losses}));
  h.update_u64(s.evaluations.size());
  for (const evaluation& e : s.evaluations) {
    h.update_u32(e.step).update(std::as_bytes(std::span{&e.loss, 1}));
  }
  add_numbers(h, s.is.numbers);
  add_numbers(h, s.kept.first);
  add_numbers(h, s.kept.second);
  return h.finish();
}

/// Elements of an array of the metadata. `over_limit` beyond `most`, before anything is copied.
template <class T>
result<std::vector<T>> numbers_at(const gguf& file, std::string_view key, gguf_type type,
                                  std::size_t most) {
  OVIR_ASSIGN(const compute::gguf_array array, file.array_at(key, type));
  if (array.count > most || array.bytes.size() != array.count * sizeof(T)) {
    return fail(errc::over_limit, "{} has {} elements, and {} are allowed", key, array.count, most);
  }
  std::vector<T> out(array.count);
  if (!out.empty()) {
    std::memcpy(out.data(), array.bytes.data(), array.bytes.size());
  }
  return out;
}

result<void> read_history(const gguf& file, training_state& into) {
  OVIR_ASSIGN(into.losses,
              numbers_at<double>(file, losses_key, gguf_type::f64, limits::learn_steps_max));
  OVIR_ASSIGN(const auto steps,
              numbers_at<std::uint32_t>(file, steps_key, gguf_type::u32,
                                        std::size_t{limits::learn_steps_max} + 1));
  OVIR_ASSIGN(const auto values, numbers_at<double>(file, evaluations_key, gguf_type::f64,
                                                    std::size_t{limits::learn_steps_max} + 1));
  if (into.losses.size() != into.from.steps || steps.size() != values.size()) {
    return fail(errc::malformed,
                "the checkpoint has {} steps, {} losses, and {} evaluations at {} steps",
                into.from.steps, into.losses.size(), values.size(), steps.size());
  }
  for (std::size_t i = 0; i < steps.size(); ++i) {
    into.evaluations.push_back({steps[i], values[i]});
  }
  return {};
}

} // namespace

std::string to_file(const training_state& state) {
  gguf_writer meta;
  put_adapter(meta, state.is, state.from);
  meta.u32(version_key, version);
  meta.array(losses_key, gguf_type::f64, state.losses.size());
  for (const double loss : state.losses) {
    meta.number(loss);
  }
  meta.array(steps_key, gguf_type::u32, state.evaluations.size());
  for (const evaluation& e : state.evaluations) {
    meta.number(e.step);
  }
  meta.array(evaluations_key, gguf_type::f64, state.evaluations.size());
  for (const evaluation& e : state.evaluations) {
    meta.number(e.loss);
  }
  meta.string(check_key, to_hex(check_of(state)));
  const named_numbers all[] = {{"", &state.is.numbers},
                               {first_suffix, &state.kept.first},
                               {second_suffix, &state.kept.second}};
  return gguf_of(meta, state.is.rank, all);
}

result<training_state> state_from(std::span<const std::byte> file) {
  OVIR_ASSIGN(const gguf parsed, gguf::parse(file));
  OVIR_ASSIGN(const std::uint64_t found, parsed.unsigned_at(version_key));
  if (found != version) {
    return fail(errc::unsupported, "{} is {}, and this version reads {}", version_key, found,
                version);
  }
  constexpr std::string_view suffixes[] = {first_suffix, second_suffix};
  OVIR_ASSIGN(adapter_contents contents, adapter_of(parsed, suffixes));
  training_state out{std::move(contents.is), std::move(contents.from), {}, {}, {}};
  OVIR_ASSIGN(out.kept.first, numbers_of(parsed, first_suffix, out.is));
  OVIR_ASSIGN(out.kept.second, numbers_of(parsed, second_suffix, out.is));
  OVIR_TRY(read_history(parsed, out));
  OVIR_ASSIGN(const std::string_view check, parsed.text_at(check_key));
  if (check != to_hex(check_of(out))) {
    return fail(errc::digest_mismatch,
                "the checkpoint's digest is not that of its contents; begin anew without it");
  }
  return out;
}

} // namespace ovir::learning
