#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

/// Bounds of what HTTP clients may ask for (gateway/).
namespace ovir::limits {

// Connections. What is waited for too long is answered with 408, or closed where nothing was begun.
inline constexpr std::size_t http_connections_max = 4'096; // then the longest idle one goes
inline constexpr std::size_t http_connections_bound = 65'536;
inline constexpr std::size_t http_header_bytes_max = 16U << 10U;
inline constexpr std::size_t http_fields_max = 100;
inline constexpr std::size_t http_body_bytes_max = 4U << 20U;
inline constexpr std::size_t http_body_mib_bound = 64;
inline constexpr std::size_t http_ahead_bytes_max = 64U << 10U; // read before it is its turn
inline constexpr std::size_t http_send_bytes_max = 1U << 20U;   // unread by a slow client
inline constexpr std::size_t http_system_bytes = 128U << 10U;   // the same, in the system's hands
inline constexpr std::size_t http_path_bytes_max = 1'024;
inline constexpr std::chrono::milliseconds http_handshake_wait{10'000};
inline constexpr std::chrono::milliseconds http_idle_wait{60'000};
inline constexpr std::chrono::milliseconds http_header_wait{10'000};
inline constexpr std::chrono::milliseconds http_body_wait{30'000};
inline constexpr std::chrono::milliseconds http_write_wait{30'000}; // without a byte read
inline constexpr std::chrono::milliseconds http_wait_bound{3'600'000};
inline constexpr std::chrono::milliseconds http_tick{250};
inline constexpr std::chrono::milliseconds http_beat{15'000};  // of a stream that says nothing
inline constexpr std::chrono::milliseconds http_linger{1'000}; // before a refused client is cut off

// JSON documents of requests
inline constexpr std::size_t api_json_depth_max = 16;
inline constexpr std::size_t api_json_values_max = 1U << 18U;
/// Of one object: those that keep the order of their members look for one among all.
inline constexpr std::size_t api_json_members_max = 1'024;
inline constexpr std::size_t api_name_bytes_max = 256; // of a model, a user, a parameter
inline constexpr std::size_t api_metadata_max = 16;    // texts, each of so many bytes:
inline constexpr std::size_t api_metadata_bytes_max = 512;

// Requests
inline constexpr std::uint32_t api_choices_max = 16;      // prompts times n
inline constexpr std::size_t api_embeddings_max = 1'024;  // texts of a request
inline constexpr std::size_t api_embeddings_at_once = 16; // of these, being computed
inline constexpr std::size_t api_messages_max = 1'024;
inline constexpr std::uint32_t api_requests_max = 256; // of clients, under way at once
inline constexpr std::uint32_t api_requests_bound = 4'096;
inline constexpr std::size_t api_finished_kept_max = 256;          // for clients that come back
inline constexpr std::size_t api_receipts_bytes_max = 64U << 20U;  // of answers that are over
inline constexpr std::size_t api_answers_kept_max = 1'024;         // that clients may go on with
inline constexpr std::size_t api_answers_bytes_max = 64U << 20U;   // of these
inline constexpr std::size_t api_answer_bytes_max = 8U << 20U;     // one that is larger is not kept
inline constexpr std::chrono::milliseconds api_resume_wait{5'000}; // for a client that went
inline constexpr std::chrono::milliseconds api_search_wait{2'000}; // for a request elsewhere
inline constexpr std::chrono::milliseconds api_search_pause{100};
inline constexpr std::chrono::milliseconds api_deadline_max{86'400'000};
inline constexpr std::chrono::seconds api_retry_after{1};
inline constexpr std::size_t api_cancels_waiting_max = 4;  // of one request, for its end
inline constexpr std::size_t api_parses_waiting_max = 256; // bodies that wait to be read

// Keys
inline constexpr std::size_t api_keys_max = 1'024;
inline constexpr std::size_t api_keys_file_bytes_max = 1U << 20U;
inline constexpr std::size_t api_key_name_bytes_max = 64;
inline constexpr std::uint64_t api_rate_max = 1'000'000'000'000;
inline constexpr std::chrono::milliseconds api_keys_reread{1'000};

/// Questions about API keys' budgets that one gateway has under way.
inline constexpr std::size_t account_questions_max = 64;

} // namespace ovir::limits
