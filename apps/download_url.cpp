#include "apps/download_url.hpp"

#include "messages/limits/pull.hpp"

#include <algorithm>
#include <charconv>

namespace ovir::apps {

namespace {

constexpr std::string_view https = "https://";
constexpr std::string_view http = "http://";
constexpr std::uint16_t https_port = 443;
constexpr std::uint16_t http_port = 80;

bool is_alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/// The whole of `text` as a decimal number.
template <class T>
std::optional<T> number_from(std::string_view text) {
  T value = 0;
  const auto [end, wrong] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || wrong != std::errc{} || end != text.data() + text.size()) {
    return std::nullopt;
  }
  return value;
}

/// HOST, HOST:PORT, [IPV6] or [IPV6]:PORT.
result<void> read_authority(std::string_view authority, download_url& out) {
  std::string_view port;
  if (authority.starts_with('[')) {
    const std::size_t close = authority.find(']');
    if (close == std::string_view::npos) {
      return fail(errc::invalid_argument, "its host begins with [ and has no ]");
    }
    out.host = authority.substr(1, close - 1);
    port = authority.substr(close + 1);
    if (out.host.find_first_not_of("0123456789abcdefABCDEF:.") != std::string::npos) {
      return fail(errc::invalid_argument, "its host is no IPv6 address");
    }
  } else {
    const std::size_t colon = std::min(authority.find(':'), authority.size());
    out.host = authority.substr(0, colon);
    port = authority.substr(colon);
    if (!std::all_of(out.host.begin(), out.host.end(),
                     [](char c) { return is_alphanumeric(c) || c == '.' || c == '-'; })) {
      return fail(errc::invalid_argument, "its host has characters that no host has");
    }
  }
  if (out.host.empty()) {
    return fail(errc::invalid_argument, "it names no host");
  }
  out.port = out.tls ? https_port : http_port;
  if (!port.empty()) {
    const auto given = port.front() == ':' ? number_from<std::uint16_t>(port.substr(1))
                                           : std::optional<std::uint16_t>{};
    if (!given || *given == 0) {
      return fail(errc::invalid_argument, "its port is no number from 1 to 65535");
    }
    out.port = *given;
  }
  return {};
}

/// An address with its scheme.
result<download_url> absolute(std::string_view text) {
  if (text.size() > limits::url_bytes_max) {
    return fail(errc::over_limit, "it has {} bytes, more than the {} allowed", text.size(),
                limits::url_bytes_max);
  }
  if (!std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7F'; })) {
    return fail(errc::invalid_argument, "it has spaces or characters that must be %-encoded");
  }
  download_url out;
  out.tls = text.starts_with(https);
  if (!out.tls && !text.starts_with(http)) {
    return fail(errc::invalid_argument, "it begins with neither https:// nor http://");
  }
  text.remove_prefix(out.tls ? https.size() : http.size());
  text = text.substr(0, text.find('#'));
  const std::size_t path = std::min(text.find_first_of("/?"), text.size());
  OVIR_TRY(read_authority(text.substr(0, path), out));
  out.target = text.substr(path);
  if (!out.target.starts_with('/')) {
    out.target.insert(0, "/");
  }
  return out;
}

std::string_view path_of(const download_url& url) {
  return std::string_view{url.target}.substr(0, url.target.find('?'));
}

bool is_repository_part(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return is_alphanumeric(c) || c == '.' || c == '-' || c == '_' || c == '+';
  });
}

/// OWNER/REPO[@REVISION]/FILE, of which FILE may lie in folders.
result<download_url> of_hub(std::string_view rest, std::string_view hub) {
  const std::size_t owner = rest.find('/');
  const std::size_t repository =
      owner == std::string_view::npos ? owner : rest.find('/', owner + 1);
  if (repository == std::string_view::npos || repository + 1 == rest.size()) {
    return fail(errc::invalid_argument, "it is not hf:OWNER/REPO/FILE");
  }
  std::string_view name = rest.substr(owner + 1, repository - owner - 1);
  std::string_view revision = "main";
  if (const std::size_t at = name.find('@'); at != std::string_view::npos) {
    revision = name.substr(at + 1);
    name = name.substr(0, at);
  }
  const std::string_view file = rest.substr(repository + 1);
  bool sound = is_repository_part(rest.substr(0, owner)) && is_repository_part(name) &&
               is_repository_part(revision);
  for (std::size_t at = 0; sound && at <= file.size();) {
    const std::size_t end = std::min(file.find('/', at), file.size());
    const std::string_view part = file.substr(at, end - at);
    sound = is_repository_part(part) && part != ".." && part != ".";
    at = end + 1;
  }
  if (!sound) {
    return fail(errc::invalid_argument, "it is not hf:OWNER/REPO/FILE");
  }
  return absolute(
      fmt::format("{}/{}/{}/resolve/{}/{}", hub, rest.substr(0, owner), name, revision, file));
}

} // namespace

result<download_url> download_url_from(std::string_view text, std::string_view hub) {
  constexpr std::string_view hub_prefix = "hf:";
  return text.starts_with(hub_prefix) ? of_hub(text.substr(hub_prefix.size()), hub)
                                      : absolute(text);
}

result<download_url> redirected(const download_url& from, std::string_view location) {
  if (location.find("://") < location.find_first_of("/?#")) {
    return absolute(location);
  }
  const std::string_view scheme = from.tls ? https : http;
  if (location.starts_with("//")) {
    return absolute(fmt::format("{}{}", scheme, location.substr(2)));
  }
  download_url base = from;
  if (location.starts_with('/')) {
    base.target.clear();
  } else if (location.starts_with('?')) {
    base.target = path_of(from);
  } else {
    const std::string_view path = path_of(from);
    base.target = path.substr(0, path.rfind('/') + 1);
  }
  base.target += location;
  return absolute(text_of(base));
}

std::string text_of(const download_url& url) {
  const bool v6 = url.host.find(':') != std::string::npos;
  const bool usual = url.port == (url.tls ? https_port : http_port);
  return fmt::format("{}{}{}{}{}{}", url.tls ? https : http, v6 ? "[" : "", url.host, v6 ? "]" : "",
                     usual ? "" : fmt::format(":{}", url.port), url.target);
}

result<std::string> file_name_of(const download_url& url) {
  const std::string_view path = path_of(url);
  const std::string_view name = path.substr(path.rfind('/') + 1);
  if (!is_repository_part(name) || name.starts_with('.') || name.size() > 255) {
    return fail(errc::invalid_argument,
                "{} ends in no name for a file; say with --out where to write it", text_of(url));
  }
  return std::string{name};
}

download_url with_file_name(download_url url, std::string_view name) {
  const std::size_t query = std::min(url.target.find('?'), url.target.size());
  const std::size_t begin = url.target.rfind('/', query) + 1;
  url.target.replace(begin, query - begin, name);
  return url;
}

std::optional<split_name> split_name_of(std::string_view file_name) {
  constexpr std::string_view extension = ".gguf";
  constexpr std::string_view of = "-of-";
  constexpr std::size_t digits = 5;
  constexpr std::size_t tail = 1 + digits + of.size() + digits + extension.size();
  if (file_name.size() <= tail || !file_name.ends_with(extension)) {
    return std::nullopt;
  }
  const std::string_view end = file_name.substr(file_name.size() - tail);
  const auto number = number_from<std::uint32_t>(end.substr(1, digits));
  const auto count = number_from<std::uint32_t>(end.substr(1 + digits + of.size(), digits));
  if (end.front() != '-' || end.substr(1 + digits, of.size()) != of || !number || !count ||
      *number == 0 || *number > *count) {
    return std::nullopt;
  }
  return split_name{std::string{file_name.substr(0, file_name.size() - tail)}, *number, *count};
}

std::string split_file_name(const split_name& name, std::uint32_t number) {
  return fmt::format("{}-{:05}-of-{:05}.gguf", name.before, number, name.count);
}

std::optional<content_range> content_range_from(std::string_view field) {
  constexpr std::string_view unit = "bytes ";
  const std::size_t dash = field.find('-');
  const std::size_t slash = field.find('/');
  if (!field.starts_with(unit) || dash == std::string_view::npos ||
      slash == std::string_view::npos || slash < dash) {
    return std::nullopt;
  }
  const auto first = number_from<std::uint64_t>(field.substr(unit.size(), dash - unit.size()));
  const auto last = number_from<std::uint64_t>(field.substr(dash + 1, slash - dash - 1));
  if (!first || !last || *last < *first) {
    return std::nullopt;
  }
  content_range out{*first, *last, {}};
  if (const std::string_view total = field.substr(slash + 1); total != "*") {
    out.total = number_from<std::uint64_t>(total);
    if (!out.total || *out.total <= *last) {
      return std::nullopt;
    }
  }
  return out;
}

bool is_strong_etag(std::string_view etag) {
  return etag.size() > 2 && etag.size() <= limits::pull_validator_bytes_max &&
         etag.front() == '"' && etag.back() == '"' &&
         std::all_of(etag.begin(), etag.end(), [](char c) { return c >= ' ' && c < '\x7F'; });
}

} // namespace ovir::apps
