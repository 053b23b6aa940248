#include "bench/ledger/side.hpp"

#include <libpq-fe.h>

#include <array>
#include <cstdio>

namespace ovir::bench {

namespace {

std::string hex_of(const std::string& bytes) {
  std::string out = "\\x";
  for (const char c : bytes) {
    std::array<char, 3> two{};
    std::snprintf(two.data(), two.size(), "%02x", static_cast<unsigned char>(c));
    out += two.data();
  }
  return out;
}

class postgres_side final : public side {
public:
  postgres_side(const std::string& connection, bool set_based) : set_based_(set_based) {
    db_ = PQconnectdb(connection.c_str());
    if (PQstatus(db_) != CONNECTION_OK) {
      give_up(PQerrorMessage(db_));
    }
    run("DROP TABLE IF EXISTS account, transfer");
    run("CREATE TABLE account(id int PRIMARY KEY, balance bigint NOT NULL CHECK(balance >= 0)) "
        "WITH (fillfactor = 50)");
    run("CREATE TABLE transfer(id bytea PRIMARY KEY, debit int, credit int, amount bigint)");
    run("INSERT INTO account SELECT g, " + std::to_string(first_balance) +
        " FROM generate_series(0, " + std::to_string(accounts - 1) + ") g");
    // One statement moves everything: balances change once per account and batch.
    prepare("batch",
            "WITH t AS (SELECT * FROM unnest($1::bytea[], $2::int[], $3::int[], $4::bigint[]) AS "
            "u(id, debit, credit, amount)), "
            "i AS (INSERT INTO transfer SELECT * FROM t), "
            "d AS (SELECT a, sum(m) AS m FROM (SELECT debit AS a, -amount AS m FROM t UNION ALL "
            "SELECT credit, amount FROM t) x GROUP BY a) "
            "UPDATE account SET balance = balance + d.m FROM d WHERE account.id = d.a");
    prepare("insert", "INSERT INTO transfer VALUES($1, $2, $3, $4)");
    prepare("move", "UPDATE account SET balance = balance + $1 WHERE id = $2");
  }
  ~postgres_side() override { PQfinish(db_); }
  postgres_side(const postgres_side&) = delete;
  postgres_side& operator=(const postgres_side&) = delete;

  void commit(const std::vector<transfer_asked>& batch) override {
    set_based_ ? commit_set(batch) : commit_pipelined(batch);
  }
  std::uint64_t balances() override { return number("SELECT sum(balance) FROM account"); }
  std::uint64_t transfers() override { return number("SELECT count(*) FROM transfer"); }

private:
  void commit_set(const std::vector<transfer_asked>& batch) {
    std::array<std::string, 4> lists;
    for (const transfer_asked& t : batch) {
      lists[0] += (lists[0].empty() ? "{\"\\" : ",\"\\") + hex_of(id_bytes(t.number)) + "\"";
      lists[1] += (lists[1].empty() ? "{" : ",") + std::to_string(t.from);
      lists[2] += (lists[2].empty() ? "{" : ",") + std::to_string(t.to);
      lists[3] += (lists[3].empty() ? "{" : ",") + std::to_string(t.amount);
    }
    std::array<const char*, 4> values{};
    for (std::size_t i = 0; i < lists.size(); ++i) {
      lists[i] += "}";
      values[i] = lists[i].c_str();
    }
    check(PQexecPrepared(db_, "batch", 4, values.data(), nullptr, nullptr, 0));
  }
  void send(const char* name, const std::vector<std::string>& texts) {
    std::array<const char*, 4> values{};
    for (std::size_t i = 0; i < texts.size(); ++i) {
      values[i] = texts[i].c_str();
    }
    if (PQsendQueryPrepared(db_, name, static_cast<int>(texts.size()), values.data(), nullptr,
                            nullptr, 0) == 0) {
      give_up(PQerrorMessage(db_));
    }
  }
  void commit_pipelined(const std::vector<transfer_asked>& batch) {
    PQenterPipelineMode(db_);
    // What lies between two syncs of a pipeline is one transaction.
    for (const transfer_asked& t : batch) {
      send("insert", {hex_of(id_bytes(t.number)), std::to_string(t.from), std::to_string(t.to),
                      std::to_string(t.amount)});
      send("move", {"-" + std::to_string(t.amount), std::to_string(t.from)});
      send("move", {std::to_string(t.amount), std::to_string(t.to)});
    }
    PQpipelineSync(db_);
    for (std::size_t i = 0; i < batch.size() * 3; ++i) {
      check(PQgetResult(db_));
      PQclear(PQgetResult(db_)); // the null behind each result
    }
    check(PQgetResult(db_)); // of the sync: committed
    PQexitPipelineMode(db_);
  }
  void check(PGresult* result) {
    const ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && status != PGRES_PIPELINE_SYNC) {
      give_up(PQerrorMessage(db_));
    }
    PQclear(result);
  }
  void run(const std::string& sql) { check(PQexec(db_, sql.c_str())); }
  void prepare(const char* name, const char* sql) { check(PQprepare(db_, name, sql, 0, nullptr)); }
  std::uint64_t number(const char* sql) {
    PGresult* const result = PQexec(db_, sql);
    const std::uint64_t n = std::stoull(PQgetvalue(result, 0, 0));
    PQclear(result);
    return n;
  }

  bool set_based_;
  PGconn* db_{nullptr};
};

} // namespace

std::unique_ptr<side> make_postgres(const std::string& connection, bool set_based) {
  return std::make_unique<postgres_side>(connection, set_based);
}

} // namespace ovir::bench
