#pragma once

#include "compute/devices/device.hpp"
#include "compute/devices/device_products.hpp"
#include "compute/model/model.hpp"
#include "messages/result.hpp"

namespace ovir::compute {

/// The weights of a dense layer on a device; null and empty where the model has none.
struct device_weights {
  device_matrix q;
  device_matrix k;
  device_matrix v;
  device_matrix output;
  device_matrix gate;
  device_matrix up;
  device_matrix down;
  device_memory_ptr attn_norm;
  device_memory_ptr attn_post_norm;
  device_memory_ptr ffn_norm;
  device_memory_ptr ffn_post_norm;
  device_memory_ptr q_bias;
  device_memory_ptr k_bias;
  device_memory_ptr v_bias;
  device_memory_ptr q_norm;
  device_memory_ptr k_norm;
  std::uint32_t q_norm_length{0};
  std::uint32_t k_norm_length{0};
};

[[nodiscard]] result<device_weights> upload(device& d, const layer_weights& from);

/// A vector of floats; null of an empty weight.
[[nodiscard]] result<device_memory_ptr> upload_vector(device& d, const weight& w);

} // namespace ovir::compute
