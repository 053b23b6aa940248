#include "tests/support/http_upload.hpp"

#include <fmt/format.h>

namespace ovir::test {

std::string http_upload_text(std::string_view content, const http_fields& fields) {
  const std::string body = fmt::format(
      "--frontier\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n"
      "--frontier\r\nContent-Disposition: form-data; name=\"file\"; filename=\"in.jsonl\"\r\n"
      "Content-Type: application/octet-stream\r\n\r\n{}\r\n--frontier--\r\n",
      content);
  http_fields all = fields;
  all.emplace_back("Content-Type", "multipart/form-data; boundary=frontier");
  all.emplace_back("Content-Length", std::to_string(body.size()));
  return http_text("POST", "/v1/files", {}, all) + body;
}

http_answer http_upload(std::uint16_t port, std::string_view content, const http_fields& fields) {
  http_socket socket{port};
  socket.send(http_upload_text(content, fields));
  return socket.answer();
}

} // namespace ovir::test
