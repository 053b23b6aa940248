#pragma once

#include "messages/wire/bytes.hpp"

#include <algorithm>
#include <concepts>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

/// The fields of a structure, listed once, for writing and for reading:
///
///     template <class Io, of_type<transfer> T>
///     void fields(Io& io, T& t) {
///       io(t.from, t.to, t.amount, t.nonce);
///     }
///
/// `Io` is a `field_writer`, and `T` const, or it is a `field_reader`. Flags and enumerations take
/// a byte. A structure in a structure is a field like any other.
namespace ovir {

template <class T, class Structure>
concept of_type = std::same_as<std::remove_const_t<T>, Structure>;

/// Puts the alternative of this index there, as its default makes it.
template <class... Ts>
void empty_alternative(std::variant<Ts...>& v, std::size_t index) {
  [&]<std::size_t... Is>(std::index_sequence<Is...>) {
    ((Is == index ? static_cast<void>(v.template emplace<Is>()) : void()), ...);
  }
  (std::index_sequence_for<Ts...>{});
}

class field_writer {
public:
  static constexpr bool reads = false;

  explicit field_writer(byte_writer& to) : w_(to) {}

  template <class... Fields>
  void operator()(const Fields&... f) {
    (one(f), ...);
  }
  /// A field that is there in some kinds of its structure.
  template <class Field>
  void where(bool there, const Field& f) {
    if (there) {
      one(f);
    }
  }
  /// Behind its length, a `Count`. A reader allows `most` of `what`.
  template <class Count, class T>
  void list(const std::vector<T>& of, std::string_view what, std::size_t most) {
    list<Count>(of, what, most, [this](const T& x) { one(x); });
  }
  template <class Count, class T, class Each>
  void list(const std::vector<T>& of, std::string_view, std::size_t, Each each) {
    w_.number(static_cast<Count>(of.size()));
    std::for_each(of.begin(), of.end(), each);
  }
  /// Bytes behind their length, 32 bits.
  void block(std::span<const std::byte> bytes, std::string_view, std::size_t) {
    w_.number(static_cast<std::uint32_t>(bytes.size()));
    w_.bytes(bytes.data(), bytes.size());
  }
  /// Characters behind their number, a `Count`.
  template <class Count>
  void text(const std::string& text, std::string_view, std::size_t) {
    w_.number(static_cast<Count>(text.size()));
    w_.bytes(text.data(), text.size());
  }
  /// The place of the alternative, from 1 on, and its fields.
  template <class... Ts>
  void one_of(const std::variant<Ts...>& v, std::string_view) {
    w_.number(static_cast<std::uint8_t>(v.index() + 1));
    std::visit([this](const auto& x) { this->one(x); }, v);
  }
  /// What has a form of its own, as a block.
  template <class T, class From>
  void formed(const T& x, std::string_view, std::size_t, From) {
    block(to_bytes(x), {}, 0);
  }
  /// What a reader refuses to go on without.
  void expect(bool, std::string_view) {}
  [[nodiscard]] byte_writer& bytes() noexcept { return w_; }

private:
  template <class Field>
  void one(const Field& f) {
    if constexpr (requires { w_.write(f); }) {
      w_.write(f);
    } else if constexpr (std::is_enum_v<Field> || std::is_same_v<Field, bool>) { // bytes as well
      static_assert(sizeof(Field) == 1);
      w_.number(static_cast<std::uint8_t>(f));
    } else if constexpr (std::is_unsigned_v<Field>) {
      w_.number(f);
    } else {
      fields(*this, f);
    }
  }

  byte_writer& w_;
};

/// After a field that it refuses it reads nothing more, and `byte_reader::sound` is false.
class field_reader {
public:
  static constexpr bool reads = true;

  explicit field_reader(byte_reader& from) : r_(from) {}

  template <class... Fields>
  void operator()(Fields&... f) {
    (one(f), ...);
  }
  template <class Field>
  void where(bool there, Field& f) {
    if (there) {
      one(f);
    }
  }
  template <class Count, class T>
  void list(std::vector<T>& of, std::string_view what, std::size_t most) {
    list<Count>(of, what, most, [this](T& x) { one(x); });
  }
  template <class Count, class T, class Each>
  void list(std::vector<T>& of, std::string_view what, std::size_t most, Each each) {
    const std::size_t count = r_.number<Count>();
    if (count > most) {
      return refuse(fail(errc::over_limit, "{} {}; at most {} are allowed", count, what, most));
    }
    of.clear();
    for (std::size_t i = 0; i < count && r_.sound(); ++i) { // each takes bytes: no reserving
      each(of.emplace_back());
    }
  }
  void block(std::vector<std::byte>& bytes, std::string_view what, std::size_t most) {
    const std::size_t size = r_.number<std::uint32_t>();
    if (size > most) {
      return refuse(
          fail(errc::over_limit, "{} of {} bytes; at most {} are allowed", what, size, most));
    }
    if (size > r_.rest().size()) {
      return refuse(fail(errc::malformed, "{} of {} bytes, of which {} are there", what, size,
                         r_.rest().size()));
    }
    bytes.assign(r_.rest().begin(), r_.rest().begin() + static_cast<std::ptrdiff_t>(size));
    r_.skip(size);
  }
  template <class Count>
  void text(std::string& text, std::string_view what, std::size_t most) {
    const std::size_t size = r_.number<Count>();
    if (size > most) {
      return refuse(
          fail(errc::over_limit, "{} of {} bytes; at most {} are allowed", what, size, most));
    }
    text.assign(reinterpret_cast<const char*>(r_.rest().data()), std::min(size, r_.rest().size()));
    r_.skip(size);
  }
  template <class... Ts>
  void one_of(std::variant<Ts...>& v, std::string_view what) {
    const std::size_t kind = r_.number<std::uint8_t>();
    if (kind < 1 || kind > sizeof...(Ts)) {
      return refuse(fail(errc::malformed, "{} of an unknown kind", what));
    }
    empty_alternative(v, kind - 1);
    std::visit([this](auto& x) { this->one(x); }, v);
  }
  /// `from` makes it of its bytes, or says why not.
  template <class T, class From>
  void formed(T& x, std::string_view what, std::size_t most, From from) {
    std::vector<std::byte> bytes;
    block(bytes, what, most);
    if (r_.sound()) {
      if (auto made = from(std::span<const std::byte>{bytes})) {
        x = std::move(*made);
      } else {
        refuse(made.error());
      }
    }
  }
  void expect(bool right, std::string_view what) {
    if (!right && r_.sound()) {
      refuse(fail(errc::malformed, "{}", what));
    }
  }
  void refuse(error reason) {
    if (refused_) {
      refused_ = std::move(reason);
      r_.skip(std::numeric_limits<std::size_t>::max());
    }
  }
  [[nodiscard]] bool sound() const noexcept { return r_.sound(); }
  /// The first field that it refused. Bytes that are missing are the byte reader's to tell.
  [[nodiscard]] const result<void>& refused() const noexcept { return refused_; }
  [[nodiscard]] byte_reader& bytes() noexcept { return r_; }

private:
  template <class Field>
  void one(Field& f) {
    if constexpr (requires { r_.read(f); }) {
      r_.read(f);
    } else if constexpr (std::is_same_v<Field, bool>) {
      const auto value = r_.number<std::uint8_t>();
      expect(value <= 1, "a flag is neither 0 nor 1");
      f = value == 1;
    } else if constexpr (std::is_enum_v<Field>) {
      static_assert(sizeof(Field) == 1);
      f = static_cast<Field>(r_.number<std::uint8_t>());
    } else if constexpr (std::is_unsigned_v<Field>) {
      f = r_.number<Field>();
    } else {
      fields(*this, f);
    }
  }

  byte_reader& r_;
  result<void> refused_{};
};

/// A structure that stands alone: its tag, a version, its fields.
template <class T>
std::vector<std::byte> tagged_bytes(std::uint8_t tag, std::uint8_t version, const T& x) {
  std::vector<std::byte> out;
  byte_writer w{out};
  field_writer{w}(tag, version, x);
  return out;
}

/// `malformed`, also for too few or too many bytes, or `unsupported`; `name` is for people.
template <class T>
result<T> from_tagged(std::span<const std::byte> bytes, std::uint8_t tag, std::uint8_t version,
                      std::string_view name) {
  byte_reader r{bytes};
  const auto found = r.number<std::uint8_t>();
  const auto of = r.number<std::uint8_t>();
  if (found != tag) {
    return fail(errc::malformed, "these bytes are no {}", name);
  }
  if (of != version) {
    return fail(errc::unsupported, "the {} is of version {}; this program reads {}", name, of,
                version);
  }
  T x;
  field_reader io{r};
  io(x);
  OVIR_TRY(io.refused());
  if (!r.finished()) {
    return fail(errc::malformed, "the {} has too {} bytes", name, r.sound() ? "many" : "few");
  }
  return x;
}

} // namespace ovir
