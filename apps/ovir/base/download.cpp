#include "apps/ovir/base/download.hpp"

#include "apps/ovir/base/http_get.hpp"
#include "apps/ovir/base/partial_file.hpp"
#include "apps/progress.hpp"
#include "messages/limits/pull.hpp"

#include <nlohmann/json.hpp>
#include <openssl/evp.h>

#include <algorithm>
#include <vector>

namespace ovir::apps {

namespace {

/// What is known of the file that a server has: the same validator, the same bytes.
struct remote_file {
  std::string validator; ///< empty: nothing says so, and what arrived cannot be continued
  std::optional<std::uint64_t> bytes;
};

/// By which bytes of two answers are known to be of one file.
std::string validator_of(const http_head& head) {
  if (is_strong_etag(head.etag)) {
    return head.etag;
  }
  // A weak ETag says that bytes may differ; a date is the most such a server can promise.
  const bool dated = head.etag.empty() && !head.last_modified.empty() &&
                     head.last_modified.size() <= limits::pull_validator_bytes_max;
  return dated ? head.last_modified : std::string{};
}

class fetching {
public:
  fetching(const download_order& order, surroundings& around, partial_file file)
      : order_(order), around_(around), file_(std::move(file)), expected_(order.expected),
        shown_(around.environment, "fetching " + order.target) {}
  result<downloaded> run();

private:
  struct answer {
    std::unique_ptr<http_get> get;
    download_url from;
  };

  [[nodiscard]] std::string note_path() const { return order_.target + ".part.json"; }
  result<void> read_note();
  result<void> write_note();
  result<void> start_anew(std::string_view why);
  result<answer> ask();
  result<void> take_up(const http_head& head);
  result<void> read_body(http_get& get);
  result<void> attempt();
  [[nodiscard]] error refusal(const http_head& head, const download_url& from) const;
  [[nodiscard]] bool whole() const { return remote_.bytes && file_.size() == *remote_.bytes; }
  result<sha256> digest_of_file() const;
  result<downloaded> finish();

  const download_order& order_;
  surroundings& around_;
  partial_file file_;
  remote_file remote_;
  std::optional<sha256> expected_;
  std::uint64_t before_{0};
  std::uint32_t restarts_{0};
  bool ended_{false}; ///< the server said that this was all, and never how much all is
  progress shown_;
};

result<void> fetching::read_note() {
  const auto text = around_.environment.read(note_path(), limits::pull_note_bytes_max);
  const json note = text ? json::parse(*text, nullptr, false) : json{};
  const auto is_text = [&](const char* key) { return note.contains(key) && note[key].is_string(); };
  if (note.is_object() && is_text("url") && is_text("validator") &&
      note["url"] == text_of(order_.url)) {
    remote_.validator = note["validator"].get<std::string>();
    if (note.contains("bytes") && note["bytes"].is_number_unsigned()) {
      remote_.bytes = note["bytes"].get<std::uint64_t>();
    }
  }
  if (remote_.validator.empty() || (remote_.bytes && file_.size() > *remote_.bytes)) {
    remote_ = {};
    OVIR_TRY(file_.clear()); // of another file, or nobody knows of which
  }
  before_ = file_.size();
  return {};
}

result<void> fetching::write_note() {
  json note{{"url", text_of(order_.url)}, {"validator", remote_.validator}};
  if (remote_.bytes) {
    note["bytes"] = *remote_.bytes;
  }
  const std::string text = note.dump();
  OVIR_ASSIGN(const auto out, around_.environment.stage(note_path()));
  OVIR_TRY(out->append(std::as_bytes(std::span{text})));
  return out->commit();
}

/// Nothing of what came can be used.
result<void> fetching::start_anew(std::string_view why) {
  if (++restarts_ > limits::pull_restarts_max) {
    return fail(errc::malformed, "{}: {}, {} times", text_of(order_.url), why, restarts_);
  }
  remote_ = {};
  before_ = 0;
  return file_.clear();
}

error fetching::refusal(const http_head& head, const download_url& from) const {
  switch (head.status) {
  case 401:
  case 403:
    return fail(errc::unsupported, "{} answers {}: the file is not for everybody", text_of(from),
                head.status);
  case 404:
  case 410:
    return fail(errc::not_found, "{} answers {}: it has no such file", text_of(from), head.status);
  case 408:
  case 429: return fail(errc::busy, "{} answers {}", text_of(from), head.status);
  default:
    return fail(head.status >= 500 ? errc::peer_lost : errc::unsupported, "{} answers {}",
                text_of(from), head.status);
  }
}

/// The answer of the server that has the file, behind all redirections.
result<fetching::answer> fetching::ask() {
  http_question question{order_.url, file_.size(), remote_.validator};
  for (std::uint32_t step = 0; step <= limits::pull_redirects_max; ++step) {
    OVIR_ASSIGN(auto get, http_get::ask(question, around_.interrupted));
    const http_head& head = get->head();
    // A hub says beside the first redirection of a large file what its digest is.
    if (!expected_ && head.linked_etag.size() == 66) {
      expected_ = sha256_from(std::string_view{head.linked_etag}.substr(1, 64));
    }
    if (head.status < 300 || head.status > 399 || head.location.empty()) {
      return answer{std::move(get), question.url};
    }
    auto next = redirected(question.url, head.location);
    if (!next) {
      return in_context(text_of(question.url) + " redirects to an address that is none",
                        next.error());
    }
    if (question.url.tls && !next->tls) {
      return fail(errc::unsupported, "{} redirects from https to http, to {}",
                  text_of(question.url), next->host);
    }
    question.url = std::move(*next);
  }
  return fail(errc::unsupported, "{} redirects more than {} times", text_of(order_.url),
              limits::pull_redirects_max);
}

/// Compares what the server says of its file with what is known of it, and begins anew where that
/// is another.
result<void> fetching::take_up(const http_head& head) {
  const std::string validator = validator_of(head);
  std::optional<std::uint64_t> bytes = head.length;
  if (head.status == 206) {
    const auto range = content_range_from(head.range);
    const bool ours = range && range->first == file_.size() &&
                      (!head.length || *head.length == range->last - range->first + 1);
    const bool same = range && validator == remote_.validator &&
                      (!remote_.bytes || !range->total || *remote_.bytes == *range->total);
    if (!ours || !same) {
      OVIR_TRY(start_anew(ours ? "its file changed while it was fetched"
                               : "it sends other bytes than were asked for"));
      return fail(errc::busy, "{} sent what does not continue what came before",
                  text_of(order_.url));
    }
    bytes = range->total;
  } else if (file_.size() > 0) {
    // All of it: the file changed, or the server knows no ranges.
    const bool changed = validator != remote_.validator;
    OVIR_TRY(start_anew(changed ? "its file changes again and again"
                                : "it breaks off and cannot continue"));
  }
  if (bytes && *bytes > limits::pull_file_bytes_max) {
    return fail(errc::over_limit, "{} has {} bytes, more than the {} allowed", text_of(order_.url),
                *bytes, limits::pull_file_bytes_max);
  }
  remote_ = {validator, bytes ? bytes : remote_.bytes};
  return write_note();
}

result<void> fetching::read_body(http_get& get) {
  std::vector<std::byte> piece(limits::pull_piece_bytes);
  while (true) {
    OVIR_ASSIGN(const std::size_t got, get.read(piece));
    if (got == 0) {
      break;
    }
    if (file_.size() + got > remote_.bytes.value_or(limits::pull_file_bytes_max)) {
      return start_anew("it sends more bytes than it said");
    }
    OVIR_TRY(file_.append(std::span{piece}.first(got)));
    shown_.update(file_.size(), remote_.bytes.value_or(0));
  }
  ended_ = !remote_.bytes;
  return {};
}

result<void> fetching::attempt() {
  if (file_.size() > 0 && remote_.validator.empty() && !expected_) {
    OVIR_TRY(
        start_anew("it breaks off, and says nothing by which a rest would be of the same file"));
  }
  OVIR_ASSIGN(const answer found, ask());
  const http_head& head = found.get->head();
  if (head.status == 416) {
    OVIR_TRY(start_anew("it has fewer bytes than it sent before"));
    return fail(errc::busy, "{} has no bytes from there on", text_of(order_.url));
  }
  if (head.status != 200 && head.status != 206) {
    return refusal(head, found.from);
  }
  if (head.encoded) {
    return fail(errc::unsupported, "{} sends an encoding of the file, not the file",
                text_of(found.from));
  }
  if (head.ends_with_connection && !expected_) {
    return fail(errc::unsupported,
                "{} does not say how long the file is, so nobody would see a part for the whole; "
                "name its digest by --sha256",
                text_of(found.from));
  }
  OVIR_TRY(take_up(head));
  return read_body(*found.get);
}

result<sha256> fetching::digest_of_file() const {
  OVIR_ASSIGN(const auto mapped, around_.environment.map(file_.path()));
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> state{EVP_MD_CTX_new(),
                                                                      &EVP_MD_CTX_free};
  sha256 out{};
  bool good = state && EVP_DigestInit_ex(state.get(), EVP_sha256(), nullptr) == 1;
  for (auto rest = mapped->bytes(); good && !rest.empty();) {
    const auto some = rest.first(std::min(rest.size(), limits::pull_piece_bytes));
    good = EVP_DigestUpdate(state.get(), some.data(), some.size()) == 1;
    rest = rest.subspan(some.size());
  }
  if (!good || EVP_DigestFinal_ex(state.get(), out.data(), nullptr) != 1) {
    return fail(errc::internal, "OpenSSL computes no SHA-256");
  }
  return out;
}

result<downloaded> fetching::finish() {
  downloaded out{file_.size(), before_, {}};
  const auto drop = [&](error why) {
    file_.discard();
    (void)around_.environment.remove(note_path());
    return why;
  };
  if (file_.size() == 0) {
    return drop(fail(errc::malformed, "{} is empty", text_of(order_.url)));
  }
  OVIR_ASSIGN(out.digest, digest_of_file());
  if (expected_ && out.digest != *expected_) {
    return drop(fail(errc::digest_mismatch, "{} has the SHA-256 {}, not {}", text_of(order_.url),
                     text_of(out.digest), text_of(*expected_)));
  }
  if (order_.check) {
    if (auto sound = order_.check(file_.path()); !sound) {
      return drop(in_context(text_of(order_.url), sound.error()));
    }
  }
  OVIR_TRY(file_.finish());
  OVIR_TRY(around_.environment.remove(note_path()));
  return out;
}

result<downloaded> fetching::run() {
  OVIR_TRY(read_note());
  std::uint32_t idle = 0; // tries in a row that brought nothing
  while (!whole() && !ended_) {
    const std::uint64_t had = file_.size();
    const auto tried = attempt();
    if (whole() || ended_) {
      break;
    }
    if (!tried) {
      const errc code = tried.error().code;
      const bool again = code == errc::peer_lost || code == errc::timed_out || code == errc::busy;
      if (code == errc::malformed) {
        file_.discard();
        (void)around_.environment.remove(note_path());
      }
      if (!again) {
        return tried.error();
      }
    }
    idle = file_.size() > had ? 0 : idle + 1;
    if (idle >= limits::pull_tries_max) {
      const error why = tried ? fail(errc::peer_lost, "{} sends nothing more", text_of(order_.url))
                              : tried.error();
      return fail(why.code, "{}; {} bytes are kept in {}, and the same command continues there",
                  why.message, file_.size(), file_.path());
    }
    if (idle > 0) {
      pause_between_tries(limits::pull_retry_wait * (1U << (idle - 1)), around_.interrupted);
    }
  }
  return finish();
}

} // namespace

std::optional<sha256> sha256_from(std::string_view text) {
  sha256 out{};
  if (text.size() != 2 * out.size()) {
    return std::nullopt;
  }
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) {
      return std::nullopt;
    }
    out[i / 2] =
        static_cast<std::uint8_t>(unsigned{out[i / 2]} << 4U | static_cast<unsigned>(digit));
  }
  return out;
}

std::string text_of(const sha256& digest) {
  std::string out;
  for (const std::uint8_t byte : digest) {
    out += fmt::format("{:02x}", byte);
  }
  return out;
}

result<downloaded> download(const download_order& order, surroundings& around) {
  OVIR_ASSIGN(auto file, partial_file::open(order.target));
  return fetching{order, around, std::move(file)}.run();
}

} // namespace ovir::apps
