#include "tests/swarm/fiber.hpp"

#include <cstdint>
#include <utility>

namespace ovir::swarm {

namespace {

constexpr std::size_t stack_bytes = std::size_t{1} << 20U;

} // namespace

fiber::fiber() : stack_(std::make_unique_for_overwrite<std::byte[]>(stack_bytes)) {}

// makecontext passes integers alone.
void fiber::enter(unsigned low, unsigned high) {
  auto* const self = reinterpret_cast<fiber*>(std::uintptr_t{low} | (std::uintptr_t{high} << 32U));
  self->work_();
  self->work_ = nullptr;
}

void fiber::start(std::function<void()> work) {
  work_ = std::move(work);
  getcontext(&own_);
  own_.uc_stack.ss_sp = stack_.get();
  own_.uc_stack.ss_size = stack_bytes;
  own_.uc_link = &caller_;
  const auto self = reinterpret_cast<std::uintptr_t>(this);
  makecontext(&own_, reinterpret_cast<void (*)()>(&fiber::enter), 2,
              static_cast<unsigned>(self & 0xffffffffU), static_cast<unsigned>(self >> 32U));
  resume();
}

void fiber::resume() { swapcontext(&caller_, &own_); }

void fiber::pause() { swapcontext(&own_, &caller_); }

} // namespace ovir::swarm
