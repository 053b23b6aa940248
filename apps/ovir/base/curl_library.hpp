#pragma once

#include "messages/result.hpp"

#include <curl/curl.h>

namespace ovir::apps {

/// What HTTP clients use of libcurl, by libcurl's own names. Loaded when a model is pulled or a
/// cluster asked: libcurl and the libraries behind it take 6 MB of memory that a node has better
/// use for.
struct curl_library {
  decltype(&curl_easy_init) easy_init{};
  decltype(&curl_easy_cleanup) easy_cleanup{};
  decltype(&curl_easy_setopt) easy_setopt{};
  decltype(&curl_easy_getinfo) easy_getinfo{};
  decltype(&curl_easy_pause) easy_pause{};
  decltype(&curl_easy_strerror) easy_strerror{};
  decltype(&curl_multi_init) multi_init{};
  decltype(&curl_multi_cleanup) multi_cleanup{};
  decltype(&curl_multi_add_handle) multi_add_handle{};
  decltype(&curl_multi_remove_handle) multi_remove_handle{};
  decltype(&curl_multi_perform) multi_perform{};
  decltype(&curl_multi_info_read) multi_info_read{};
  decltype(&curl_multi_poll) multi_poll{};
  decltype(&curl_slist_append) slist_append{};
  decltype(&curl_slist_free_all) slist_free_all{};
};

/// The machine's libcurl, loaded at the first call. `unsupported` where there is none.
[[nodiscard]] result<const curl_library*> load_curl();

} // namespace ovir::apps
