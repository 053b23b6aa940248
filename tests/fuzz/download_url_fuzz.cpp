// What servers and users write about files to fetch: addresses, redirections, ranges, validators.
// The first byte says as what the rest is read.
#include "apps/download_url.hpp"
#include "messages/check.hpp"
#include "messages/limits/pull.hpp"

#include <cstdint>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ovir::apps;
  if (size == 0) {
    return 0;
  }
  const std::string_view text{reinterpret_cast<const char*>(data) + 1, size - 1};
  const auto expect_sound = [](const download_url& url) {
    OVIR_CHECK(url.port != 0 && !url.host.empty() && url.target.starts_with('/'));
    // Nothing that could end a line of a request, and the same again when it is read again.
    for (const char c : url.host + url.target) {
      OVIR_CHECK(c > ' ' && c < '\x7F');
    }
    if (text_of(url).size() <= ovir::limits::url_bytes_max) {
      const auto again = download_url_from(text_of(url), {});
      OVIR_CHECK(again && *again == url);
    }
    if (const auto name = file_name_of(url)) {
      OVIR_CHECK(name->find('/') == std::string::npos && name->front() != '.');
      OVIR_CHECK(file_name_of(with_file_name(url, "m.gguf")).value() == "m.gguf");
    }
  };
  switch (data[0] % 4) {
  case 0:
    if (const auto url = download_url_from(text, "https://hub.example")) {
      expect_sound(*url);
    }
    break;
  case 1:
    if (const auto url = redirected({true, "a.example", 443, "/x/y?z"}, text)) {
      expect_sound(*url);
    }
    break;
  case 2:
    if (const auto range = content_range_from(text)) {
      OVIR_CHECK(range->first <= range->last && (!range->total || range->last < *range->total));
    }
    break;
  default:
    static_cast<void>(is_strong_etag(text));
    if (const auto split = split_name_of(text)) {
      OVIR_CHECK(split_file_name(*split, split->number) == text);
    }
  }
  return 0;
}
