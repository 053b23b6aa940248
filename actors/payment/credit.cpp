#include "actors/payment/credit.hpp"

#include "messages/check.hpp"

namespace ovir::actors {

void credit::spend(position end) {
  OVIR_CHECK(available() && (ends_.empty() || ends_.back() < end));
  ends_.push_back(end);
}

void credit::confirm(position done) {
  while (!ends_.empty() && ends_.front() <= done) {
    ends_.pop_front();
  }
}

} // namespace ovir::actors
