#pragma once

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>
#include <utility>
#include <vector>

/// Answers each request with the next of its pieces as the body, and ends the connection. A class
/// of its own, because the test that uses it is linked with nothing but libovir.
class scripted_server {
public:
  explicit scripted_server(std::vector<std::string> pieces) : pieces_(std::move(pieces)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ::bind(listener_, reinterpret_cast<sockaddr*>(&at), sizeof(at));
    ::listen(listener_, 4);
    socklen_t size = sizeof(at);
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&at), &size);
    address_ = "http://127.0.0.1:" + std::to_string(ntohs(at.sin_port));
    thread_ = std::thread{[this] { serve(); }};
  }
  ~scripted_server() {
    ::shutdown(listener_, SHUT_RDWR); // ends `accept`
    thread_.join();
    ::close(listener_);
  }
  scripted_server(const scripted_server&) = delete;
  scripted_server& operator=(const scripted_server&) = delete;

  [[nodiscard]] const std::string& address() const noexcept { return address_; }
  /// All that was asked, once the last piece was sent.
  [[nodiscard]] std::string heard() {
    while (!done_.load()) {
      std::this_thread::yield();
    }
    return heard_;
  }

private:
  void serve() {
    for (const std::string& piece : pieces_) {
      const int client = ::accept(listener_, nullptr, nullptr);
      if (client < 0) {
        break;
      }
      read_request(client);
      const std::string answer = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + piece;
      std::size_t sent = 0;
      while (sent < answer.size()) {
        const ssize_t n = ::send(client, answer.data() + sent, answer.size() - sent, MSG_NOSIGNAL);
        if (n <= 0) {
          break;
        }
        sent += static_cast<std::size_t>(n);
      }
      ::close(client);
    }
    done_.store(true);
  }

  void read_request(int client) {
    std::string text;
    std::size_t wanted = std::string::npos;
    char buffer[4096];
    while (text.size() < wanted) {
      const ssize_t n = ::recv(client, buffer, sizeof(buffer), 0);
      if (n <= 0) {
        break;
      }
      text.append(buffer, static_cast<std::size_t>(n));
      const std::size_t head = text.find("\r\n\r\n");
      const std::size_t length = text.find("Content-Length: ");
      if (head != std::string::npos) {
        wanted = head + 4 + (length < head ? std::stoul(text.substr(length + 16)) : 0);
      }
    }
    heard_ += text;
  }

  std::vector<std::string> pieces_;
  int listener_{-1};
  std::string address_;
  std::string heard_;
  std::atomic<bool> done_{false};
  std::thread thread_;
};
