#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

/// Bounds of links over QUIC (actors/quic/). Those of admission, messages and queues are the ones
/// of every link (messages/limits/general.hpp, links.hpp).
namespace ovir::limits {

// A datagram that is sent, once the path is known to take it; the first ones have 1,200 bytes.
inline constexpr std::size_t quic_datagram_bytes_max = 1'452;
inline constexpr std::size_t quic_datagram_received_max = 2'048; // longer ones are cut, and fail

// What a peer may send on a stream before this side has used it up: until it is admitted, and then
// by channel. A connection holds at most this for each stream.
inline constexpr std::size_t quic_hello_window = 16U << 10U;
inline constexpr std::size_t quic_control_window = 1U << 20U;
inline constexpr std::size_t quic_data_window = 8U << 20U;
inline constexpr std::size_t quic_bulk_window = 8U << 20U;
// Streams that a peer may have open: before one of them is admitted, and then.
inline constexpr std::size_t quic_streams_unproven_max = 4;
inline constexpr std::size_t quic_streams_max = 32;

// A connection that hears nothing for so long is lost; one that has nothing to say says so earlier.
inline constexpr std::chrono::seconds quic_idle_timeout{60};
inline constexpr std::chrono::seconds quic_keep_alive{20};
// A connection without any stream, at the side that was dialled.
inline constexpr std::chrono::milliseconds quic_empty_wait{2'000};
// Taken for the round trip before one is measured: three times this later a lost hello is sent
// again.
inline constexpr std::chrono::milliseconds quic_first_round_trip{100};
inline constexpr std::chrono::seconds quic_retry_token_lifetime{10};
// Answers to datagrams of no connection (retry, reset, version): so many at once, then one per
// interval.
inline constexpr std::uint32_t quic_answers_burst = 256;
inline constexpr std::chrono::microseconds quic_answer_interval{500};

// Datagrams of one connection before the next has its turn, and read or written by one call.
inline constexpr std::size_t quic_burst_datagrams = 16;
inline constexpr std::size_t quic_batch_datagrams = 32;
inline constexpr int quic_socket_bytes = 4 << 20; // asked of the system, each way
inline constexpr std::chrono::milliseconds quic_measure_interval{
    250}; // between two looks at figures

// With transport "auto": how long the first answer may take before TCP is tried, and how long an
// address that gave none is not asked again.
inline constexpr std::chrono::milliseconds quic_answer_wait{600};
inline constexpr std::chrono::minutes quic_unanswered_for{10};
inline constexpr std::size_t quic_unanswered_max = 1'024; // addresses remembered
// Ports tried when both transports want the same one and any will do.
inline constexpr int quic_port_tries = 16;

} // namespace ovir::limits
