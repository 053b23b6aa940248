#include "apps/ovir/node/node_config.hpp"
#include "messages/limits/general.hpp"
#include "messages/signing.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

namespace ovir::apps {
namespace {

using supervision::node_options;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string key_a(64, 'a');
const std::string key_b(64, 'b');

/// Lines 1 to 5; what a test adds begins in line 6.
const std::string scheduler = "name = \"n\"\n"
                              "cluster = \"c\"\n"
                              "roles = [\"scheduler\"]\n"
                              "listen = \"n.example:7300\"\n"
                              "state = \"state\"\n";
const std::string worker = "name = \"n\"\n"
                           "cluster = \"c\"\n"
                           "roles = [\"worker\"]\n"
                           "listen = \"n.example:7300\"\n"
                           "state = \"state\"\n";
const std::string model = "[[model]]\npath = \"m.gguf\"\n";

std::string token_for(role_set roles) {
  const std::array<std::byte, secret_key::seed_size> seed{};
  const std::array<std::byte, 16> nonce{};
  const secret_key admin = secret_key::from_seed(seed);
  return to_text(issue_token(admin, admin.id(), roles, 2'000'000'000, nonce));
}

node_options parsed(const std::string& text) {
  const auto options = parse_node_config("conf/n.toml", text);
  EXPECT_TRUE(options) << text << "\n" << (options ? "" : options.error().message);
  return options ? *options : node_options{};
}

struct mistake {
  std::string text;
  std::string says; ///< how the error begins, after "conf/n.toml"
};

template <std::size_t N>
void expect_refused(const mistake (&mistakes)[N]) {
  for (const mistake& m : mistakes) {
    SCOPED_TRACE(m.text);
    const auto options = parse_node_config("conf/n.toml", m.text);
    ASSERT_FALSE(options);
    EXPECT_EQ(options.error().code, errc::malformed);
    EXPECT_EQ(options.error().message.substr(0, m.says.size() + 11), "conf/n.toml" + m.says);
  }
}

TEST(node_config, takes_the_defaults_of_what_is_not_said) {
  const node_options o = parsed("name = \"n\"\ncluster = \"c\"\nroles = [\"scheduler\"]\n"
                                "listen = \"n.example:7300\"\n[limits]\n[probe]\n[drain]\n[log]\n"
                                "[chaos]\n");
  const node_options defaults;
  EXPECT_EQ(o.memory_bytes, defaults.memory_bytes);
  EXPECT_EQ(o.threads, defaults.threads);
  EXPECT_EQ(o.context_max, defaults.context_max);
  EXPECT_EQ(o.prefill_chunk, defaults.prefill_chunk);
  EXPECT_EQ(o.probe_interval, defaults.probe_interval);
  EXPECT_EQ(o.probe_timeout, defaults.probe_timeout);
  EXPECT_EQ(o.suspect_timeout, defaults.suspect_timeout);
  EXPECT_EQ(o.drain_wait, defaults.drain_wait);
  EXPECT_EQ(o.log_level, defaults.log_level);
  EXPECT_EQ(o.log_bytes_max, defaults.log_bytes_max);
  EXPECT_EQ(o.log_files_max, defaults.log_files_max);
  EXPECT_EQ(o.log_file, "");
  EXPECT_EQ(o.state, "");
  EXPECT_FALSE(o.chaos);
  EXPECT_FALSE(o.announce);
  EXPECT_EQ(o.link, defaults.link);
  EXPECT_TRUE(o.link.shared_memory);
  EXPECT_EQ(o.link.busy_read.count(), 0);
  EXPECT_EQ(o.reach, supervision::reach_option{});
}

TEST(node_config, takes_every_value) {
  role_set roles;
  roles.add(role::worker).add(role::store);
  const std::string token = token_for(roles);
  const node_options o = parsed("name = \"n\"\ncluster = \"c\"\nroles = [\"worker\", \"store\"]\n"
                                "listen = \"[::]:7300\"\nadvertise = \"[fd00::1]:7301\"\n"
                                "admin_listen = \"n.example:7310\"\nstate = \"/var/ovir\"\n"
                                "seeds = [\"s.example:1\", \"t.example:2\"]\n"
                                "join_token = \"" +
                                token + "\"\nadmins = [\"" + key_a +
                                "\"]\n"
                                "[[access]]\nkey = \"" +
                                key_a +
                                "\"\nroles = [\"ledger\"]\n"
                                "[[access]]\nkey = \"" +
                                key_b +
                                "\"\nroles = [\"operator\"]\n"
                                "[[model]]\npath = \"embedded\"\nlayers = \"0-1\"\n"
                                "[[model]]\npath = \"embedded\"\nlayers = \"3-3\"\n"
                                "[limits]\nmemory_mib = 3\nthreads = 4\ncontext = 5\n"
                                "prefill_chunk = 6\n"
                                "[probe]\ninterval_ms = 10\ntimeout_ms = 20\nsuspect_ms = 20\n"
                                "[drain]\nwait_s = 0\n"
                                "[log]\nlevel = \"debug\"\nfile = \"n.log\"\nmax_mib = 2\n"
                                "files = 1\n[chaos]\nenabled = true\n"
                                "[cache]\nenabled = false\nfolder = \"kept\"\nmemory_mib = 7\n"
                                "disk_mib = 0\nshare = true\npeers = false\n"
                                "owner_key_file = \"owner.key\"\n[lan]\nannounce = true\n"
                                "[link]\nshared_memory = false\nbusy_read_us = 50\n"
                                "transport = \"auto\"\n"
                                "[reach]\nthrough_nat = false\nport_mapping = \"off\"\n");
  EXPECT_EQ(o.name, "n");
  EXPECT_EQ(o.cluster, "c");
  EXPECT_EQ(o.roles, roles);
  EXPECT_EQ(o.listen, "[::]:7300");
  EXPECT_EQ(o.advertise, "[fd00::1]:7301");
  EXPECT_EQ(o.admin_listen, "n.example:7310");
  EXPECT_EQ(o.state, "/var/ovir");
  EXPECT_EQ(o.seeds, (std::vector<std::string>{"s.example:1", "t.example:2"}));
  EXPECT_EQ(o.join_token, token);
  ASSERT_EQ(o.admins.size(), 1U);
  EXPECT_EQ(to_hex(o.admins[0]), key_a);
  ASSERT_EQ(o.access.size(), 2U);
  EXPECT_TRUE(o.access[0].roles.has(role::ledger));
  EXPECT_TRUE(o.access[1].roles.has(role::operate));
  EXPECT_EQ(o.memory_bytes, std::uint64_t{3} << 20U);
  EXPECT_EQ(o.threads, 4U);
  EXPECT_EQ(o.context_max, 5U);
  EXPECT_EQ(o.prefill_chunk, 6U);
  EXPECT_EQ(o.probe_interval.count(), 10);
  EXPECT_EQ(o.probe_timeout.count(), 20);
  EXPECT_EQ(o.suspect_timeout.count(), 20);
  EXPECT_EQ(o.drain_wait.count(), 0);
  EXPECT_EQ(o.log_level, "debug");
  EXPECT_EQ(o.log_file, "conf/n.log");
  EXPECT_EQ(o.log_bytes_max, std::uint64_t{2} << 20U);
  EXPECT_EQ(o.log_files_max, 1U);
  EXPECT_TRUE(o.chaos);
  EXPECT_TRUE(o.announce);
  EXPECT_EQ(o.link, (supervision::link_option{false, std::chrono::microseconds{50}}));
  EXPECT_EQ(o.transport, actors::link_transport::automatic);
  EXPECT_EQ(o.reach, (supervision::reach_option{false, false}));
  EXPECT_EQ(o.cache, (supervision::cache_option{false, "conf/kept", std::uint64_t{7} << 20U, 0,
                                                true, false, "conf/owner.key"}));
}

TEST(node_config, says_which_groups_a_worker_leads_and_joins) {
  const auto group = parsed(worker + model + "[group]\nlead = [\"" + key_a + "\"]\njoin = [\"" +
                            key_b + "\"]\npatience_ms = 70\n")
                         .group;
  ASSERT_EQ(group.lead.size(), 1U);
  EXPECT_EQ(to_hex(group.lead[0]), key_a);
  ASSERT_EQ(group.join.size(), 1U);
  EXPECT_EQ(to_hex(group.join[0]), key_b);
  EXPECT_EQ(group.patience.count(), 70);
  EXPECT_FALSE(group.chooses);
}

TEST(node_config, counts_both_layers_that_are_named) {
  const node_options o =
      parsed(worker + model + "layers = \"0-15\"\n" + model + "layers = \"16-1023\"\n");
  ASSERT_EQ(o.models.size(), 2U);
  EXPECT_EQ(o.models[0].layers, (layer_range{0, 16}));
  EXPECT_EQ(o.models[1].layers, (layer_range{16, 1024}));
  EXPECT_EQ(parsed(worker + model).models[0].layers, std::nullopt);
}

TEST(node_config, takes_a_model_that_guesses_where_requests_are_driven) {
  const std::string draft = "draft = \"small.gguf\"\n";
  EXPECT_EQ(parsed(scheduler + model + draft).models[0].draft, "conf/small.gguf");
  EXPECT_EQ(parsed(scheduler + model).models[0].draft, "");
  const auto refused = parse_node_config("n.toml", worker + model + draft);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("'draft' guesses for requests"));
}

TEST(node_config, takes_paths_from_the_folder_of_the_file) {
  const std::string text = worker + model + "[[model]]\npath = \"../up.gguf\"\n" +
                           "[[model]]\npath = \"/abs.gguf\"\n[[model]]\npath = \"embedded\"\n";
  const node_options o = parsed(text);
  EXPECT_EQ(o.state, "conf/state");
  EXPECT_EQ(o.models[0].path, "conf/m.gguf");
  EXPECT_EQ(o.models[1].path, "up.gguf");
  EXPECT_EQ(o.models[2].path, "/abs.gguf");
  EXPECT_EQ(o.models[3].path, "embedded");
  const auto beside = parse_node_config("n.toml", text);
  ASSERT_TRUE(beside);
  EXPECT_EQ(beside->state, "state");
}

TEST(node_config, refuses_what_is_missing_unknown_or_of_another_type) {
  const mistake mistakes[]{
      {"name = \n", ":1:8: "},
      {"[}]\n", ":1:2: "},        // toml++ 3.3 asserts that this cannot be
      {"x = [}\n", ":1:6: "},     // and this
      {"\u00e9 = 3\n", ":1:1: "}, // and calls this unreachable
      {"name = 3\n", ":1:8: 'name' must be a printable name of 1 to 64 bytes"},
      {"name = \"\"\n", ":1:8: 'name' must be a printable name"},
      {"name = \"a\\u001b\"\n", ":1:8: 'name' must be a printable name"},
      {"cluster = \"c\"\n", ":1:1: the key 'name' is missing"},
      {"name = \"n\"\n", ":1:1: the key 'cluster' is missing"},
      {"name = \"n\"\ncluster = \"" + std::string(65, 'c') + "\"\n",
       ":2:11: 'cluster' must be a printable name of 1 to 64 bytes"},
      {"name = \"n\"\ncluster = \"c\"\n", ":1:1: the key 'roles' is missing"},
      {scheduler + "colour = 3\n", ":6:1: the file has no key 'colour'; its keys are name, "},
      {scheduler + "[colour]\n", ":6:2: the file has no key 'colour'"},
      {scheduler + "name = \"n\"\n", ":6:"},
      {scheduler + "limits = 3\n", ":6:10: 'limits' must be a section, begun by [limits]"},
      {scheduler + "[[limits]]\n", ":6:1: 'limits' must be a section, begun by [limits]"},
      {scheduler + "[model]\n", ":6:1: 'model' must be tables, each begun by [[model]]"},
      {scheduler + "seeds = \"a:1\"\n", ":6:9: 'seeds' must be a list"},
      {scheduler + "seeds = [3]\n", ":6:10: 'seeds' must be a printable address"},
      {scheduler + "[limits]\ncores = 2\n", ":7:1: [limits] has no key 'cores'; its keys are "},
      {scheduler + "[probe]\nx = 2\n", ":7:1: [probe] has no key 'x'; its keys are interval_ms"},
      {scheduler + "[drain]\nx = 2\n", ":7:1: [drain] has no key 'x'; its keys are wait_s"},
      {scheduler + "[log]\nformat = \"xml\"\n", ":7:10: 'format' is none of text, json"},
      {scheduler + "[metrics]\nlisten = \"0.0.0.0:0\"\n",
       ":7:10: 'listen' is an address that other machines reach"},
      {scheduler + "[metrics]\n", ":6:1: the key 'listen' is missing"},
      {scheduler + "[log]\nx = 2\n", ":7:1: [log] has no key 'x'; its keys are level, format"},
      {scheduler + "[chaos]\nx = 2\n", ":7:1: [chaos] has no key 'x'; its keys are enabled"},
      {scheduler + "[link]\ntransport = \"udp\"\n",
       ":7:13: 'transport' is none of tcp, quic, auto"},
      {scheduler + "[lan]\nx = 2\n", ":7:1: [lan] has no key 'x'; its keys are announce"},
      {scheduler + "[lan]\nannounce = true\n", ":7:12: 'announce' tells the first key of"},
      {scheduler + "[reach]\nx = 2\n", ":7:1: [reach] has no key 'x'; its keys are through_nat"},
      {scheduler + "[reach]\nport_mapping = \"on\"\n",
       ":7:16: 'port_mapping' is none of auto, off"},
      {scheduler + "[group]\nx = 2\n", ":7:1: [group] has no key 'x'; its keys are lead, join"},
      {scheduler + "[group]\nlead = \"auto\"\n", ":7:8: 'lead' is for a worker"},
      {scheduler + "[group]\njoin = [\"me\"]\n", ":7:9: 'join' must be a key"},
      {scheduler + "[group]\npatience_ms = 5\n", ":7:15: "},
      {scheduler + "[[access]]\nx = 2\n", ":7:1: [[access]] has no key 'x'; its keys are key"},
      {scheduler + "[[model]]\nx = 2\n", ":7:1: [[model]] has no key 'x'; its keys are path"},
      {scheduler + "[[model]]\n", ":6:1: the key 'path' is missing"},
      {scheduler + "[[access]]\n", ":6:1: the key 'key' is missing"},
      {scheduler + "[[access]]\nkey = \"" + key_a + "\"\n", ":6:1: the key 'roles' is missing"},
  };
  expect_refused(mistakes);
}

TEST(node_config, refuses_values_outside_their_bounds) {
  const mistake mistakes[]{
      {scheduler + "[limits]\nmemory_mib = -1\n",
       ":7:14: 'memory_mib' must be between 0 and 16777216, not -1"},
      {scheduler + "[limits]\nmemory_mib = 16777217\n", ":7:14: 'memory_mib' must be between"},
      {scheduler + "[limits]\nmemory_mib = 1.5\n", ":7:14: 'memory_mib' must be a whole number"},
      {scheduler + "[cache]\ndisk_mib = 16777217\n", ":7:12: 'disk_mib' must be between 0 and"},
      {scheduler + "[cache]\nshare = 1\n", ":7:9: 'share' must be"},
      {scheduler + "[limits]\nthreads = 257\n", ":7:11: 'threads' must be between 0 and 256"},
      {scheduler + "[limits]\nthreads = \"4\"\n", ":7:11: 'threads' must be a whole number"},
      {scheduler + "[limits]\ncontext = 1048577\n", ":7:11: 'context' must be between 0 and"},
      {scheduler + "[limits]\nprefill_chunk = 0\n",
       ":7:17: 'prefill_chunk' must be between 1 and 4096, not 0"},
      {scheduler + "[limits]\nprefill_chunk = 9223372036854775807\n", ":7:17: 'prefill_chunk' "},
      {scheduler + "[probe]\ninterval_ms = 9\n", ":7:15: 'interval_ms' must be between 10 and 60"},
      {scheduler + "[probe]\ntimeout_ms = 60001\n", ":7:14: 'timeout_ms' must be between 10"},
      {scheduler + "[link]\nbusy_read_us = 10001\n", ":7:16: 'busy_read_us' must be between 0 and"},
      {scheduler + "[link]\nx = 2\n",
       ":7:1: [link] has no key 'x'; its keys are transport, shared_memory"},
      {scheduler + "[probe]\nsuspect_ms = 0\n", ":7:14: 'suspect_ms' must be between 10 and"},
      {scheduler + "[drain]\nwait_s = 3601\n", ":7:10: 'wait_s' must be between 0 and 3600"},
      {scheduler + "[log]\nlevel = \"loud\"\n",
       ":7:9: 'level': 'loud' is no log level; they are debug, info, warn, error"},
      {scheduler + "[log]\nmax_mib = 0\n", ":7:11: 'max_mib' must be between 1 and 4096"},
      {scheduler + "[log]\nfiles = 101\n", ":7:9: 'files' must be between 1 and 100"},
      {scheduler + "[chaos]\nenabled = 1\n", ":7:11: 'enabled' must be true or false"},
  };
  expect_refused(mistakes);
}

TEST(node_config, refuses_roles_that_are_none) {
  const std::string start = "name = \"n\"\ncluster = \"c\"\n";
  const std::string access = scheduler + "[[access]]\nkey = \"" + key_a + "\"\n";
  const mistake mistakes[]{
      {start + "roles = \"worker\"\n", ":3:9: 'roles' must be a list"},
      {start + "roles = []\n", ":3:9: 'roles' is empty; name at least one"},
      {start + "roles = [\"boss\"]\n", ":3:10: 'roles': 'boss' is not a role; the roles are"},
      {start + "roles = [\"store\", \"store\"]\n", ":3:19: 'roles' names store twice"},
      {start + "roles = [\"store\", 3]\n", ":3:19: 'roles' must be a printable word"},
      {start + "roles = [\"store\", \"reader\"]\n", ":3:19: a node cannot be reader; its roles"},
      {access + "roles = [\"worker\", \"operator\"]\n", ":8:9: 'roles' mixes those of nodes and"},
      {access + "roles = [\"worker\", \"worker\"]\n", ":8:20: 'roles' names worker twice"},
  };
  expect_refused(mistakes);
}

TEST(node_config, refuses_addresses_nobody_can_use) {
  const std::string start = "name = \"n\"\ncluster = \"c\"\nroles = [\"scheduler\"]\n";
  const mistake mistakes[]{
      {start, ":1:1: nobody could reach this node; set 'listen' to HOST:PORT"},
      {start + "listen = \"n.example\"\n", ":4:10: 'listen' must be HOST:PORT"},
      {start + "listen = \"n.example:65536\"\n", ":4:10: 'listen' must be HOST:PORT"},
      {start + "listen = \"n.example:07\"\n", ":4:10: 'listen' must be HOST:PORT"},
      {start + "listen = \":7300\"\n", ":4:10: 'listen' must be HOST:PORT"},
      {start + "listen = \"fd00::1:7300\"\n", ":4:10: 'listen' must be HOST:PORT"},
      {start + "listen = \"0.0.0.0:0\"\n", ":4:10: 'listen' is every address of this machine"},
      {start + "listen = \"[::]:0\"\n", ":4:10: 'listen' is every address of this machine"},
      {start + "advertise = \"n.example:1\"\nadmin_listen = \"n.example:2\"\n",
       ":4:13: 'advertise' tells others where this node listens, but 'listen' is not set"},
      {scheduler + "advertise = \"n.example:0\"\n", ":6:13: 'advertise' needs the port that"},
      {scheduler + "advertise = \"[::]:1\"\n",
       ":6:13: 'advertise' must be an address that others can connect to, not [::]"},
      {scheduler + "admin_listen = \"n.example:7300\"\n",
       ":6:16: 'admin_listen' is the same as 'listen'; leave it out"},
      {start + "admin_listen = \"n.example:1\"\nseeds = [\"s.example:1\"]\n",
       ":5:9: 'seeds' joins a cluster, whose nodes connect to one another; set 'listen'"},
      {scheduler + "seeds = [\"s.example:1\", \"s.example:0\"]\n", ":6:25: 'seeds' needs the port"},
      {scheduler + "seeds = [\"s.example:1\", \"s.example:1\"]\n", ":6:25: 'seeds' names s.exa"},
      {scheduler + "seeds = [\"n.example:7300\"]\n",
       ":6:10: 'seeds' names n.example:7300, which is this node itself"},
  };
  expect_refused(mistakes);
}

TEST(node_config, refuses_keys_and_tokens_that_mean_nothing) {
  const std::string access = "[[access]]\nkey = \"" + key_a + "\"\nroles = [\"worker\"]\n";
  const std::string seeds = "seeds = [\"s.example:1\"]\n";
  role_set ledger;
  ledger.add(role::ledger);
  const mistake mistakes[]{
      {scheduler + "admins = [\"" + key_a + "\", \"" + key_a + "\"]\n",
       ":6:79: 'admins' names aaaaaaaa... twice"},
      {scheduler + "admins = [\"abc\"]\n", ":6:11: 'admins' must be a node's key: 64 lower-case"},
      {scheduler + "admins = [\"" + std::string(64, 'A') + "\"]\n", ":6:11: 'admins' must be a"},
      {scheduler + "admins = [\"" + std::string(64, '0') + "\"]\n", ":6:11: 'admins' must be a"},
      {scheduler + access + access, ":10:7: an [[access]] for aaaaaaaa... came before"},
      {scheduler + "join_token = \"ovir-join-x\"\n", ":6:14: 'join_token' is damaged; copy the"},
      {scheduler + "join_token = \"" + token_for(member_roles) + "\"\n",
       ":6:14: 'join_token' is shown to other members, but 'seeds' names none, and without"},
      {scheduler + seeds + "join_token = \"" + token_for(ledger) + "\"\n",
       ":7:14: 'join_token' is for the roles ledger, but 'roles' has scheduler"},
  };
  expect_refused(mistakes);
}

TEST(node_config, refuses_models_that_contradict_one_another_or_the_roles) {
  const mistake mistakes[]{
      {worker, ":3:9: a worker needs a model to hold; write a [[model]]"},
      {worker + "model = []\n", ":6:9: 'model' must be tables"},
      {scheduler + model + "layers = \"0-1\"\n",
       ":8:10: 'layers' are held by workers, and this node's roles are scheduler"},
      {worker + model + "layers = 3\n", ":8:10: 'layers' must be a printable range"},
      {worker + model + "layers = \"0-1-2\"\n", ":8:10: 'layers' must be the first and the last"},
      {worker + model + "layers = \"-1\"\n", ":8:10: 'layers' must be the first and the last"},
      {worker + model + "layers = \"00-1\"\n", ":8:10: 'layers' must be the first and the last"},
      {worker + model + "layers = \"0 - 1\"\n", ":8:10: 'layers' must be the first and the last"},
      {worker + model + "layers = \"0-4294967296\"\n", ":8:10: 'layers' must be the first and"},
      {worker + model + "layers = \"2-1\"\n", ":8:10: 'layers' must name a first layer that is"},
      {worker + model + "layers = \"0-1024\"\n", ":8:10: 'layers' must name a first layer that"},
      {worker + model + "layers = \"0-3\"\n" + model + "layers = \"3-4\"\n",
       ":11:10: these layers overlap the 0-3 of a [[model]] before"},
      {worker + model + "layers = \"0-3\"\n[[model]]\npath = \"x/../m.gguf\"\nlayers = \"2-2\"\n",
       ":11:10: these layers overlap the 0-3 of a [[model]] before"},
      {worker + model + model, ":9:8: a [[model]] with this path came before"},
      {worker + model + "layers = \"0-3\"\n" + model, ":10:8: a [[model]] with this path came"},
  };
  expect_refused(mistakes);
}

TEST(node_config, refuses_times_that_contradict_one_another_where_one_is_set) {
  const mistake mistakes[]{
      {scheduler + "[probe]\ninterval_ms = 300\n",
       ":7:15: 'timeout_ms' is 250, shorter than the 300 of 'interval_ms'"},
      {scheduler + "[probe]\ninterval_ms = 300\ntimeout_ms = 299\n",
       ":8:14: 'timeout_ms' is 299, shorter than the 300 of 'interval_ms'"},
      {scheduler + "[probe]\ntimeout_ms = 601\n",
       ":7:14: 'suspect_ms' is 600, shorter than the 601 of 'timeout_ms'"},
      {scheduler + "[probe]\ntimeout_ms = 200\nsuspect_ms = 199\n",
       ":8:14: 'suspect_ms' is 199, shorter than the 200 of 'timeout_ms'"},
  };
  expect_refused(mistakes);
}

TEST(node_config, refuses_paths_that_wait_for_a_shell) {
  const mistake mistakes[]{
      {scheduler + "[log]\nfile = \"~/n.log\"\n", ":7:8: 'file' is taken as it stands: ~ and"},
      {scheduler + "[log]\nfile = \"$X/n.log\"\n", ":7:8: 'file' is taken as it stands"},
      {worker + "[[model]]\npath = \"a/${B}\"\n", ":7:8: 'path' is taken as it stands"},
      {worker + "[[model]]\npath = \"\"\n", ":7:8: 'path' must be a printable path of 1 to 4095"},
      {"name = \"n\"\ncluster = \"c\"\nroles = [\"store\"]\nstate = \"~\"\n",
       ":4:9: 'state' is taken as it stands"},
  };
  expect_refused(mistakes);
}

TEST(node_config, bounds_how_many_there_are) {
  std::string access;
  for (std::size_t i = 0; i <= limits::access_entries_max; ++i) {
    access += fmt::format("[[access]]\nkey = \"{:064x}\"\nroles = [\"store\"]\n", i + 1);
  }
  std::string seeds = "seeds = [";
  for (std::size_t i = 0; i <= limits::seeds_max; ++i) {
    seeds += fmt::format("\"s{}.example:1\", ", i);
  }
  std::string models;
  for (std::size_t i = 0; i <= limits::node_models_max; ++i) {
    models += fmt::format("[[model]]\npath = \"m{}.gguf\"\n", i);
  }
  const mistake mistakes[]{
      {scheduler + access, ":6:1: there are 1025 [[access]], more than the 1024 there may be"},
      {scheduler + seeds + "]\n", ":6:9: 'seeds' has 65 elements, more than the 64 there may be"},
      {scheduler + models, ":6:1: there are 65 [[model]], more than the 64 there may be"},
  };
  expect_refused(mistakes);
}

TEST(node_config, refuses_a_file_beyond_its_bound_before_reading_it) {
  const std::string large(limits::config_file_bytes_max + 1, ' ');
  const auto options = parse_node_config("n.toml", large);
  ASSERT_FALSE(options);
  EXPECT_EQ(options.error().code, errc::over_limit);
}

TEST(node_config, makes_what_the_parser_quotes_printable) {
  const auto options = parse_node_config("n.toml", "name = \x1b[31m\n");
  ASSERT_FALSE(options);
  EXPECT_THAT(options.error().message, Not(HasSubstr("\x1b")));
}

TEST(node_config, takes_letters_of_any_language) {
  const node_options o = parsed("# \u00e9\u0448\nname = \"caf\u00e9 \u6771\" # \u00fc\n"
                                "cluster = \"\u0448\"\nroles = [\"store\"] # \u00df\n"
                                "listen = \"n.example:7300\"\n");
  EXPECT_EQ(o.name, "caf\u00e9 \u6771");
  EXPECT_EQ(o.cluster, "\u0448");
}

TEST(node_config, is_closed_to_strangers_unless_it_says_open) {
  EXPECT_FALSE(parsed(scheduler).open);
  EXPECT_FALSE(parsed(scheduler + "membership = \"invited\"\n").open);
  const node_options o = parsed(scheduler + "membership = \"open\"\n");
  EXPECT_TRUE(o.open);
  EXPECT_THAT(describe(o), HasSubstr("membership            open: unknown keys are workers\n"));
  EXPECT_EQ(document_of(o)["membership"], "open");
  const mistake mistakes[]{
      {scheduler + "membership = \"all\"\n", ":6:14: 'membership' is none of invited, open"}};
  expect_refused(mistakes);
}

TEST(node_config, shows_options_without_the_token) {
  const std::string token = token_for(member_roles);
  const node_options o = parsed(
      worker + "seeds = [\"s.example:1\"]\njoin_token = \"" + token + "\"\n[[access]]\nkey = \"" +
      key_a + "\"\nroles = [\"reader\", \"operator\"]\n" + model + "layers = \"2-5\"\n");
  const std::string text = describe(o);
  EXPECT_THAT(text, HasSubstr("roles                 worker\n"));
  EXPECT_THAT(text, HasSubstr("model                 conf/m.gguf, layers 2-5\n"));
  EXPECT_THAT(text, HasSubstr("join_token            (set)\n"));
  EXPECT_THAT(text, HasSubstr("limits.memory_mib     0 (80 % of the machine's memory)\n"));
  EXPECT_THAT(text, HasSubstr("access                " + key_a + " reader, operator\n"));
  EXPECT_THAT(text, Not(HasSubstr(token)));
  const json document = document_of(o);
  EXPECT_THAT(document.dump(), Not(HasSubstr(token)));
  EXPECT_EQ(document["join_token_set"], true);
  EXPECT_EQ(document["access"][0]["roles"], (json{"reader", "operator"}));
  EXPECT_EQ(document["models"][0]["layers"]["first"], 2);
  EXPECT_EQ(document["models"][0]["layers"]["last"], 5);
  EXPECT_EQ(document["drain"]["wait_s"], 30);
  EXPECT_EQ(document["log"]["file"], nullptr);
}

TEST(node_config, shows_every_key) {
  const std::string text = fmt::format("\n{}", describe(parsed(scheduler)));
  for (const std::string& key : node_config_keys()) {
    const std::string table = key.substr(0, key.find('.'));
    const bool many = table == "access" || table == "model";
    EXPECT_THAT(text, HasSubstr(fmt::format("\n{} ", many ? table : key)));
  }
}

TEST(node_config, says_who_keeps_the_ledger_or_where_it_is_kept) {
  const node_options uses = parsed(scheduler + "[ledger]\nkeeper = \"" + key_a +
                                   "\"\nwhen_away = \"serve\"\nfollow = true\n"
                                   "rewards = \"factors\"\nclients = \"self\"\n"
                                   "ask_ppm = 750000\nask_max_ppm = 2000000\n");
  EXPECT_EQ(uses.ledger.rewards, ledger::reward_rule::factors);
  EXPECT_TRUE(uses.ledger.clients_pay);
  EXPECT_EQ(uses.ledger.ask_ppm, 750'000U);
  EXPECT_EQ(uses.ledger.ask_max_ppm, 2'000'000U);
  ASSERT_EQ(uses.ledger.keepers.size(), 1U);
  EXPECT_EQ(to_hex(uses.ledger.keepers.front()), key_a);
  EXPECT_TRUE(uses.ledger.serves_unpaid);
  EXPECT_TRUE(uses.ledger.follow);
  const std::string keeper = "name = \"n\"\ncluster = \"c\"\nroles = [\"ledger\"]\n"
                             "listen = \"n.example:7300\"\nstate = \"state\"\n";
  const node_options keeps =
      parsed(keeper + "[ledger]\nfolder = \"books\"\npolicy = \"rules.toml\"\nmint_keys = [\"" +
             key_b + "\"]\n");
  EXPECT_EQ(keeps.ledger.folder, "conf/books");
  EXPECT_EQ(keeps.ledger.policy, "conf/rules.toml");
  ASSERT_EQ(keeps.ledger.mint_keys.size(), 1U);
  const node_options neither = parsed(scheduler);
  EXPECT_TRUE(neither.ledger.keepers.empty());
  EXPECT_FALSE(neither.ledger.serves_unpaid);
  EXPECT_EQ(neither.ledger.rewards, ledger::reward_rule::work);
  EXPECT_FALSE(neither.ledger.clients_pay);
  EXPECT_EQ(neither.ledger.ask_ppm, 1'000'000U);
}

TEST(node_config, refuses_a_ledger_that_makes_no_sense) {
  const mistake mistakes[] = {
      {scheduler + "[ledger]\nfolder = \"books\"\n", ":7:10: 'folder' is for who keeps"},
      {scheduler + "[ledger]\nclients = \"all\"\n", ":7:11: 'clients' is"},
      {scheduler + "[ledger]\nask_ppm = 0\n", ":7:11: 'ask_ppm'"},
      {scheduler + "[ledger]\nask_max_ppm = 1000000001\n", ":7:15: 'ask_max_ppm'"},
      {scheduler + "[ledger]\nkeeper = \"me\"\n", ":7:10: 'keeper' must be a key"},
      {scheduler + "[ledger]\nwhen_away = \"wait\"\n", ":7:13: 'when_away' is"},
      {scheduler + "[ledger]\nrewards = \"all\"\n", ":7:11: 'rewards' is"},
      {scheduler + "[ledger]\nkepeer = \"x\"\n", ":7:1: "},
  };
  expect_refused(mistakes);
}

TEST(node_config, says_when_the_tokens_of_all_requests_are_told) {
  EXPECT_EQ(parsed(scheduler + "[audit]\n").audit_reveal, reveal_when::at_once);
  EXPECT_EQ(parsed(scheduler + "[audit]\nreveal = \"after\"\n").audit_reveal, reveal_when::after);
  const mistake mistakes[]{
      {scheduler + "[audit]\nreveal = \"later\"\n", ":7:10: reveal 'later' is"},
      {scheduler + "[audit]\nreveal = 1\n", ":7:10: 'reveal' must be"}};
  expect_refused(mistakes);
}

TEST(node_config, says_which_nodes_may_see_requests) {
  const std::string one(64, 'a');
  const std::string two(64, 'b');
  const auto plain = parsed(scheduler).privacy;
  EXPECT_EQ(plain.requests, privacy_mode::none);
  EXPECT_EQ(plain.first_layers, limits::ends_first_usual);
  EXPECT_EQ(plain.last_layers, limits::ends_last_usual);
  const auto ends = parsed(scheduler + "[privacy]\nrequests = \"ends\"\nnodes = [\"" + one +
                           "\", \"" + two + "\"]\nfirst_layers = 3\nlast_layers = 4\n")
                        .privacy;
  EXPECT_EQ(ends.requests, privacy_mode::ends);
  EXPECT_EQ(ends.nodes.size(), 2U);
  EXPECT_EQ(ends.first_layers, 3U);
  EXPECT_EQ(ends.last_layers, 4U);
  const mistake mistakes[]{
      {scheduler + "[privacy]\nrequests = \"all\"\n", ":7:12: privacy 'all' is"},
      {scheduler + "[privacy]\nnodes = [\"me\"]\n", ":7:10: 'nodes' must be a key:"},
      {scheduler + "[privacy]\nnodes = [\"" + one + "\", \"" + one + "\"]\n",
       ":7:78: 'nodes' names aaaaaaaa... twice"},
      {scheduler + "[privacy]\nfirst_layers = 0\n", ":7:16: 'first_layers'"},
      {scheduler + "[privacy]\nlast_layers = 65\n", ":7:15: 'last_layers'"},
      {scheduler + "[privacy]\nlayers = 1\n", ":7:1: "}};
  expect_refused(mistakes);
}

TEST(node_config, shows_what_is_attested_of_the_node) {
  std::array<std::byte, secret_key::seed_size> seed{};
  const secret_key attestor = secret_key::from_seed(seed);
  seed[0] = std::byte{1};
  const node_id other = secret_key::from_seed(seed).id();
  const attestation mine = attest(attestor, attestor.id(), {{}, "eu", {}}, 2'000'000'000);
  const std::string text = "\"" + to_text(mine) + "\"";
  EXPECT_TRUE(parsed(scheduler).attestations.empty());
  EXPECT_EQ(parsed("attestations = [" + text + ", " + text + "]\n" + scheduler).attestations,
            (std::vector{mine, mine}));
  const std::string foreign =
      "\"" + to_text(attest(attestor, other, {{}, "eu", {}}, 2'000'000'000)) + "\"";
  const mistake mistakes[]{
      {"attestations = [\"eu\"]\n" + scheduler, ":1:17: 'attestations': an attestation is"},
      {"attestations = [" + text + ", " + foreign + "]\n" + scheduler,
       ":1:" + std::to_string(19 + text.size()) + ": 'attestations' are about "},
      {"attestations = [" + text + ", " + text + ", " + text + ", " + text + ", " + text + "]\n" +
           scheduler,
       ":1:16: 'attestations' "}};
  expect_refused(mistakes);
}

} // namespace
} // namespace ovir::apps
