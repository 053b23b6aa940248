#include "apps/ovir/run/sampling_options.hpp"

#include "messages/limits/general.hpp"

#include <array>
#include <span>

namespace ovir::apps {

void add_sampling(CLI::App& command, sampling_options& options) {
  sampling_params& s = options.params;
  for_each_parameter([&](const auto& row) {
    command.add_option(std::string{row.option}, s.*row.value, std::string{row.help})
        ->capture_default_str();
  });
  command
      .add_option("--logit-bias", options.biases,
                  "TOKEN=BIAS, added to the token's logit; may be given several times")
      ->allow_extra_args(false);
  add_seed(command, "--seed", s.seed, "Seed of the draw (default: a new one, which is printed)")
      ->each([&options](const std::string&) { options.has_seed = true; });
  command.add_option("--stop", options.stop, "End before this text; may be given several times")
      ->allow_extra_args(false);
}

result<void> check(const sampling_options& options) {
  if (options.stop.size() > limits::stop_strings_max) {
    return fail(errc::invalid_argument, "--stop: {} stop strings; at most {} are allowed",
                options.stop.size(), limits::stop_strings_max);
  }
  for (const std::string& stop : options.stop) {
    if (stop.empty() || stop.size() > limits::stop_string_bytes_max) {
      return fail(errc::invalid_argument, "--stop: a stop string has 1 to {} bytes, this one {}",
                  limits::stop_string_bytes_max, stop.size());
    }
  }
  OVIR_ASSIGN(const auto biases, biases_from(options.biases));
  sampling_params params = options.params;
  params.logit_bias = biases;
  return check(params);
}

sampling_params seeded(const sampling_options& options, storage::env& environment) {
  sampling_params params = options.params;
  params.logit_bias = biases_from(options.biases).value();
  if (params.temperature > 0 && !options.has_seed) {
    std::array<std::uint64_t, 1> seed{};
    environment.random(std::as_writable_bytes(std::span{seed}));
    // JSON readers commonly hold numbers as binary64: a seed they can repeat has 53 bits.
    params.seed = seed[0] >> 11U;
  }
  return params;
}

} // namespace ovir::apps
