#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

/// Every bound of OVIR, in one place. A number a file, frame, request or peer claims is compared
/// with one of these before memory is allocated for it.
namespace ovir::limits {

// Model files
inline constexpr std::uint64_t metadata_entries_max = 65'536;
inline constexpr std::uint64_t tensors_max = 65'536;
inline constexpr std::uint64_t key_bytes_max = 65'535;
inline constexpr std::uint64_t string_bytes_max = 16U << 20U;
inline constexpr std::uint64_t array_elements_max = 16U << 20U;
inline constexpr std::uint64_t array_copied_elements_max = 1U << 20U; // array made into a vector
inline constexpr std::uint32_t tensor_dims_max = 4;
inline constexpr std::uint32_t alignment_max = 1U << 16U;
inline constexpr std::uint32_t layers_max = 1'024;
inline constexpr std::size_t held_list_bytes_max = std::size_t{1}
                                                   << 20U; // of what a node held last
inline constexpr std::uint32_t embedding_max = 32'768;
inline constexpr std::uint32_t feed_forward_max = 262'144;
inline constexpr std::uint32_t heads_max = 1'024;
inline constexpr std::uint32_t head_dim_max = 1'024;
inline constexpr std::uint32_t vocabulary_max = 1U << 20U;
inline constexpr std::uint32_t context_max = 1U << 20U;
inline constexpr double rope_base_max = 1e30; // exact_pow needs results within 2^-1000

// Text
inline constexpr std::size_t prompt_bytes_max = 16U << 20U;
inline constexpr std::size_t stop_strings_max = 16;
inline constexpr std::size_t stop_string_bytes_max = 256;
inline constexpr std::size_t token_biases_max = 1'024; // of a request
inline constexpr float token_bias_most = 100;          // either way, as with OpenAI
inline constexpr std::uint32_t pcre_match_limit = 1'000'000;
inline constexpr std::size_t special_token_bytes_max = 512;
inline constexpr std::uint64_t merges_max = 1U << 20U;

// Runtime
inline constexpr std::uint32_t threads_max = 256;
inline constexpr std::uint32_t stages_max = 256;
inline constexpr std::uint32_t prefill_chunk_max = 4'096;
inline constexpr std::uint32_t pass_sessions_max = 64; // that share a pass over a segment's weights
// Steps of more rows than the first take part in a pass of others only as far as the second allows,
// so that those who decode do not wait for all who begin.
inline constexpr std::uint32_t pass_narrow_rows = 4;
inline constexpr std::uint32_t pass_rows_max = 64;
// How long a stage that could compute waits for others to join a pass: so much of the last one's
// time, and never longer than this.
inline constexpr std::uint32_t gather_divisor = 8;
inline constexpr std::chrono::milliseconds gather_wait_max{5};
inline constexpr std::size_t activation_bytes_max = std::size_t{256} << 20U; // one tensor of a step
inline constexpr std::uint32_t window_positions = 32;    // DESIGN: the grain of units
inline constexpr std::uint32_t requests_active_max = 64; // per scheduler
inline constexpr std::uint32_t requests_waiting_max = 256;
inline constexpr std::uint32_t frames_in_flight_max = 8; // credit per request and stage
inline constexpr std::uint32_t recoveries_max = 16; // epochs begun because a stage lacked a frame
inline constexpr std::size_t frame_bytes_max = (32U << 20U) + (64U << 10U); // with its header
inline constexpr std::chrono::seconds request_deadline_max{24 * 3600};
// A stage that owes an answer has slack for this long, or for some steps as they usually take,
// whichever is more; then its lead looks for another.
inline constexpr std::chrono::milliseconds slack_min{1'500};
inline constexpr std::uint32_t slack_steps = 8;
inline constexpr std::chrono::milliseconds slack_max{600'000};
inline constexpr std::chrono::milliseconds lead_tick{250};
inline constexpr std::chrono::seconds shutdown_wait{10};

// Nodes
inline constexpr std::size_t sessions_max = 1'024; // requests a node computes for
// Where several schedulers drive requests, no one of them gets more than so many quarters of a
// node's sessions and of its memory for them, so that one cannot shut out the others.
inline constexpr std::uint32_t lead_share_quarters = 3;
// How long a stage keeps a request whose lead's node is gone, for another lead to go on with.
inline constexpr std::chrono::seconds session_grace{60};
// How long it keeps one whose lead's node was lost and is back, but not the lead: it may be driven
// elsewhere or over, and what the lead said of that was lost with the link.
inline constexpr std::chrono::seconds session_doubt{5};
inline constexpr std::uint32_t adoption_ticks = 4;          // between two askings
inline constexpr std::uint32_t adoptions_per_node_max = 16; // going on at once, asked for by one
inline constexpr std::size_t adoption_bytes_per_tick = 4U << 20U; // of logs, or one
inline constexpr std::uint32_t generations_max = 4'095; // leads of one request, one after another
inline constexpr std::size_t jobs_kept_max = 256;       // finished ones, for clients that come back

// Links between nodes
inline constexpr std::size_t hello_bytes_max = 4U << 10U; // before a peer is admitted
inline constexpr std::size_t wire_bytes_max = 8U << 20U;  // an order or answer on a control link
inline constexpr std::size_t gossip_bytes_max = 256U << 10U;
inline constexpr std::size_t admin_bytes_max = 2U << 20U;
inline constexpr std::size_t admin_depth_max = 4;       // a list within a command's arguments has 3
inline constexpr std::size_t admin_containers_max = 32; // objects and lists of one command
// What waits for a slow peer before another message is queued, by channel. Whoever asks and does
// not read the answers costs this much on a control or admin connection.
inline constexpr std::size_t data_send_bytes_max = 160U << 20U;
inline constexpr std::size_t control_send_bytes_max = 32U << 20U;
inline constexpr std::size_t admin_send_bytes_max = 1U << 20U;
// What a peer sent and is still held by somebody; or one message, whichever is more.
inline constexpr std::size_t data_receive_bytes_max = 16U << 20U;
inline constexpr std::size_t control_receive_bytes_max = 4U << 20U;
inline constexpr std::size_t admin_receive_bytes_max = 256U << 10U;
inline constexpr std::size_t connections_max = 256;
// Incoming ones that are admitted, of one address that is not this machine's. Those that are not:
// messages/limits/links.hpp.
inline constexpr std::size_t connections_per_address_max = 64;
inline constexpr std::chrono::milliseconds chaos_delay_max{10'000};
inline constexpr std::size_t link_lines_max = 4;     // of one peer, until one of them is chosen
inline constexpr std::size_t lost_links_max = 4'096; // remembered
inline constexpr std::size_t connections_per_node_max = 32; // incoming, admitted, of one key
inline constexpr std::size_t shells_per_key_max = 16;       // likewise, on the admin channel
inline constexpr std::chrono::milliseconds admission_deadline{5'000}; // from accept to admission
inline constexpr std::chrono::milliseconds half_message_deadline{10'000};
inline constexpr std::chrono::milliseconds connect_deadline{3'000};
inline constexpr std::chrono::milliseconds close_wait{1'000};   // to send what is queued, to part
inline constexpr std::chrono::milliseconds accept_back_off{50}; // when descriptors have run out
inline constexpr std::size_t link_bytes_per_second_min = 256U << 10U; // of a large message
inline constexpr std::size_t message_overhead_bytes = 256; // counted beside each one's own bytes
inline constexpr std::size_t error_text_bytes_max = 512;
inline constexpr std::size_t address_bytes_max = 256;
inline constexpr std::size_t cluster_name_bytes_max = 64;
inline constexpr std::size_t admissions_max = 4096; // keys admitted by token, ever

// Membership
inline constexpr std::size_t members_max = 4'096;
inline constexpr std::size_t full_mesh_max = 64; // members that are all linked (limits/crowd.hpp)
inline constexpr std::size_t advert_segments_max = 64;
inline constexpr std::size_t advert_rtts_max = full_mesh_max;
inline constexpr std::size_t gossip_nodes_max = 1'024; // lines of a summary
inline constexpr std::size_t gossip_counted_max = 64;  // lines beside another body
inline constexpr std::size_t gossip_updates_max = 64;  // in one message
inline constexpr std::size_t gossip_buckets = 256;     // of members, by the first byte of their key
inline constexpr std::size_t gossip_news_max = 8;      // told in passing, per message
inline constexpr std::size_t doubters_max = 64;        // who wait for a refutation
inline constexpr std::size_t gossip_fanout = 2;        // messages of news per probe interval
inline constexpr std::size_t probes_per_tick_max = 8;  // begun at once
inline constexpr std::size_t contacts_per_tick_max = 16; // members without a link looked for
inline constexpr std::size_t relayed_probes_max = 256;   // remembered for others
inline constexpr std::uint32_t gossip_allowance = 512;   // messages and signatures a peer may burst
inline constexpr std::uint32_t gossip_refill = 16;       // of these per probe interval
inline constexpr std::uint32_t advert_allowance = 16;    // adverts of one node in a burst, then one
                                                         // per probe interval
inline constexpr std::uint32_t accusation_allowance = full_mesh_max; // likewise, of one accuser
inline constexpr std::chrono::milliseconds contact_wait_max{5'000};  // between tries to reach one

// Identity
inline constexpr std::size_t key_file_bytes_max = 256;
inline constexpr std::chrono::hours token_lifetime_max{24 * 365};

// Work units
inline constexpr std::uint32_t unit_batch_max = 4'096;   // units of a batch: one worker's handler
inline constexpr std::uint32_t unit_batches_max = 1'024; // of all clients of a pool, unfinished
inline constexpr std::uint32_t unit_workers_max = 256;
inline constexpr std::uint32_t unit_worker_credit = 2; // batches a worker has: one runs, one waits
inline constexpr std::uint32_t unit_attempts_max = 3;  // crashes until a unit counts as failed
inline constexpr std::uint32_t unit_restarts_max = 200'000; // of a pool's workers within ...
inline constexpr std::chrono::seconds unit_restart_window{1};

// Planning
inline constexpr std::uint32_t plan_nodes_max = 16;             // a set of nodes is a 16-bit mask
inline constexpr std::uint64_t plan_states_max = 800'000;       // stages tried per plan
inline constexpr std::uint64_t node_memory_mib_max = 1U << 24U; // 16 TiB
inline constexpr std::size_t node_name_bytes_max = 64;
inline constexpr double speed_measure_seconds = 0.25;           // aimed at for measuring a segment
inline constexpr std::uint32_t speed_prefill_positions_min = 8; // less says little
inline constexpr std::uint64_t repair_states_max = 1'000'000;   // stages tried per repair
// A session moves for at least this speed-up. Predictions are right within 20 %, and a measured
// time per token wavers: less might be no gain at all. And a move computes the whole prefix anew.
inline constexpr double move_speedup_min = 1.3;

// Commands
inline constexpr std::uint64_t text_file_bytes_max = 256U << 20U;
inline constexpr std::uint64_t transcript_file_bytes_max = 32U << 20U;
inline constexpr std::uint32_t drill_kills_max = 1'000;
inline constexpr std::uint32_t bench_runs_max = 1'000;
inline constexpr std::uint64_t config_file_bytes_max = 1U << 20U;

// Node configuration
inline constexpr std::size_t path_bytes_max = 4'095;     // what Linux takes, without the NUL
inline constexpr std::size_t access_entries_max = 1'024; // keys a node lets in
inline constexpr std::size_t seeds_max = 64;
inline constexpr std::size_t admins_max = 64;
inline constexpr std::size_t local_nodes_max = 64; // that `ovir init` makes on one machine
inline constexpr std::size_t node_models_max = advert_segments_max;
inline constexpr std::chrono::milliseconds probe_time_min{10};
inline constexpr std::chrono::milliseconds probe_time_max{60'000};
inline constexpr std::chrono::seconds drain_wait_max{3'600};

// Logs of nodes
inline constexpr std::uint64_t log_file_mib_max = 4'096;
inline constexpr std::uint32_t log_files_max = 100;
inline constexpr std::size_t log_line_bytes_max = 4'096; // then the text is cut
inline constexpr std::chrono::seconds log_retry_wait{5}; // after a file could not be written

} // namespace ovir::limits
