#include "apps/download_url.hpp"
#include "messages/limits/pull.hpp"

#include <gtest/gtest.h>

#include <string>

namespace ovir::apps {
namespace {

constexpr std::string_view hub = "https://hub.example";

download_url read(std::string_view text) { return download_url_from(text, hub).value(); }

TEST(download_url, is_read_and_written_the_same) {
  EXPECT_EQ(read("https://h.example/a/b.gguf?x=1#part"),
            (download_url{true, "h.example", 443, "/a/b.gguf?x=1"}));
  EXPECT_EQ(read("http://h.example:8080"), (download_url{false, "h.example", 8080, "/"}));
  EXPECT_EQ(read("http://[fe80::2]:81/m"), (download_url{false, "fe80::2", 81, "/m"}));
  EXPECT_EQ(read("https://h?q"), (download_url{true, "h", 443, "/?q"}));
  for (const char* const text : {"https://h.example/a/b.gguf?x=1", "http://[fe80::2]:81/m"}) {
    EXPECT_EQ(text_of(read(text)), text);
  }
}

TEST(download_url, of_a_hub_is_a_rule) {
  EXPECT_EQ(text_of(read("hf:o/r/f.gguf")), "https://hub.example/o/r/resolve/main/f.gguf");
  EXPECT_EQ(text_of(read("hf:o/r@v2/d/f.gguf")), "https://hub.example/o/r/resolve/v2/d/f.gguf");
  for (const char* const text : {"hf:", "hf:o/r", "hf:o/r/", "hf:o//f", "hf:o/r/../f", "hf:o/r@/f",
                                 "hf:o/r/a b", "hf:o/r/f?x"}) {
    EXPECT_FALSE(download_url_from(text, hub)) << text;
  }
}

TEST(download_url, is_refused_where_it_is_none) {
  for (const char* const text :
       {"", "h.example/m", "ftp://h/m", "https://", "https:///m", "https://h:0/m",
        "https://h:65536/m", "https://h:/m", "https://user@h/m", "https://h/a b",
        "https://h/\r\nHost: x", "https://[::1/m", "https://[x]/m"}) {
    EXPECT_FALSE(download_url_from(text, hub)) << text;
  }
  EXPECT_EQ(
      download_url_from("https://h/" + std::string(limits::url_bytes_max, 'a'), hub).error().code,
      errc::over_limit);
}

TEST(download_url, follows_what_a_location_says) {
  const download_url from = read("https://h.example/a/b?c=d/e");
  const auto to = [&](std::string_view location) {
    return text_of(redirected(from, location).value());
  };
  EXPECT_EQ(to("http://other.example/x"), "http://other.example/x");
  EXPECT_EQ(to("//other.example/x"), "https://other.example/x");
  EXPECT_EQ(to("/x"), "https://h.example/x");
  EXPECT_EQ(to("x?y"), "https://h.example/a/x?y");
  EXPECT_EQ(to("?y"), "https://h.example/a/b?y");
  EXPECT_FALSE(redirected(from, "/a\nb"));
  EXPECT_FALSE(redirected(from, "ftp://other.example/"));
}

TEST(download_url, names_files) {
  EXPECT_EQ(file_name_of(read("https://h/a/m-Q4_K.gguf?download=true")).value(), "m-Q4_K.gguf");
  for (const char* const text : {"https://h/", "https://h/a/", "https://h/.x", "https://h/a%2Fb"}) {
    EXPECT_FALSE(file_name_of(read(text))) << text;
  }
  EXPECT_EQ(text_of(with_file_name(read("https://h/a/m.gguf?x=/y"), "n.gguf")),
            "https://h/a/n.gguf?x=/y");
  const auto split = split_name_of("a-00002-of-00003.gguf");
  ASSERT_TRUE(split);
  EXPECT_EQ(split_file_name(*split, 3), "a-00003-of-00003.gguf");
  for (const char* const name : {"a.gguf", "-00001-of-00002.gguf", "a-00003-of-00002.gguf",
                                 "a-00000-of-00002.gguf", "a-0001-of-00002.gguf"}) {
    EXPECT_FALSE(split_name_of(name)) << name;
  }
}

TEST(download_url, reads_fields_of_answers) {
  const auto range = content_range_from("bytes 5-9/20");
  ASSERT_TRUE(range);
  EXPECT_EQ(range->first, 5U);
  EXPECT_EQ(range->last, 9U);
  EXPECT_EQ(range->total, 20U);
  EXPECT_FALSE(content_range_from("bytes 5-9/*")->total);
  for (const char* const field : {"", "bytes 9-5/20", "bytes 5-9/9", "bytes */20", "items 5-9/20",
                                  "bytes 5-9", "bytes -9/20", "bytes 5-/20", "bytes 5-9/x"}) {
    EXPECT_FALSE(content_range_from(field)) << field;
  }
  EXPECT_TRUE(is_strong_etag("\"a\""));
  for (const char* const etag : {"", "a", "\"\"", "W/\"a\"", "\"a\nb\""}) {
    EXPECT_FALSE(is_strong_etag(etag)) << etag;
  }
}

} // namespace
} // namespace ovir::apps
