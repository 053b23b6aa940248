// What a node hears: each message that comes over any of its links is written to the file that
// OVIR_RECORD names, as it is behind the link's encryption. The linker calls this instead of
// `shared_network::start` (tests/CMakeLists.txt). Numbers are little-endian; a record is the kind
// (u32), the target (u32), the number of bytes (u32), the sender's key and the bytes.
#include "actors/shared/shared_network.hpp"

#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <mutex>
#include <utility>

namespace {

using namespace ovir;
using namespace ovir::actors;
using started = result<std::unique_ptr<listening_network>>;

// The name of `shared_network::start`, as compilers write it.
#define OVIR_START                                                                                 \
  "_ZN4ovir6actors14shared_network5startERKNS_10secret_keyERKNS0_11tls_optionsERNS0_"              \
  "15network_handlerERKSt8functionIFNS_6resultISt10unique_ptrINS0_17listening_networkE"            \
  "St14default_deleteISD_EEEES4_S7_S9_EE"
[[nodiscard]] started real_start(const secret_key& key, const tls_options& options,
                                 network_handler& handler,
                                 const network_starter& links) __asm__("__real_" OVIR_START);

class recorder final : public network_handler {
public:
  recorder(network_handler& to, std::FILE* file) : to_(to), file_(file) {}

  result<role_set> admit(const peer_hello& hello) override { return to_.admit(hello); }
  std::uint64_t last_loss(const node_id& node) const override { return to_.last_loss(node); }
  bool may_stay(const node_id& node) const override { return to_.may_stay(node); }
  void connected(const peer_info& peer) override { to_.connected(peer); }
  void closed(const peer_info& peer, const error& reason) override { to_.closed(peer, reason); }
  void received(const peer_info& peer, message_kind kind, std::uint32_t target,
                received_bytes bytes) override {
    {
      const std::lock_guard lock{mutex_};
      const std::uint32_t head[] = {static_cast<std::uint32_t>(kind), target,
                                    static_cast<std::uint32_t>(bytes->size())};
      std::fwrite(head, sizeof(head), 1, file_);
      std::fwrite(peer.node.key.data(), peer.node.key.size(), 1, file_);
      std::fwrite(bytes->data(), 1, bytes->size(), file_);
      std::fflush(file_);
    }
    to_.received(peer, kind, target, std::move(bytes));
  }

private:
  network_handler& to_;
  std::mutex mutex_;
  std::FILE* file_;
};

} // namespace

started recording_start(const secret_key& key, const tls_options& options, network_handler& handler,
                        const network_starter& links) __asm__("__wrap_" OVIR_START);

started recording_start(const secret_key& key, const tls_options& options, network_handler& handler,
                        const network_starter& links) {
  const char* const path = std::getenv("OVIR_RECORD");
  std::FILE* const file = path == nullptr ? nullptr : std::fopen(path, "ab");
  if (file == nullptr) {
    return real_start(key, options, handler, links);
  }
  static std::deque<recorder> all; // they outlive their networks
  return real_start(key, options, all.emplace_back(handler, file), links);
}
