#include "messages/evidence/stream_count.hpp"

#include "messages/wire/bytes.hpp"

namespace ovir {

std::vector<std::byte> count_statement(const counted_stream& what) {
  std::vector<std::byte> out;
  byte_writer w{out};
  w.write(what.relay);
  w.write(what.sender);
  w.write(what.receiver);
  w.bytes(what.session.data(), what.session.size());
  w.number(what.bytes);
  return out;
}

} // namespace ovir
