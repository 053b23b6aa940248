#include "apps/ovir/base/http_get.hpp"

#include "apps/ovir/base/curl_library.hpp"
#include "messages/limits/pull.hpp"

#include <openssl/x509.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

namespace ovir::apps {

namespace {

/// How often a wait looks for an interruption.
constexpr std::chrono::milliseconds interruption_poll{100};
constexpr long receive_bytes = 512L << 10; // at once, at most

bool same_name(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](unsigned char x, unsigned char y) {
    return std::tolower(x) == std::tolower(y);
  });
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view space = " \t\r\n";
  const std::size_t first = text.find_first_not_of(space);
  return first == std::string_view::npos
             ? std::string_view{}
             : text.substr(first, text.find_last_not_of(space) - first + 1);
}

/// One transfer of libcurl, driven from `ask` and `read`: it stands still while bytes wait here.
class one_get final : public http_get {
public:
  one_get(const curl_library& curl, download_url url, const std::atomic<bool>& interrupted)
      : curl_(curl), url_(std::move(url)), interrupted_(interrupted),
        fields_(nullptr, curl.slist_free_all), easy_(curl.easy_init(), curl.easy_cleanup),
        multi_(curl.multi_init(), curl.multi_cleanup) {}
  ~one_get() override {
    if (added_) {
      curl_.multi_remove_handle(multi_.get(), easy_.get());
    }
  }
  one_get(const one_get&) = delete;
  one_get& operator=(const one_get&) = delete;

  [[nodiscard]] const http_head& head() const noexcept override { return head_; }
  [[nodiscard]] result<std::size_t> read(std::span<std::byte> out) override;
  result<void> begin(const http_question& question);

private:
  static std::size_t on_header(char* line, std::size_t one, std::size_t size, void* self);
  static std::size_t on_body(char* bytes, std::size_t one, std::size_t size, void* self);
  bool take_header(std::string_view line);
  void take_field(std::string_view name, std::string_view value);
  void add_field(const std::string& field);
  void set_up(const http_question& question);
  /// Lets the transfer go on for a moment. How it ends is in `over_` and `broken_`: the head and
  /// bytes of the body may have come in the same moment, and are told first.
  result<void> step();
  [[nodiscard]] error failure(CURLcode why) const;

  const curl_library& curl_;
  download_url url_;
  const std::atomic<bool>& interrupted_;
  std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> fields_;
  std::array<char, CURL_ERROR_SIZE> why_{};
  std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> easy_;
  std::unique_ptr<CURLM, decltype(&curl_multi_cleanup)> multi_;
  bool added_{false};
  http_head head_;
  std::size_t header_bytes_{0};
  bool chunked_{false};
  bool head_over_{false};
  bool over_{false};
  std::optional<error> broken_;    ///< how it ended, where that was before its end
  std::vector<std::byte> waiting_; ///< of the body, not read yet
  std::size_t taken_{0};           ///< of `waiting_`
};

std::size_t one_get::on_header(char* line, std::size_t one, std::size_t size, void* self) {
  return static_cast<one_get*>(self)->take_header({line, one * size}) ? one * size : 0;
}

std::size_t one_get::on_body(char* bytes, std::size_t one, std::size_t size, void* self) {
  auto& get = *static_cast<one_get*>(self);
  if (get.taken_ < get.waiting_.size()) {
    return CURL_WRITEFUNC_PAUSE;
  }
  const auto* const first = reinterpret_cast<const std::byte*>(bytes);
  get.waiting_.assign(first, first + one * size);
  get.taken_ = 0;
  return one * size;
}

// An interim answer (1xx) has a head of its own in front.
bool one_get::take_header(std::string_view line) {
  header_bytes_ += line.size();
  if (header_bytes_ > limits::pull_header_bytes_max) {
    return false;
  }
  if (line.starts_with("HTTP/")) {
    head_ = {};
    chunked_ = false;
    return true;
  }
  const std::string_view text = trimmed(line);
  if (text.empty()) {
    long status = 0;
    curl_.easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &status);
    head_.status = static_cast<unsigned>(status);
    head_over_ = status >= 200;
    return true;
  }
  if (const std::size_t colon = text.find(':'); colon != std::string_view::npos) {
    take_field(trimmed(text.substr(0, colon)), trimmed(text.substr(colon + 1)));
  }
  return true;
}

void one_get::take_field(std::string_view name, std::string_view value) {
  const std::array<std::pair<std::string_view, std::string*>, 5> texts{
      {{"Content-Range", &head_.range},
       {"ETag", &head_.etag},
       {"Last-Modified", &head_.last_modified},
       {"Location", &head_.location},
       {"X-Linked-ETag", &head_.linked_etag}}};
  for (const auto& [wanted, text] : texts) {
    if (same_name(name, wanted)) {
      *text = value;
    }
  }
  if (same_name(name, "Content-Encoding")) {
    head_.encoded = !value.empty() && !same_name(value, "identity");
  } else if (same_name(name, "Transfer-Encoding")) {
    chunked_ = true;
  }
}

void one_get::add_field(const std::string& field) {
  curl_slist* const longer = curl_.slist_append(fields_.get(), field.c_str());
  if (longer != nullptr) {
    static_cast<void>(fields_.release()); // it is the head of the longer list now
    fields_.reset(longer);
  }
}

void one_get::set_up(const http_question& question) {
  CURL* const easy = easy_.get();
  const std::string address = text_of(url_);
  curl_.easy_setopt(easy, CURLOPT_URL, address.c_str()); // copied
  curl_.easy_setopt(easy, CURLOPT_PROTOCOLS_STR, url_.tls ? "https" : "http");
  curl_.easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
  curl_.easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
  curl_.easy_setopt(easy, CURLOPT_USERAGENT, "ovir/" OVIR_VERSION);
  curl_.easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_.easy_setopt(easy, CURLOPT_ERRORBUFFER, why_.data());
  curl_.easy_setopt(easy, CURLOPT_BUFFERSIZE, receive_bytes);
  curl_.easy_setopt(easy, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
  if (const char* const authorities = std::getenv("SSL_CERT_FILE"); authorities != nullptr) {
    curl_.easy_setopt(easy, CURLOPT_CAINFO, authorities);
    curl_.easy_setopt(easy, CURLOPT_CAPATH, nullptr);
  }
  curl_.easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                    static_cast<long>(limits::pull_connect_wait.count()));
  curl_.easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L); // bytes a second
  curl_.easy_setopt(
      easy, CURLOPT_LOW_SPEED_TIME,
      static_cast<long>(
          std::chrono::duration_cast<std::chrono::seconds>(limits::pull_silence_wait).count()));
  add_field("Accept: */*");
  add_field("Accept-Encoding: identity");
  add_field("Connection: close");
  if (question.from > 0) {
    // Not CURLOPT_RANGE: what a server makes of the range is judged by `download`.
    add_field(fmt::format("Range: bytes={}-", question.from));
    if (!question.if_range.empty()) {
      add_field("If-Range: " + question.if_range);
    }
  }
  curl_.easy_setopt(easy, CURLOPT_HTTPHEADER, fields_.get());
  curl_.easy_setopt(easy, CURLOPT_HEADERFUNCTION, &one_get::on_header);
  curl_.easy_setopt(easy, CURLOPT_HEADERDATA, this);
  curl_.easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L); // of a proxy
  curl_.easy_setopt(easy, CURLOPT_WRITEFUNCTION, &one_get::on_body);
  curl_.easy_setopt(easy, CURLOPT_WRITEDATA, this);
}

error one_get::failure(CURLcode why) const {
  const auto with = [&](errc code, std::string_view doing, std::string_view what) {
    return fail(code, "{} {}: {}", doing, url_.host, what);
  };
  const std::string_view text = why_[0] != '\0' ? why_.data() : curl_.easy_strerror(why);
  switch (why) {
  case CURLE_COULDNT_RESOLVE_HOST: return with(errc::peer_lost, "looking for", text);
  case CURLE_COULDNT_CONNECT: return with(errc::peer_lost, "connecting to", text);
  case CURLE_OPERATION_TIMEDOUT:
    return with(errc::timed_out, "waiting for", "nothing came for too long");
  case CURLE_PEER_FAILED_VERIFICATION: {
    long verdict = X509_V_OK;
    curl_.easy_getinfo(easy_.get(), CURLINFO_SSL_VERIFYRESULT, &verdict);
    return fail(errc::unsupported, "{} could not prove that it is {}: {}", url_.host, url_.host,
                verdict != X509_V_OK ? X509_verify_cert_error_string(verdict) : text);
  }
  case CURLE_WRITE_ERROR: // by `take_header` alone
    return fail(errc::malformed, "{} sends a head of more than {} bytes", url_.host,
                limits::pull_header_bytes_max);
  case CURLE_UNSUPPORTED_PROTOCOL: // an answer without a head
  case CURLE_WEIRD_SERVER_REPLY: return with(errc::malformed, "asking", text);
  case CURLE_GOT_NOTHING:
  case CURLE_PARTIAL_FILE:
    return with(errc::peer_lost, "reading from", "the connection ended before the answer did");
  default: return with(errc::peer_lost, "reading from", text);
  }
}

result<void> one_get::step() {
  int running = 0;
  curl_.multi_perform(multi_.get(), &running);
  int left = 0;
  while (const CURLMsg* const told = curl_.multi_info_read(multi_.get(), &left)) {
    if (told->msg == CURLMSG_DONE) {
      over_ = true;
      if (told->data.result != CURLE_OK) {
        broken_ = failure(told->data.result);
      }
    }
  }
  if (over_ || taken_ < waiting_.size()) {
    return {};
  }
  if (interrupted_.load()) {
    return fail(errc::cancelled, "reading from {}: interrupted", url_.host);
  }
  curl_.multi_poll(multi_.get(), nullptr, 0, static_cast<int>(interruption_poll.count()), nullptr);
  return {};
}

result<void> one_get::begin(const http_question& question) {
  if (!easy_ || !multi_) {
    return fail(errc::internal, "libcurl starts no transfer");
  }
  set_up(question);
  added_ = curl_.multi_add_handle(multi_.get(), easy_.get()) == CURLM_OK;
  while (!head_over_ && !over_) {
    OVIR_TRY(step());
  }
  if (!head_over_) {
    return broken_ ? *broken_ : failure(CURLE_GOT_NOTHING);
  }
  curl_off_t length = -1;
  curl_.easy_getinfo(easy_.get(), CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
  if (length >= 0 && !chunked_) {
    head_.length = static_cast<std::uint64_t>(length);
  }
  head_.ends_with_connection = !head_.length && !chunked_;
  return {};
}

result<std::size_t> one_get::read(std::span<std::byte> out) {
  while (taken_ == waiting_.size() && !over_) {
    waiting_.clear();
    taken_ = 0;
    curl_.easy_pause(easy_.get(), CURLPAUSE_CONT); // may call `on_body`
    OVIR_TRY(step());
  }
  const std::size_t count = std::min(out.size(), waiting_.size() - taken_);
  if (count == 0 && broken_) {
    return *broken_;
  }
  std::copy_n(waiting_.begin() + static_cast<std::ptrdiff_t>(taken_), count, out.begin());
  taken_ += count;
  return count;
}

} // namespace

result<std::unique_ptr<http_get>> http_get::ask(const http_question& question,
                                                const std::atomic<bool>& interrupted) {
  OVIR_ASSIGN(const curl_library* const curl, load_curl());
  auto get = std::make_unique<one_get>(*curl, question.url, interrupted);
  OVIR_TRY(get->begin(question));
  return std::unique_ptr<http_get>{std::move(get)};
}

void pause_between_tries(std::chrono::milliseconds time, const std::atomic<bool>& interrupted) {
  for (; time.count() > 0 && !interrupted.load(); time -= std::min(time, interruption_poll)) {
    ::poll(nullptr, 0, static_cast<int>(std::min(time, interruption_poll).count()));
  }
}

} // namespace ovir::apps
