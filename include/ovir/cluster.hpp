#pragma once

#include <ovir/engine.hpp>
#include <ovir/error.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// A client of a cluster's HTTP endpoint (docs/formats/http.md).
namespace ovir::OVIR_INLINE v0 {

struct cluster_options {
  std::optional<std::string> key{}; ///< an API key; without it the environment's OVIR_API_KEY
  std::chrono::seconds silence{60}; ///< how long the network may be silent; no limit of an answer
};

struct ask_options {
  std::string model{}; ///< empty: the first that the cluster names
  std::uint32_t max_tokens{128};
  sampling_options sampling{};
  std::vector<std::string> stop{};
  bool receipt{false}; ///< the nodes sign what they computed, for `cluster::receipt`
  /// Further parameters of the endpoint: a JSON object, whose members count more than those
  /// above.
  std::string more{};
};

struct cluster_answer {
  std::string text;
  std::string finish_reason; ///< "stop", "length", "tool_calls" or "cancelled"
  std::string request;       ///< the client's id of it, 16 hexadecimal digits
  /// That of `model::generate` with the same prompt and options; empty of a cancelled answer.
  std::string transcript;
  std::string json; ///< as the endpoint gave it; of a stream its last event
};

/// Called with each piece of text, on the thread that asked. False cancels the request. What it
/// throws leaves the request to the cluster and comes out of the call it was handed to.
using text_callback = std::function<bool(std::string_view)>;

/// A cluster, by addresses `http://HOST:PORT` or `https://…` of one or several of its nodes.
/// Where one does not answer, the next is asked, and a stream whose connection is lost goes on
/// there behind its last event. Any thread may use it. All functions throw `error`, with the
/// endpoint's code where it gave one. Needs libcurl.so.4, which is loaded when the first question
/// is asked.
class OVIR_API cluster {
public:
  explicit cluster(std::string address, const cluster_options& options = {});
  explicit cluster(std::vector<std::string> addresses, const cluster_options& options = {});
  ~cluster();
  cluster(cluster&&) noexcept;
  cluster& operator=(cluster&&) noexcept;

  [[nodiscard]] std::vector<std::string> models() const;
  /// What follows a text. With `on_text` the answer is a stream.
  cluster_answer complete(std::string_view prompt, const ask_options& options = {},
                          const text_callback& on_text = {}) const;
  /// The answer to a conversation.
  cluster_answer chat(std::span<const message> messages, const ask_options& options = {},
                      const text_callback& on_text = {}) const;
  /// The bytes of the receipt of an answer that was asked for with `receipt`.
  [[nodiscard]] std::vector<std::byte> receipt(const cluster_answer& answer) const;

private:
  struct OVIR_HIDDEN impl;
  std::unique_ptr<impl> impl_;
};

} // namespace ovir::OVIR_INLINEv0
