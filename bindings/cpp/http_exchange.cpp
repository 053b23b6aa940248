#include "bindings/cpp/http_exchange.hpp"

#include "apps/ovir/base/curl_library.hpp"

#include <array>
#include <utility>

namespace ovir::bindings {

namespace {

using apps::curl_library;

constexpr std::chrono::milliseconds poll_time{1'000};

/// One transfer of libcurl: it stands still while bytes wait here, so that a slow reader bounds
/// what is kept.
class one_exchange final : public http_exchange {
public:
  one_exchange(const curl_library& curl, const exchange_question& question)
      : curl_(curl), question_(question), fields_(nullptr, curl.slist_free_all),
        easy_(curl.easy_init(), curl.easy_cleanup), multi_(curl.multi_init(), curl.multi_cleanup) {}
  ~one_exchange() override {
    if (added_) {
      curl_.multi_remove_handle(multi_.get(), easy_.get());
    }
  }
  one_exchange(const one_exchange&) = delete;
  one_exchange& operator=(const one_exchange&) = delete;

  [[nodiscard]] unsigned status() const noexcept override { return status_; }
  [[nodiscard]] result<std::string> read() override;
  result<void> begin();

private:
  static std::size_t on_header(char* line, std::size_t one, std::size_t size, void* self);
  static std::size_t on_body(char* bytes, std::size_t one, std::size_t size, void* self);
  void set_up();
  void add_field(const std::string& field);
  result<void> step();
  [[nodiscard]] error failure(CURLcode why) const;

  const curl_library& curl_;
  exchange_question question_; ///< libcurl reads its body
  std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> fields_;
  std::array<char, CURL_ERROR_SIZE> why_{};
  std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> easy_;
  std::unique_ptr<CURLM, decltype(&curl_multi_cleanup)> multi_;
  bool added_{false};
  unsigned status_{0};
  bool over_{false};
  bool heard_{false}; ///< something since the last step
  std::chrono::milliseconds silent_{0};
  std::optional<error> broken_;
  std::string waiting_;
};

std::size_t one_exchange::on_header(char* line, std::size_t one, std::size_t size, void* self) {
  auto& of = *static_cast<one_exchange*>(self);
  of.heard_ = true;
  if (one * size <= 2 && line[0] != ' ') { // the empty line behind a head
    long status = 0;
    of.curl_.easy_getinfo(of.easy_.get(), CURLINFO_RESPONSE_CODE, &status);
    of.status_ = status >= 200 ? static_cast<unsigned>(status) : 0;
  }
  return one * size;
}

std::size_t one_exchange::on_body(char* bytes, std::size_t one, std::size_t size, void* self) {
  auto& of = *static_cast<one_exchange*>(self);
  if (!of.waiting_.empty()) {
    return CURL_WRITEFUNC_PAUSE;
  }
  of.heard_ = true;
  of.waiting_.assign(bytes, one * size);
  return one * size;
}

void one_exchange::add_field(const std::string& field) {
  curl_slist* const longer = curl_.slist_append(fields_.get(), field.c_str());
  if (longer != nullptr) {
    static_cast<void>(fields_.release()); // it is the head of the longer list now
    fields_.reset(longer);
  }
}

void one_exchange::set_up() {
  CURL* const easy = easy_.get();
  curl_.easy_setopt(easy, CURLOPT_URL, question_.address.c_str());
  curl_.easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_.easy_setopt(easy, CURLOPT_PROXY, "");
  curl_.easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
  curl_.easy_setopt(easy, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
  curl_.easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_.easy_setopt(easy, CURLOPT_ERRORBUFFER, why_.data());
  curl_.easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(question_.silence.count()));
  curl_.easy_setopt(easy, CURLOPT_CUSTOMREQUEST, question_.method.c_str());
  if (question_.body) {
    curl_.easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                      static_cast<curl_off_t>(question_.body->size()));
    curl_.easy_setopt(easy, CURLOPT_POSTFIELDS, question_.body->data());
    add_field("Content-Type: application/json");
    add_field("Expect:");
  }
  for (const std::string& field : question_.fields) {
    add_field(field);
  }
  curl_.easy_setopt(easy, CURLOPT_HTTPHEADER, fields_.get());
  curl_.easy_setopt(easy, CURLOPT_HEADERFUNCTION, &one_exchange::on_header);
  curl_.easy_setopt(easy, CURLOPT_HEADERDATA, this);
  curl_.easy_setopt(easy, CURLOPT_WRITEFUNCTION, &one_exchange::on_body);
  curl_.easy_setopt(easy, CURLOPT_WRITEDATA, this);
}

error one_exchange::failure(CURLcode why) const {
  const std::string_view text = why_[0] != '\0' ? why_.data() : curl_.easy_strerror(why);
  switch (why) {
  case CURLE_OPERATION_TIMEDOUT: return fail(errc::timed_out, "{}: {}", question_.address, text);
  case CURLE_URL_MALFORMAT: return fail(errc::invalid_argument, "{}: {}", question_.address, text);
  case CURLE_PEER_FAILED_VERIFICATION:
  case CURLE_UNSUPPORTED_PROTOCOL:
    return fail(errc::unsupported, "{}: {}", question_.address, text);
  default: return fail(errc::peer_lost, "{}: {}", question_.address, text);
  }
}

result<void> one_exchange::step() {
  heard_ = false;
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
  if (heard_) {
    silent_ = std::chrono::milliseconds{0};
  }
  if (over_ || heard_) {
    return {};
  }
  if (silent_ >= question_.silence) {
    return fail(errc::timed_out, "{}: nothing came for {} s", question_.address,
                std::chrono::duration_cast<std::chrono::seconds>(question_.silence).count());
  }
  const auto began = std::chrono::steady_clock::now();
  curl_.multi_poll(multi_.get(), nullptr, 0, static_cast<int>(poll_time.count()), nullptr);
  silent_ += std::chrono::ceil<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began);
  return {};
}

result<void> one_exchange::begin() {
  if (!easy_ || !multi_) {
    return fail(errc::internal, "libcurl starts no transfer");
  }
  set_up();
  added_ = curl_.multi_add_handle(multi_.get(), easy_.get()) == CURLM_OK;
  if (!added_) {
    return fail(errc::internal, "libcurl takes no transfer");
  }
  while (status_ == 0 && !over_) {
    OVIR_TRY(step());
  }
  if (status_ == 0) {
    return broken_ ? *broken_ : failure(CURLE_GOT_NOTHING);
  }
  return {};
}

result<std::string> one_exchange::read() {
  while (waiting_.empty() && !over_) {
    curl_.easy_pause(easy_.get(), CURLPAUSE_CONT); // may call `on_body`
    if (waiting_.empty()) {
      OVIR_TRY(step());
    }
  }
  if (waiting_.empty() && broken_) {
    return *broken_;
  }
  return std::exchange(waiting_, {});
}

} // namespace

result<std::unique_ptr<http_exchange>> http_exchange::ask(const exchange_question& question) {
  OVIR_ASSIGN(const curl_library* const curl, apps::load_curl());
  auto made = std::make_unique<one_exchange>(*curl, question);
  OVIR_TRY(made->begin());
  return std::unique_ptr<http_exchange>{std::move(made)};
}

} // namespace ovir::bindings
