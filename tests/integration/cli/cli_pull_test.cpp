// `ovir model pull` and `ovir model list`: the program beside HTTP servers that break off, lie
// about lengths, know no ranges, change their file, or redirect.
#include "tests/support/cluster/cli.hpp"
#include "tests/support/file_server.hpp"
#include "tests/support/shared_files.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/sha.h>

#include <csignal>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

namespace ovir::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;

std::string sha256_of(const std::string& bytes) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest);
  std::string out;
  for (const unsigned char byte : digest) {
    out += fmt::format("{:02x}", byte);
  }
  return out;
}

class cli_pull : public testing::Test {
protected:
  [[nodiscard]] std::string target() const { return (folder_.path() / "m.gguf").string(); }
  [[nodiscard]] bool kept() const { return std::filesystem::exists(target() + ".part"); }

  child_result pull(const std::string& url, const std::string& digest,
                    const std::vector<std::string>& more = {}) {
    std::vector<std::string> all{"model", "pull", url, "--out", target(), "--sha256", digest};
    all.insert(all.end(), more.begin(), more.end());
    return run_ovir(all);
  }
  child_result pull(const file_server& server) {
    return pull(server.address() + "/m.gguf", sha256_of(file_));
  }
  void expect_pulled(const child_result& child) {
    EXPECT_EQ(child.exit_code, 0) << child.err;
    EXPECT_TRUE(read_file(target()) == file_) << "other bytes";
    EXPECT_FALSE(kept());
    EXPECT_FALSE(std::filesystem::exists(target() + ".part.json"));
  }
  void expect_nothing(const child_result& child, const std::string& why, int code = 3) {
    EXPECT_EQ(child.exit_code, code) << child.err;
    // One sentence, behind what long work may have told of its progress.
    const std::size_t last = child.err.rfind("ovir: ");
    ASSERT_NE(last, std::string::npos) << child.err;
    EXPECT_TRUE(is_one_line(child.err.substr(last))) << child.err;
    EXPECT_THAT(child.err.substr(last), HasSubstr(why));
    EXPECT_FALSE(std::filesystem::exists(target()));
  }

  temporary_folder folder_;
  std::string file_ = read_file(source_file("assets/tales-q4_k_m.gguf"));
  const std::string etag_ = "\"first\"";
};

TEST_F(cli_pull, writes_a_file_that_comes_whole) {
  const file_server server{
      [&](std::size_t, const file_request& r) { return served_file(r, file_, etag_); }};
  const child_result child = pull(server.address() + "/m.gguf", sha256_of(file_), {"--json"});
  expect_pulled(child);
  const json told = document_of(child);
  EXPECT_EQ(told["files"][0]["sha256"], sha256_of(file_));
  EXPECT_EQ(told["files"][0]["bytes"], file_.size());
  const child_result again = pull(server);
  EXPECT_EQ(again.exit_code, 2);
  EXPECT_THAT(again.err, HasSubstr("there already"));
}

TEST_F(cli_pull, goes_through_the_proxy_of_the_environment) {
  const file_server proxy{
      [&](std::size_t, const file_request& r) { return served_file(r, file_, etag_); }};
  child_options behind_it;
  behind_it.environment = {{"http_proxy", proxy.address()}};
  // No name server knows this host; the proxy would.
  expect_pulled(run_ovir({"model", "pull", "http://models.invalid/m.gguf", "--out", target(),
                          "--sha256", sha256_of(file_)},
                         behind_it));
  ASSERT_EQ(proxy.requests().size(), 1U);
  EXPECT_THAT(proxy.requests()[0].path, HasSubstr("models.invalid/m.gguf"));
}

TEST_F(cli_pull, continues_behind_every_break) {
  // Each connection brings a fifth of what is left, and ends in the middle of what it promised.
  const file_server server{[&](std::size_t number, const file_request& r) {
    file_answer all = served_file(r, file_, etag_);
    const std::size_t head = all.find("\r\n\r\n") + 4;
    return number < 12 ? all.substr(0, head + (all.size() - head) / 5) : all;
  }};
  expect_pulled(pull(server));
  const auto requests = server.requests();
  ASSERT_EQ(requests.size(), 13U);
  EXPECT_EQ(requests[0].range, "");
  for (std::size_t i = 1; i < requests.size(); ++i) {
    EXPECT_THAT(requests[i].range, HasSubstr("bytes="));
    EXPECT_EQ(requests[i].if_range, etag_);
  }
}

TEST_F(cli_pull, continues_in_a_later_run_what_an_earlier_one_fetched) {
  bool healthy = false;
  const file_server server{[&](std::size_t number, const file_request& r) {
    file_answer all = served_file(r, file_, etag_);
    return healthy ? all : number == 0 ? all.substr(0, 500'000) : file_answer{};
  }};
  const child_result first = pull(server);
  EXPECT_EQ(first.exit_code, 4);
  EXPECT_THAT(first.err, HasSubstr("the same command continues"));
  EXPECT_TRUE(kept());
  EXPECT_FALSE(std::filesystem::exists(target()));
  const std::size_t asked = server.requests().size();
  healthy = true;
  const child_result second = pull(server.address() + "/m.gguf", sha256_of(file_), {"--json"});
  expect_pulled(second);
  EXPECT_GT(document_of(second)["files"][0]["bytes_before"].get<std::size_t>(), 400'000U);
  EXPECT_EQ(server.requests().size(), asked + 1);
}

TEST_F(cli_pull, fetches_anew_a_file_that_changed_between_two_tries) {
  const std::string other(file_.size(), 'x');
  const file_server server{[&](std::size_t number, const file_request& r) {
    return number == 0 ? served_file(r, other, "\"old\"").substr(0, 700'000)
                       : served_file(r, file_, etag_);
  }};
  expect_pulled(pull(server));
  EXPECT_EQ(server.requests().at(1).if_range, "\"old\"");
}

TEST_F(cli_pull, does_not_join_what_a_server_sends_of_another_file_under_a_range) {
  // It ignores If-Range: only the ETag of the part shows it.
  const std::string other(file_.size(), 'x');
  const file_server server{[&](std::size_t number, const file_request& r) {
    file_request without = r;
    without.if_range.clear();
    return number == 0 ? served_file(without, other, "\"old\"").substr(0, 700'000)
                       : served_file(without, file_, etag_);
  }};
  expect_pulled(pull(server));
  EXPECT_EQ(server.requests().size(), 3U);
  EXPECT_EQ(server.requests().at(2).range, "");
}

TEST_F(cli_pull, gives_up_on_a_server_that_breaks_off_and_has_no_ranges) {
  const file_server server{[&](std::size_t, const file_request&) {
    return http_bytes(200, "ETag: \"a\"\r\n", file_).substr(0, 300'000);
  }};
  expect_nothing(pull(server), "breaks off and cannot continue");
  EXPECT_FALSE(kept());
}

TEST_F(cli_pull, takes_a_whole_file_from_a_server_without_ranges) {
  const file_server server{[&](std::size_t number, const file_request&) {
    const file_answer all = http_bytes(200, "ETag: \"a\"\r\n", file_);
    return number == 0 ? all.substr(0, 300'000) : all;
  }};
  expect_pulled(pull(server));
}

TEST_F(cli_pull, refuses_parts_that_are_not_those_asked_for) {
  const file_server server{[&](std::size_t number, const file_request& r) {
    if (number % 2 == 0) {
      return served_file({}, file_, etag_).substr(0, 300'000);
    }
    const std::string shifted = fmt::format("Content-Range: bytes 0-{}/{}\r\nETag: {}\r\n",
                                            file_.size() - 1, file_.size(), etag_);
    EXPECT_NE(r.range, "");
    return http_bytes(206, shifted, file_);
  }};
  expect_nothing(pull(server), "other bytes than were asked for");
  EXPECT_FALSE(kept());
}

TEST_F(cli_pull, refuses_a_file_with_another_digest_or_that_is_no_model) {
  const file_server server{
      [&](std::size_t, const file_request& r) { return served_file(r, file_, etag_); }};
  expect_nothing(pull(server.address() + "/m.gguf", std::string(64, '0')), "has the SHA-256", 1);
  EXPECT_FALSE(kept());
  const std::string page = "<html>sign in</html>";
  const file_server portal{
      [&](std::size_t, const file_request& r) { return served_file(r, page, etag_); }};
  expect_nothing(pull(portal.address() + "/m.gguf", sha256_of(page)), "GGUF");
  EXPECT_FALSE(kept());
}

TEST_F(cli_pull, reads_chunks_and_what_only_the_connection_ends) {
  const file_server chunked{[&](std::size_t, const file_request&) {
    return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" +
           fmt::format("{:x}\r\n", file_.size()) + file_ + "\r\n0\r\n\r\n";
  }};
  expect_pulled(pull(chunked));
  std::filesystem::remove(target());
  const file_server bare{
      [&](std::size_t, const file_request&) { return "HTTP/1.1 200 OK\r\n\r\n" + file_; }};
  expect_pulled(pull(bare));
}

TEST_F(cli_pull, follows_redirections_but_not_for_ever) {
  const file_server server{[&](std::size_t, const file_request& r) {
    return r.path == "/m.gguf"        ? http_bytes(302, "Location: deep/er?x=1\r\n", "")
           : r.path == "/deep/er?x=1" ? served_file(r, file_, etag_)
                                      : http_bytes(302, "Location: /round\r\n", "");
  }};
  expect_pulled(pull(server));
  std::filesystem::remove(target());
  expect_nothing(pull(server.address() + "/other.gguf", sha256_of(file_)), "redirects more than");
}

TEST_F(cli_pull, knows_the_hubs_names_and_its_digests) {
  std::string digest = sha256_of(file_);
  const file_server server{[&](std::size_t, const file_request& r) {
    return r.path == "/o/r/resolve/main/m.gguf"
               ? http_bytes(302, "Location: /lfs\r\nX-Linked-ETag: \"" + digest + "\"\r\n", "")
               : served_file(r, file_, etag_);
  }};
  child_options hub;
  hub.environment = {{"HF_ENDPOINT", server.address()}};
  // Without TLS a digest must be named, though the hub has told one.
  const child_result bare = run_ovir({"model", "pull", "hf:o/r/m.gguf", "--out", target()}, hub);
  EXPECT_EQ(bare.exit_code, 2);
  EXPECT_THAT(bare.err, HasSubstr("--sha256"));
  expect_pulled(
      run_ovir({"model", "pull", "hf:o/r/m.gguf", "--out", target(), "--sha256", digest}, hub));
  EXPECT_EQ(server.requests().at(0).path, "/o/r/resolve/main/m.gguf");
}

/// OpenSSL's own server for the files of a folder, with a certificate for "localhost" in cert.pem.
class tls_server {
public:
  /// `mode`: "-WWW", or "-HTTP" where the files are answers, with their heads.
  explicit tls_server(const std::filesystem::path& folder, const std::string& mode = "-WWW")
      : program_(
            {"/bin/sh", "-c",
             "cd " + folder.string() +
                 " && openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem "
                 "-days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost 2>/dev/null "
                 "&& exec openssl s_server -accept 127.0.0.1:0 " +
                 mode + " -cert cert.pem -key key.pem"}) {
    const std::string mark = "ACCEPT 127.0.0.1:";
    std::string told;
    std::size_t at = std::string::npos;
    while (at == std::string::npos || told.find('\n', at) == std::string::npos) {
      const std::size_t had = told.size();
      told = program_.wait_for_output(had + 1);
      if (told.size() == had) {
        throw std::runtime_error("openssl does not serve: " + told);
      }
      at = told.find(mark);
    }
    port_ = std::stoi(told.substr(at + mark.size()));
  }
  [[nodiscard]] std::string address(const std::string& host) const {
    return fmt::format("https://{}:{}", host, port_);
  }

private:
  child_process program_;
  int port_{0};
};

TEST_F(cli_pull, believes_only_servers_that_prove_who_they_are) {
  if (run_child({"/bin/sh", "-c", "command -v openssl"}).exit_code != 0) {
    GTEST_SKIP() << "needs openssl's program";
  }
  const temporary_folder served;
  write_file(served.path() / "m.gguf", file_);
  const tls_server server{served.path()};
  child_options trusting;
  trusting.environment = {{"SSL_CERT_FILE", (served.path() / "cert.pem").string()}};
  const auto pulled = [&](const std::string& host, const child_options& how) {
    return run_ovir({"model", "pull", server.address(host) + "/m.gguf", "--out", target(),
                     "--sha256", sha256_of(file_)},
                    how);
  };
  expect_nothing(pulled("localhost", {}), "could not prove that it is localhost");
  // The address is not among the certificate's names.
  expect_nothing(pulled("127.0.0.1", trusting), "127.0.0.1");
  expect_pulled(pulled("localhost", trusting));
}

TEST_F(cli_pull, brings_a_new_swarm_its_model) {
  if (run_child({"/bin/sh", "-c", "command -v openssl"}).exit_code != 0) {
    GTEST_SKIP() << "needs openssl's program";
  }
  const temporary_folder served;
  const auto there = served.path() / "o" / "r" / "resolve" / "main";
  std::filesystem::create_directories(there);
  const std::string made = (folder_.path() / "made.gguf").string();
  ASSERT_EQ(run_ovir({"model", "synth", made}).exit_code, 0);
  const std::string model = read_file(made);
  write_file(there / "m.gguf", http_bytes(200, "ETag: \"1\"\r\n", model));
  const tls_server server{served.path(), "-HTTP"};
  const std::string home = (folder_.path() / "home").string();
  child_options how;
  how.environment = {{"SSL_CERT_FILE", (served.path() / "cert.pem").string()},
                     {"HF_ENDPOINT", server.address("localhost")},
                     {"OVIR_HOME", home},
                     {"OVIR_OPERATOR", (folder_.path() / "people").string()}};
  how.deadline = std::chrono::seconds{120};
  child_process up{{ovir_program(), "up", "-m", "hf:o/r/m.gguf", "--listen", "127.0.0.1:0",
                    "--http", "127.0.0.1:0", "--shells", "127.0.0.1:0", "--threads", "1", "--json"},
                   how};
  EXPECT_THAT(up.wait_for_output(1), HasSubstr("\"join\""));
  up.send_signal(SIGTERM);
  EXPECT_EQ(up.wait().exit_code, 0);
  EXPECT_TRUE(read_file(std::filesystem::path{home} / "models" / "m.gguf") == model);
}

TEST_F(cli_pull, says_what_it_cannot_fetch) {
  const file_server server{[&](std::size_t, const file_request& r) {
    return r.path == "/secret.gguf"   ? http_bytes(403, "", "")
           : r.path == "/packed.gguf" ? http_bytes(200, "Content-Encoding: gzip\r\n", "x")
           : r.path == "/vast.gguf"
               ? file_answer{"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n"}
               : http_bytes(404, "", "");
  }};
  const std::string digest(64, 'a');
  const auto refused = [&](const std::string& path, const std::string& why) {
    expect_nothing(pull(server.address() + path, digest), why);
  };
  refused("/none.gguf", "it has no such file");
  refused("/secret.gguf", "not for everybody");
  refused("/packed.gguf", "an encoding of the file");
  refused("/vast.gguf", "more than the");
  for (const char* const url : {"ftp://h/m.gguf", "https://", "hf:only/two", "http://h:0/m.gguf",
                                "http://a b/m.gguf", "hf:o/r/../m.gguf"}) {
    const child_result child = pull(url, digest);
    EXPECT_EQ(child.exit_code, 2) << url;
    EXPECT_TRUE(is_one_line(child.err)) << child.err;
  }
  EXPECT_EQ(pull(server.address() + "/m.gguf", "12").exit_code, 2);
}

TEST_F(cli_pull, fetches_all_files_of_a_split_model_and_lists_what_is_there) {
  // Each is a sound GGUF file; that they belong together is another test's matter.
  const file_server server{
      [&](std::size_t, const file_request& r) { return served_file(r, file_, etag_); }};
  const std::string digest = sha256_of(file_);
  const std::string folder = folder_.path().string();
  const child_result child =
      run_ovir({"model", "pull", server.address() + "/t-00002-of-00003.gguf", "--out", folder,
                "--sha256", digest, "--sha256", digest, "--sha256", digest, "--json"});
  ASSERT_EQ(child.exit_code, 0) << child.err;
  EXPECT_EQ(document_of(child)["files"].size(), 3U);
  for (int i = 1; i <= 3; ++i) {
    EXPECT_TRUE(read_file(folder_.path() / fmt::format("t-{:05}-of-00003.gguf", i)) == file_);
  }
  write_file(folder_.path() / "whole.gguf", file_);
  write_file(folder_.path() / "broken.gguf", std::string{"GGUF"});
  write_file(folder_.path() / "late.gguf.part", std::string{"GG"});
  const json listed = ovir_json({"model", "list", folder, "--digests"});
  ASSERT_EQ(listed["models"].size(), 4U);
  const json named = ovir_json({"model", "verify", (folder_.path() / "whole.gguf").string()});
  for (const json& model : listed["models"]) {
    const bool sound = model["name"] != "broken.gguf" && model["name"] != "late.gguf.part";
    EXPECT_EQ(model["fault"] == "", sound) << model;
    if (sound) {
      EXPECT_EQ(model["model"], named["model"]);
      EXPECT_EQ(model["architecture"], "llama");
      EXPECT_EQ(model["type"], "Q4_K");
    }
  }
}

} // namespace
} // namespace ovir::test
