// docs/adr/0002-kernels.md: files compiled for AVX2, AVX-512, dotprod or i8mm define no function
// that the linker could choose for the whole program.
#include <gtest/gtest.h>

#if defined(__linux__) && (defined(__x86_64__) || defined(__aarch64__))

#include <elf.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace ovir::compute {
namespace {

namespace fs = std::filesystem;

template <class T>
T read_at(const std::vector<char>& bytes, std::size_t at) {
  T value{};
  if (at + sizeof value <= bytes.size()) {
    std::memcpy(&value, bytes.data() + at, sizeof value);
  }
  return value;
}

/// Names of the functions an object file defines for the linker to pick one copy of.
std::vector<std::string> shared_functions(const fs::path& file) {
  std::ifstream in{file, std::ios::binary};
  const std::vector<char> bytes{std::istreambuf_iterator<char>{in}, {}};
  const auto header = read_at<Elf64_Ehdr>(bytes, 0);
  const auto section = [&](std::size_t i) {
    return read_at<Elf64_Shdr>(bytes, header.e_shoff + i * header.e_shentsize);
  };
  std::vector<std::string> found;
  for (std::size_t s = 0; s < header.e_shnum; ++s) {
    const Elf64_Shdr symbols = section(s);
    if (symbols.sh_type != SHT_SYMTAB) {
      continue;
    }
    const Elf64_Shdr names = section(symbols.sh_link);
    for (std::size_t i = 0; i < symbols.sh_size / sizeof(Elf64_Sym); ++i) {
      const auto symbol = read_at<Elf64_Sym>(bytes, symbols.sh_offset + i * sizeof(Elf64_Sym));
      const auto binding = ELF64_ST_BIND(symbol.st_info);
      if (symbol.st_shndx != SHN_UNDEF && ELF64_ST_TYPE(symbol.st_info) == STT_FUNC &&
          (binding == STB_WEAK || binding == STB_GNU_UNIQUE)) {
        found.emplace_back(bytes.data() + names.sh_offset + symbol.st_name);
      }
    }
  }
  return found;
}

/// Objects of the build this test belongs to whose paths hold `part`.
std::vector<fs::path> objects_with(const std::string& part) {
  std::vector<fs::path> files;
  for (const char* library :
       {"compute/CMakeFiles/ovir_compute.dir", "learning/CMakeFiles/ovir_learning.dir"}) {
    const fs::path folder = fs::path{OVIR_BINARY_DIR} / library;
    if (!fs::exists(folder)) {
      continue;
    }
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator{folder}) {
      const std::string name = entry.path().lexically_relative(folder).generic_string();
      if (name.find(part) != std::string::npos && name.ends_with(".o")) {
        files.push_back(entry.path());
      }
    }
  }
  return files;
}

TEST(kernel_objects, define_no_function_that_other_processors_could_be_given) {
#if defined(__x86_64__)
  constexpr std::array folders{"/avx2/", "/avx512/"};
#else
  constexpr std::array folders{"/dotprod/", "/i8mm/"};
#endif
  for (const char* isa : folders) {
    const std::vector<fs::path> files = objects_with(isa);
    if (files.empty()) {
      GTEST_SKIP() << "the object files of this build are gone";
    }
    for (const fs::path& file : files) {
      for (const std::string& name : shared_functions(file)) {
        ADD_FAILURE() << file.filename() << " defines " << name;
      }
    }
  }
}

TEST(kernel_objects, are_read_well_enough_to_find_such_functions_where_they_may_be) {
  const std::vector<fs::path> files = objects_with("/gguf_parser.cpp");
  if (files.empty()) {
    GTEST_SKIP() << "the object files of this build are gone";
  }
  EXPECT_FALSE(shared_functions(files.front()).empty());
}

} // namespace
} // namespace ovir::compute

#endif
