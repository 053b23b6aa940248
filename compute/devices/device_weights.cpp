#include "compute/devices/device_weights.hpp"

namespace ovir::compute {

result<device_memory_ptr> upload_vector(device& d, const weight& w) {
  if (w.empty()) {
    return device_memory_ptr{};
  }
  return put(d, std::span{reinterpret_cast<const float*>(w.data), w.cols});
}

result<device_weights> upload(device& d, const layer_weights& from) {
  device_weights to;
  OVIR_ASSIGN(to.q, upload(d, from.attn_q));
  OVIR_ASSIGN(to.k, upload(d, from.attn_k));
  OVIR_ASSIGN(to.v, upload(d, from.attn_v));
  OVIR_ASSIGN(to.output, upload(d, from.attn_output));
  OVIR_ASSIGN(to.gate, upload(d, from.ffn_gate));
  OVIR_ASSIGN(to.up, upload(d, from.ffn_up));
  OVIR_ASSIGN(to.down, upload(d, from.ffn_down));
  OVIR_ASSIGN(to.attn_norm, upload_vector(d, from.attn_norm));
  OVIR_ASSIGN(to.attn_post_norm, upload_vector(d, from.attn_post_norm));
  OVIR_ASSIGN(to.ffn_norm, upload_vector(d, from.ffn_norm));
  OVIR_ASSIGN(to.ffn_post_norm, upload_vector(d, from.ffn_post_norm));
  OVIR_ASSIGN(to.q_bias, upload_vector(d, from.attn_q_bias));
  OVIR_ASSIGN(to.k_bias, upload_vector(d, from.attn_k_bias));
  OVIR_ASSIGN(to.v_bias, upload_vector(d, from.attn_v_bias));
  OVIR_ASSIGN(to.q_norm, upload_vector(d, from.attn_q_norm));
  OVIR_ASSIGN(to.k_norm, upload_vector(d, from.attn_k_norm));
  to.q_norm_length = from.attn_q_norm.cols;
  to.k_norm_length = from.attn_k_norm.cols;
  OVIR_TRY(d.settle());
  return to;
}

} // namespace ovir::compute
