#include "gateway/batches/batch_record.hpp"
#include "messages/digest.hpp"

#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>

namespace {

std::string sealed_with(std::string_view domain, const std::string& text) {
  return text + ovir::to_hex(ovir::hash(domain, std::as_bytes(std::span{text}))) + "\n";
}

template <class Record>
void look(const ovir::result<Record>& record, const std::string& text) {
  if (record ? ovir::gateway::text_of(*record) != text || json_of(*record).dump().empty()
             : record.error().message.empty()) {
    std::abort();
  }
}

} // namespace

// Reads any bytes as records of files and batches, as they are and with the seal that belongs to
// them. What is accepted is written the same again, and can be told.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ovir;
  const std::string bytes{reinterpret_cast<const char*>(data), size};
  for (const std::string& text : {bytes, sealed_with("ovir/file-record/v1", bytes)}) {
    look(gateway::stored_file_from(text), text);
  }
  for (const std::string& text : {bytes, sealed_with("ovir/batch-record/v1", bytes)}) {
    look(gateway::batch_record_from(text), text);
  }
  return 0;
}
