#pragma once

#include "messages/result.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

/// What is written in addresses and in the fields of answers when a file is fetched. Pure.
namespace ovir::apps {

/// An address of a file.
struct download_url {
  bool tls{true};
  std::string host; ///< a name, an IPv4 address, or an IPv6 one without brackets
  std::uint16_t port{443};
  std::string target{"/"}; ///< path and query, as they go into a request

  bool operator==(const download_url&) const = default;
};

/// "https://HOST[:PORT]/PATH", "http://..." or "hf:OWNER/REPO/FILE", which is a file of a
/// repository of `hub` ("https://huggingface.co"), with "@REVISION" behind REPO where it is not the
/// main one. `invalid_argument` says what is wrong.
[[nodiscard]] result<download_url> download_url_from(std::string_view text, std::string_view hub);

/// Where the field `Location` of an answer to `from` points.
[[nodiscard]] result<download_url> redirected(const download_url& from, std::string_view location);

[[nodiscard]] std::string text_of(const download_url& url);

/// The last part of the path: letters, digits and ". _ - +". `invalid_argument` where it is none.
[[nodiscard]] result<std::string> file_name_of(const download_url& url);

/// The same address with another file name in the path.
[[nodiscard]] download_url with_file_name(download_url url, std::string_view name);

/// "NAME-00002-of-00003.gguf" as one of several files.
struct split_name {
  std::string before; ///< NAME
  std::uint32_t number{0};
  std::uint32_t count{0};
};
[[nodiscard]] std::optional<split_name> split_name_of(std::string_view file_name);
[[nodiscard]] std::string split_file_name(const split_name& name, std::uint32_t number);

/// "bytes FIRST-LAST/TOTAL", the total perhaps unknown ("*").
struct content_range {
  std::uint64_t first{0};
  std::uint64_t last{0};
  std::optional<std::uint64_t> total;
};
/// Empty where the field is not that.
[[nodiscard]] std::optional<content_range> content_range_from(std::string_view field);

/// Whether an ETag stands for the bytes themselves ("..."), not for their meaning (W/"...").
[[nodiscard]] bool is_strong_etag(std::string_view etag);

} // namespace ovir::apps
