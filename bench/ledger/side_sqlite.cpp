#include "bench/ledger/side.hpp"

#include <sqlite3.h>

#include <unordered_set>

namespace ovir::bench {

namespace {

class sqlite_side final : public side {
public:
  sqlite_side(const std::string& folder, bool ids_in_memory) : ids_in_memory_(ids_in_memory) {
    if (sqlite3_open((folder + "/db").c_str(), &db_) != SQLITE_OK) {
      give_up(sqlite3_errmsg(db_));
    }
    // As fast as it gets while each commit is on the disk when it returns.
    run("PRAGMA page_size=4096; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
        "PRAGMA locking_mode=EXCLUSIVE; PRAGMA cache_size=-262144; PRAGMA temp_store=MEMORY;"
        "PRAGMA wal_autocheckpoint=16384; PRAGMA mmap_size=1073741824;");
    run("CREATE TABLE account(id INTEGER PRIMARY KEY, balance INTEGER NOT NULL "
        "CHECK(balance >= 0));");
    run(ids_in_memory
            ? "CREATE TABLE transfer(n INTEGER PRIMARY KEY, id BLOB, debit INTEGER, credit "
              "INTEGER, "
              "amount INTEGER);"
            : "CREATE TABLE transfer(id BLOB PRIMARY KEY, debit INTEGER, credit INTEGER, amount "
              "INTEGER) WITHOUT ROWID;");
    insert_ =
        prepare(ids_in_memory ? "INSERT INTO transfer(id, debit, credit, amount) VALUES(?,?,?,?)"
                              : "INSERT INTO transfer VALUES(?,?,?,?)");
    debit_ = prepare("UPDATE account SET balance = balance - ?1 WHERE id = ?2");
    credit_ = prepare("UPDATE account SET balance = balance + ?1 WHERE id = ?2");
    begin_ = prepare("BEGIN IMMEDIATE");
    end_ = prepare("COMMIT");
    run("BEGIN");
    for (std::uint32_t a = 0; a < accounts; ++a) {
      run("INSERT INTO account VALUES(" + std::to_string(a) + "," + std::to_string(first_balance) +
          ");");
    }
    run("COMMIT");
  }
  ~sqlite_side() override {
    for (sqlite3_stmt* s : {insert_, debit_, credit_, begin_, end_}) {
      sqlite3_finalize(s);
    }
    sqlite3_close(db_);
  }
  sqlite_side(const sqlite_side&) = delete;
  sqlite_side& operator=(const sqlite_side&) = delete;

  void commit(const std::vector<transfer_asked>& batch) override {
    step(begin_);
    for (const transfer_asked& t : batch) {
      const std::string id = id_bytes(t.number);
      if (ids_in_memory_ && !ids_.insert(id).second) {
        give_up("an id came twice");
      }
      sqlite3_bind_blob(insert_, 1, id.data(), static_cast<int>(id.size()), SQLITE_STATIC);
      sqlite3_bind_int64(insert_, 2, t.from);
      sqlite3_bind_int64(insert_, 3, t.to);
      sqlite3_bind_int64(insert_, 4, static_cast<sqlite3_int64>(t.amount));
      step(insert_);
      move(debit_, t.from, t.amount);
      move(credit_, t.to, t.amount);
    }
    step(end_);
  }
  std::uint64_t balances() override { return number("SELECT sum(balance) FROM account"); }
  std::uint64_t transfers() override { return number("SELECT count(*) FROM transfer"); }

private:
  void run(const std::string& sql) {
    char* why = nullptr;
    if (sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, &why) != SQLITE_OK) {
      give_up(why);
    }
  }
  sqlite3_stmt* prepare(const char* sql) {
    sqlite3_stmt* s = nullptr;
    if (sqlite3_prepare_v3(db_, sql, -1, SQLITE_PREPARE_PERSISTENT, &s, nullptr) != SQLITE_OK) {
      give_up(sqlite3_errmsg(db_));
    }
    return s;
  }
  void step(sqlite3_stmt* s) {
    if (sqlite3_step(s) != SQLITE_DONE) {
      give_up(sqlite3_errmsg(db_));
    }
    sqlite3_reset(s);
  }
  void move(sqlite3_stmt* s, std::uint32_t account, std::uint64_t amount) {
    sqlite3_bind_int64(s, 1, static_cast<sqlite3_int64>(amount));
    sqlite3_bind_int64(s, 2, account);
    step(s);
    if (sqlite3_changes(db_) != 1) {
      give_up("there is no such account");
    }
  }
  std::uint64_t number(const char* sql) {
    sqlite3_stmt* const s = prepare(sql);
    sqlite3_step(s);
    const auto n = static_cast<std::uint64_t>(sqlite3_column_int64(s, 0));
    sqlite3_finalize(s);
    return n;
  }

  bool ids_in_memory_;
  sqlite3* db_{nullptr};
  sqlite3_stmt* insert_{nullptr};
  sqlite3_stmt* debit_{nullptr};
  sqlite3_stmt* credit_{nullptr};
  sqlite3_stmt* begin_{nullptr};
  sqlite3_stmt* end_{nullptr};
  std::unordered_set<std::string> ids_;
};

} // namespace

std::unique_ptr<side> make_sqlite(const std::string& folder, bool ids_in_memory) {
  return std::make_unique<sqlite_side>(folder, ids_in_memory);
}

} // namespace ovir::bench
