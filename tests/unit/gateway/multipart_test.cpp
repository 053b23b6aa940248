// Forms, as clients send them and as no client may.
#include "gateway/http/multipart.hpp"
#include "messages/limits/batches.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace ovir::gateway {
namespace {

constexpr auto type = "multipart/form-data; boundary=xyz";

std::string form(const std::string& heads, const std::string& bytes) {
  return "--xyz\r\n" + heads + "\r\n\r\n" + bytes + "\r\n--xyz--\r\n";
}
std::string named(const std::string& bytes) {
  return form("Content-Disposition: form-data; name=\"a\"", bytes);
}

TEST(multipart, reads_what_a_client_of_openai_sends) {
  const std::string body =
      "--xyz\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\n"
      "batch\r\n--xyz\r\n"
      "content-disposition: FORM-DATA; name=\"file\"; filename=\"in.jsonl\"\r\n"
      "Content-Type: application/octet-stream\r\n\r\n"
      "{\"a\": 1}\r\n\r\n--xy\r\n--xyz--\r\n";
  const auto parts = parse_form("Multipart/Form-Data; charset=utf-8; boundary=\"xyz\"", body);
  ASSERT_TRUE(parts) << parts.error().message;
  ASSERT_EQ(parts->size(), 2U);
  EXPECT_EQ((*parts)[0].name, "purpose");
  EXPECT_EQ((*parts)[0].bytes, "batch");
  EXPECT_FALSE((*parts)[0].file_name);
  EXPECT_EQ((*parts)[1].file_name, "in.jsonl");
  EXPECT_EQ((*parts)[1].bytes, "{\"a\": 1}\r\n\r\n--xy") << "ends of lines within are its own";
}

TEST(multipart, reads_names_with_quotes_and_parts_without_bytes) {
  const auto parts =
      parse_form(type, form("Content-Disposition: form-data; name=\"a\\\"b\\\\\"; filename=c", ""));
  ASSERT_TRUE(parts) << parts.error().message;
  EXPECT_EQ((*parts)[0].name, "a\"b\\");
  EXPECT_EQ((*parts)[0].file_name, "c");
  EXPECT_EQ((*parts)[0].bytes, "");
}

TEST(multipart, refuses_what_others_might_read_differently) {
  const std::string good = named("v");
  ASSERT_TRUE(parse_form(type, good));
  const std::vector<std::string> bad{
      "",
      "before" + good,
      good + "behind",
      good.substr(0, good.size() - 4),
      "--xyz\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nv",
      "--xyz\nContent-Disposition: form-data; name=\"a\"\n\nv\n--xyz--\n",
      form("X: y", "no name"),
      form("Content-Disposition: form-data", "no name"),
      form("Content-Disposition: form-data; name=\"\"", "no name"),
      form("Content-Disposition: attachment; name=\"a\"", "another kind"),
      form("Content-Disposition: form-data; name=\"a", "no end"),
      form("Content-Disposition: form-data; name=\"a\"; name=\"b\"", "two"),
      form("Content-Disposition: form-data; name=\"a\" filename=\"b\"", "no semicolon"),
      form("Content-Disposition: form-data; name=\"a\"\r\nContent-Disposition: form-data; "
           "name=\"b\"",
           "two"),
      form("Content-Disposition: form-data; name=\"a\"\r\nno header", "v"),
      form("Content-Disposition: form-data; name=\"a\"\r\nContent-Transfer-Encoding: base64", "v"),
      form("Content-Disposition: form-data; name=\"a\"", "v\r\n--xyzz"),
  };
  for (const std::string& body : bad) {
    const auto parts = parse_form(type, body);
    EXPECT_FALSE(parts) << body;
  }
  for (const std::string other :
       {"multipart/form-data", "multipart/form-data; boundary=", "multipart/mixed; boundary=xyz",
        "multipart/form-data; boundary=xyz; boundary=xyz",
        "multipart/form-data; boundary=\"xyz "
        "\""}) {
    EXPECT_FALSE(parse_form(other, good)) << other;
  }
  EXPECT_FALSE(parse_form(fmt::format("multipart/form-data; boundary={}",
                                      std::string(limits::form_boundary_bytes_max + 1, 'b')),
                          good));
}

TEST(multipart, bounds_parts_and_their_heads) {
  const std::string head = "Content-Disposition: form-data; name=\"a\"\r\nX: ";
  EXPECT_FALSE(parse_form(type, form(head + std::string(limits::form_head_bytes_max, 'x'), "v")));
  std::string body;
  for (std::size_t i = 0; i <= limits::form_parts_max; ++i) {
    body += "--xyz\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nv\r\n";
  }
  const auto many = parse_form(type, body + "--xyz--");
  ASSERT_FALSE(many);
  EXPECT_EQ(many.error().code, errc::over_limit);
}

} // namespace
} // namespace ovir::gateway
