#include "actors/payment/sent_command.hpp"

#include <algorithm>
#include <utility>
#include <variant>

namespace ovir::actors {

void sent_command::number_anew(std::uint64_t next) {
  earlier.push_back(std::exchange(id, next));
  if (earlier.size() > limits::sendings_kept_max) {
    earlier.pop_front();
  }
}

bool sent_command::answered_by(const ledger::message& m) const {
  if (m.id == id) {
    return true;
  }
  return std::holds_alternative<ledger::promise>(m.body) &&
         std::find(earlier.begin(), earlier.end(), m.id) != earlier.end();
}

} // namespace ovir::actors
