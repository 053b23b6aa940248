#include "storage/env/env.hpp"

namespace ovir::storage {

namespace {

error no_disk(const std::string& path) {
  return {errc::unsupported, path + ": this environment keeps no files"};
}

} // namespace

result<std::unique_ptr<large_memory>> env::allocate(std::size_t bytes) {
  return fail(errc::unsupported, "this environment has no memory of {} MiB to give", bytes >> 20U);
}
result<std::unique_ptr<held_lock>> env::lock(const std::string& folder) { return no_disk(folder); }
result<std::unique_ptr<append_file>> env::create(const std::string& path) { return no_disk(path); }
result<std::unique_ptr<durable_file>> env::open_durable(const std::string& path,
                                                        durable_use /*use*/) {
  return no_disk(path);
}
result<std::unique_ptr<tree_file>> env::open_tree(const std::string& path) { return no_disk(path); }
result<void> env::rename(const std::string& from, const std::string& /*to*/) {
  return no_disk(from);
}
result<std::vector<std::string>> env::list(const std::string& folder) { return no_disk(folder); }
result<void> env::remove(const std::string& path) { return no_disk(path); }

} // namespace ovir::storage
