#pragma once

#include "gateway/http/api_error.hpp"
#include "gateway/http/bounded_json.hpp"

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace ovir::gateway {

/// Reads the parameters of a request's body. It remembers the first thing that is wrong and which
/// parameters were asked for, so that nothing a client sent is ignored. A parameter that is null
/// counts as absent.
class parameters {
public:
  /// `where` is put before the names in errors: "messages[0].". `object` must outlive this.
  explicit parameters(const json& object, std::string where = {});

  /// Whether it is there and not null: null means the default.
  [[nodiscard]] bool has(std::string_view key);
  [[nodiscard]] std::uint64_t whole(std::string_view key, std::uint64_t least, std::uint64_t most,
                                    std::uint64_t otherwise);
  [[nodiscard]] double number(std::string_view key, double least, double most, double otherwise);
  [[nodiscard]] bool boolean(std::string_view key, bool otherwise);
  /// Without `otherwise` it must be there.
  [[nodiscard]] std::string text(std::string_view key, std::size_t bytes_max,
                                 std::optional<std::string> otherwise = {});
  /// A text, or a list of at most `most` texts; none when absent.
  [[nodiscard]] std::vector<std::string> texts(std::string_view key, std::size_t most);
  /// The value as it is; null when absent.
  [[nodiscard]] const json& raw(std::string_view key);

  /// The parameter may be there with this value, which means what happens anyway; any other is
  /// refused with `why`.
  void only(std::string_view key, const json& harmless, std::string_view why);
  /// The same for each of several values.
  void only_one_of(std::string_view key, std::initializer_list<json> harmless,
                   std::string_view why);
  /// The same for a value that has nothing in it: false, 0, "", [] and {}.
  void only_empty(std::string_view key, std::string_view why);

  void refuse(std::string_view key, std::string message);
  void refuse(api_error e);
  /// Refuses parameters that nothing asked for. Call it last.
  void done();
  [[nodiscard]] const std::optional<api_error>& failure() const noexcept { return failure_; }

private:
  [[nodiscard]] std::string name_of(std::string_view key) const;

  const json& object_;
  std::string where_;
  std::set<std::string, std::less<>> known_;
  std::optional<api_error> failure_;
};

} // namespace ovir::gateway
