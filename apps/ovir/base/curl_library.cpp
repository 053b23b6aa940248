#include "apps/ovir/base/curl_library.hpp"

#include <dlfcn.h>

namespace ovir::apps {

namespace {

result<curl_library> loaded() {
  // Never unloaded: what it starts lives as long as the program.
  void* const library = ::dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    return fail(errc::unsupported,
                "HTTP needs libcurl, and this machine has none ({}); install libcurl4",
                ::dlerror());
  }
  bool whole = true;
  const auto find = [&]<class F>(const char* name, F& function) {
    function = reinterpret_cast<F>(::dlsym(library, name));
    whole = whole && function != nullptr;
  };
  decltype(&curl_global_init) global_init{};
  curl_library curl;
  find("curl_global_init", global_init);
  find("curl_easy_init", curl.easy_init);
  find("curl_easy_cleanup", curl.easy_cleanup);
  find("curl_easy_setopt", curl.easy_setopt);
  find("curl_easy_getinfo", curl.easy_getinfo);
  find("curl_easy_pause", curl.easy_pause);
  find("curl_easy_strerror", curl.easy_strerror);
  find("curl_multi_init", curl.multi_init);
  find("curl_multi_cleanup", curl.multi_cleanup);
  find("curl_multi_add_handle", curl.multi_add_handle);
  find("curl_multi_remove_handle", curl.multi_remove_handle);
  find("curl_multi_perform", curl.multi_perform);
  find("curl_multi_info_read", curl.multi_info_read);
  find("curl_multi_poll", curl.multi_poll);
  find("curl_slist_append", curl.slist_append);
  find("curl_slist_free_all", curl.slist_free_all);
  if (!whole) {
    return fail(errc::unsupported,
                "libcurl.so.4 of this machine is older than 7.66; install libcurl4");
  }
  if (const CURLcode ready = global_init(CURL_GLOBAL_DEFAULT); ready != CURLE_OK) {
    return fail(errc::internal, "libcurl does not start: {}", curl.easy_strerror(ready));
  }
  return curl;
}

} // namespace

result<const curl_library*> load_curl() {
  static const result<curl_library> curl = loaded();
  if (!curl) {
    return curl.error();
  }
  return &*curl;
}

} // namespace ovir::apps
