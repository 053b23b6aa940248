#pragma once

#include "bench/gateway/stream_client.hpp"

#include <boost/asio/io_context.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>

namespace ovir::bench {

struct crowd_counts {
  std::size_t open{0};      ///< now
  std::uint64_t opened{0};  ///< in all
  std::uint64_t closed{0};  ///< by the server
  std::uint64_t told{0};    ///< of these with an answer (408, 503)
  std::uint64_t refused{0}; ///< could not connect
};

/// Connections that cost a server places and nothing else: a third says nothing, a third begins a
/// request's head and never ends it, a third a body. One that the server closes is opened again. On
/// the thread of the context, until dropped.
class crowd {
public:
  virtual ~crowd() = default;
  [[nodiscard]] virtual crowd_counts counts() const = 0;
};

[[nodiscard]] std::shared_ptr<crowd> make_crowd(boost::asio::io_context& context, place where,
                                                std::size_t connections);

} // namespace ovir::bench
