#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace ovir::templates {

/// Who wrote a byte.
enum class author : char {
  model = '\0',   ///< the model's own file or this program: may name control tokens
  outside = '\1', ///< a person or a program that talks to the model: is only ever text
};

/// A text of which each byte knows who wrote it, however it was cut and joined on the way: so
/// nobody ends their own turn by writing the name of a control token.
class marked_text {
public:
  marked_text() = default;
  marked_text(std::string_view bytes, author by)
      : bytes_(bytes), authors_(bytes.size(), static_cast<char>(by)) {}

  [[nodiscard]] const std::string& bytes() const noexcept { return bytes_; }
  /// One per byte, values of `author`.
  [[nodiscard]] const std::string& authors() const noexcept { return authors_; }
  [[nodiscard]] std::size_t size() const noexcept { return bytes_.size(); }
  [[nodiscard]] bool empty() const noexcept { return bytes_.empty(); }

  void append(const marked_text& other) {
    bytes_ += other.bytes_;
    authors_ += other.authors_;
  }
  void append(std::string_view bytes, author by) {
    bytes_ += bytes;
    authors_.append(bytes.size(), static_cast<char>(by));
  }
  /// Bytes [at, at + count), as far as there are any. Precondition: `at` is at most the size.
  [[nodiscard]] marked_text part(std::size_t at, std::size_t count = std::string::npos) const {
    marked_text out;
    out.bytes_ = bytes_.substr(at, count);
    out.authors_ = authors_.substr(at, count);
    return out;
  }
  /// The same authors, each byte put through `change`.
  template <class F>
  [[nodiscard]] marked_text each(F change) const {
    marked_text out = *this;
    for (char& c : out.bytes_) {
      c = change(c);
    }
    return out;
  }

  friend bool operator==(const marked_text& a, const marked_text& b) {
    return a.bytes_ == b.bytes_ && a.authors_ == b.authors_;
  }

private:
  std::string bytes_;
  std::string authors_;
};

} // namespace ovir::templates
