#include "actors/nat/port_keeper.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <mutex>
#include <vector>

namespace ovir::actors {
namespace {

/// A router as its answers say, and what it was asked.
struct router_book {
  std::mutex guard;
  result<mapped_port> answer{
      mapped_port{"203.0.113.7:7300", std::chrono::seconds{3'600}, "NAT-PMP"}};
  std::vector<std::uint16_t> mapped;
  std::vector<std::uint16_t> unmapped;
  bool cancelled{false};
};

class fake_router final : public router {
public:
  explicit fake_router(router_book& book) : book_(book) {}
  result<mapped_port> look() override { return book_.answer; }
  result<mapped_port> map(std::uint16_t port, std::chrono::seconds) override {
    const std::lock_guard lock{book_.guard};
    book_.mapped.push_back(port);
    return book_.answer;
  }
  void cancel() noexcept override {
    const std::lock_guard lock{book_.guard};
    book_.cancelled = true;
  }
  result<void> unmap(std::uint16_t port) override {
    const std::lock_guard lock{book_.guard};
    book_.unmapped.push_back(port);
    return {};
  }

private:
  router_book& book_;
};

struct port_news {
  std::optional<std::string> address;
  std::string finding;
};

/// What a keeper tells first of a router.
port_news first_news(router_book& book) {
  std::promise<port_news> told;
  auto news = told.get_future();
  bool once = false;
  port_keeper keeper{std::make_unique<fake_router>(book), 7300,
                     [&](const std::optional<std::string>& address, const std::string& finding) {
                       if (!std::exchange(once, true)) {
                         told.set_value({address, finding});
                       }
                     }};
  return news.get();
}

TEST(port_keeper, maps_the_port_and_takes_it_back_at_its_end) {
  router_book book;
  const port_news news = first_news(book);
  EXPECT_EQ(news.address, "203.0.113.7:7300");
  EXPECT_EQ(news.finding, "mapped to 203.0.113.7:7300 by NAT-PMP");
  EXPECT_THAT(book.mapped, testing::ElementsAre(7300)) << "a lease of an hour is asked for once";
  EXPECT_THAT(book.unmapped, testing::ElementsAre(7300));
  EXPECT_TRUE(book.cancelled);
}

TEST(port_keeper, says_why_there_is_no_mapping_and_takes_nothing_back) {
  router_book book;
  book.answer = error{errc::not_found, "no router maps ports here"};
  const port_news news = first_news(book);
  EXPECT_EQ(news.address, std::nullopt);
  EXPECT_EQ(news.finding, "no router maps ports here");
  EXPECT_TRUE(book.unmapped.empty());
}

TEST(port_keeper, takes_back_what_a_router_mapped_to_nowhere) {
  router_book book;
  book.answer = mapped_port{"192.168.0.1:7300", std::chrono::seconds{60}, "UPnP"};
  EXPECT_EQ(first_news(book).address, std::nullopt);
  EXPECT_THAT(book.unmapped, testing::ElementsAre(7300));
}

} // namespace
} // namespace ovir::actors
