#pragma once
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
namespace dbg {
struct entry {
  double t;
  const char* tag;
  int tid;
};
inline entry* table = new entry[200000];
inline std::atomic<int> count{0};
inline double now() {
  return std::chrono::duration<double, std::micro>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}
inline void stamp(const char* tag) {
  static const bool on = std::getenv("OVIR_DBG") != nullptr;
  if (!on)
    return;
  int i = count++;
  if (i < 200000)
    table[i] = {now(), tag, (int)gettid()};
}
struct dumper {
  ~dumper() {
    if (const char* p = std::getenv("OVIR_DBG")) {
      FILE* f = fopen((std::string(p) + std::to_string(getpid())).c_str(), "w");
      for (int i = 0; i < count && i < 200000; ++i)
        fprintf(f, "%.1f %s %d %d\n", table[i].t, table[i].tag, getpid(), table[i].tid);
      fclose(f);
    }
  }
};
inline dumper d;
} // namespace dbg
