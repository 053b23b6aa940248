// Each rule of the house on small texts: one that breaks it, so that the rule is known to bite, and
// one that looks alike and is fine.
#include "tests/tidy/banned.hpp"
#include "tests/tidy/classes.hpp"
#include "tests/tidy/layering.hpp"
#include "tests/tidy/one_name.hpp"
#include "tests/tidy/orphans.hpp"
#include "tests/tidy/shape.hpp"

#include <gtest/gtest.h>

namespace ovir::tidy {
namespace {

std::size_t banned(const std::string& path, const std::string& text) {
  return check_banned_calls({path, text}).size();
}

std::size_t layering(const std::string& path, const std::string& text, std::string_view readme) {
  return check_layering({path, text}, folder_of(path), parse_may_include(readme).value()).size();
}

std::string function_of(std::size_t lines) {
  std::string text = "int f(int a) {\n";
  for (std::size_t i = 2; i < lines; ++i) {
    text += "  a += 1;\n";
  }
  return text + "}\n";
}

TEST(source_text, blanks_comments_and_literals_but_keeps_lines) {
  const std::string text = "a(); // rand()\n/* time(\n */ b(\"srand(\", '\\'', R\"(x\")\", 1'000);";
  const std::string code = without_comments_and_strings(text);
  EXPECT_EQ(code.size(), text.size());
  EXPECT_EQ(lines_of(code).size(), lines_of(text).size());
  EXPECT_EQ(code.find("rand"), std::string::npos);
  EXPECT_EQ(code.find("time"), std::string::npos);
  EXPECT_NE(code.find("1'000"), std::string::npos);
}

TEST(layering, allows_what_the_line_names_and_nothing_else) {
  const std::string_view readme = "x\n*May include:* messages, std, fmt; PCRE2 in words*.cpp\n";
  EXPECT_EQ(layering("compute/a.cpp", "#include \"messages/ids.hpp\"\n", readme), 0U);
  EXPECT_EQ(layering("compute/a.cpp", "#include \"compute/b.hpp\"\n", readme), 0U);
  EXPECT_EQ(layering("compute/a.cpp", "#include <vector>\n#include <fmt/core.h>\n", readme), 0U);
  EXPECT_EQ(layering("compute/a.cpp", "#include <caf/all.hpp>\n", readme), 1U);
  EXPECT_EQ(layering("compute/a.cpp", "#include \"storage/env/env.hpp\"\n", readme), 1U);
  EXPECT_EQ(layering("compute/a.cpp", "#include <unistd.h>\n", readme), 1U);
  EXPECT_EQ(layering("compute/a.cpp", "// #include <caf/all.hpp>\n", readme), 0U);
  EXPECT_EQ(layering("compute/a.cpp", "#include \"frame.capnp.h\"\n", readme), 1U);
  EXPECT_EQ(layering("a/a.cpp", "#include \"x.capnp.h\"\n", "May include: Cap'n Proto"), 0U);
}

TEST(layering, limits_a_clause_to_its_files) {
  const std::string_view readme = "May include: std; PCRE2 in words*.cpp\n";
  EXPECT_EQ(layering("compute/words_bpe.cpp", "#include <pcre2.h>\n", readme), 0U);
  EXPECT_EQ(layering("compute/other.cpp", "#include <pcre2.h>\n", readme), 1U);
}

TEST(layering, looks_at_rooms) {
  const auto allowed = parse_may_include("May include: messages, compute/base, std").value();
  const auto found = [&](const std::string& text) {
    return check_layering({"compute/text/a.cpp", text}, "compute/text", allowed).size();
  };
  EXPECT_EQ(found("#include \"compute/text/b.hpp\"\n"), 0U);
  EXPECT_EQ(found("#include \"compute/base/b.hpp\"\n"), 0U);
  EXPECT_EQ(found("#include \"compute/kernels/b.hpp\"\n"), 1U);
  EXPECT_EQ(found("#include \"compute/b.hpp\"\n"), 1U);
  EXPECT_EQ(room_of("compute/kernels/x86/panel.hpp"), "compute/kernels");
  EXPECT_EQ(room_of("compute/panel.hpp"), "compute");
}

TEST(layering, finds_circles_between_rooms) {
  const source up{"a/x/1.hpp", "#include \"a/y/2.hpp\"\n"};
  const source down{"a/y/2.hpp", "#include \"a/z/3.hpp\"\n"};
  const source back{"a/z/3.hpp", "\n#include \"a/x/4.hpp\"\n"};
  EXPECT_TRUE(check_circles({up, down}, {"a"}).empty());
  const auto found = check_circles({up, down, back}, {"a"});
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(to_string(found.front()), "a/z/3.hpp:2: includes a/x/4.hpp, which closes the circle "
                                      "a/x -> a/y -> a/z -> a/x");
  EXPECT_TRUE(check_circles({up, down, back}, {"b"}).empty());
}

TEST(layering, keeps_caf_and_actors_out_of_cores) {
  const std::string caf = "#include <caf/actor.hpp>\n";
  const std::string actor = "#include \"actors/request/lead_actor.hpp\"\n";
  EXPECT_EQ(check_actors_apart({"actors/request/lead_core.cpp", caf}).size(), 1U);
  EXPECT_EQ(check_actors_apart({"node/node_start.cpp", caf}).size(), 1U);
  EXPECT_EQ(check_actors_apart({"actors/request/lead_core.cpp", actor}).size(), 1U);
  EXPECT_TRUE(check_actors_apart({"actors/request/lead_actor.cpp", caf + actor}).empty());
  EXPECT_TRUE(check_actors_apart({"messages/caf/errors.cpp", caf}).empty());
  EXPECT_TRUE(check_actors_apart({"supervision/supervisor.hpp", caf}).empty());
}

TEST(shape, counts_the_sources_of_a_folder) {
  std::vector<source> files;
  for (std::size_t i = 0; i < files_per_folder_max; ++i) {
    files.push_back({"a/b/f" + std::to_string(i) + ".cpp", ""});
  }
  files.push_back({"a/b/README.md", ""});
  EXPECT_TRUE(check_folder_sizes(files).empty());
  files.push_back({"a/b/one_more.hpp", ""});
  EXPECT_EQ(check_folder_sizes(files).size(), 1U);
}

TEST(classes, counts_members_and_nothing_else) {
  const std::string text = "struct a : base {\n"
                           "  using other = int;\n"
                           "  static int shared;\n"
                           "  std::function<void(int)> call;\n"
                           "  int one{1};\n"
                           "  const b* two = nullptr;\n"
                           "  std::vector<int> three{\n"
                           "      1, 2};\n"
                           "  int f() const { int local; return local; }\n"
                           "  void g(int a = 1);\n"
                           "  struct inner {\n"
                           "    int four;\n"
                           "  };\n"
                           "  enum class kind { x };\n"
                           "  inner five;\n"
                           "};\n"
                           "int free;\n";
  const std::vector<class_extent> found = classes_of(text);
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].name, "a");
  EXPECT_EQ(found[0].members, 5U);
  EXPECT_EQ(found[1].name, "inner");
  EXPECT_EQ(found[1].members, 1U);
}

TEST(classes, limits_members_and_exceptions) {
  std::string text = "struct wide {\n";
  for (std::size_t i = 0; i <= members_max; ++i) {
    text += "  int member" + std::to_string(i) + ";\n";
  }
  const std::vector<source> files{{"actors/a/wide.hpp", text + "};\n"}};
  EXPECT_EQ(check_members(files, {}).size(), 1U);
  EXPECT_TRUE(check_members(files, {{"wide", "a reason"}}).empty());
  EXPECT_EQ(check_members(files, {{"wide", "a reason"}, {"narrow", "none"}}).size(), 1U);
}

TEST(classes, are_defined_in_one_source) {
  const std::vector<source> files{
      {"actors/a/x.hpp", "class x {\n  class part {\n  };\n};\n"},
      {"actors/a/x.cpp", "namespace ovir::actors {\nvoid x::f(int a) {\n}\n"
                         "int x::part::g() {\n}\nstd::string free(int a) {\n}\n}\n"},
      {"actors/a/y.cpp", "x::x(int a) : a_(std::move(a)) {\n}\nvoid actors::h() {\n}\n"},
      {"actors/a/z.cpp", "void y::f() {\n}\nvoid actors::k() {\n}\n"}};
  const std::vector<finding> found = check_one_source(files, {"actors"});
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].path, "actors/a/x.cpp");
}

TEST(classes, of_cores_have_tests_of_their_name) {
  std::vector<source> files{{"actors/a/x_core.hpp", ""}, {"tests/unit/a/y_core_test.cpp", ""}};
  EXPECT_EQ(check_core_tests(files).size(), 1U);
  files.push_back({"tests/unit/a/x_core_test.cpp", ""});
  EXPECT_TRUE(check_core_tests(files).empty());
}

TEST(plain_english, sees_riddles_in_prose_and_not_in_code) {
  const auto count = [](const std::string& text) {
    return check_plain_english({"docs/a.md", text}).size();
  };
  EXPECT_EQ(count("Whoever asks.\n"), 1U);
  EXPECT_EQ(count("It is for nobody.\nAnd somebody.\n"), 2U);
  EXPECT_EQ(count("`hole.shown_to_nobody`, `nobody` and\n```\nnobody\n```\n"), 0U);
  EXPECT_EQ(count("`a` nobody `b`\n"), 1U);
}

TEST(layering, refuses_a_readme_without_the_line_or_with_an_unknown_name) {
  EXPECT_FALSE(parse_may_include("# compute\nIncludes anything.\n"));
  EXPECT_EQ(check_names({"a/README.md", "nothing"}, {"messages"}).size(), 1U);
  EXPECT_EQ(check_names({"a/README.md", "May include: messages, boots"}, {"messages"}).size(), 1U);
  EXPECT_TRUE(check_names({"a/README.md", "May include: messages, std"}, {"messages"}).empty());
}

TEST(layering, sees_caf_in_the_auditor) {
  EXPECT_EQ(check_auditor_links("(NEEDED) Shared library: [libcaf_core.so.0.17.6]").size(), 1U);
  EXPECT_TRUE(check_auditor_links("(NEEDED) Shared library: [libc.so.6]").empty());
}

TEST(shape, keeps_file_names_plain) {
  EXPECT_TRUE(check_file_name({"compute/kernels/x86/a-b_c.hpp", ""}).empty());
  EXPECT_EQ(check_file_name({"compute/*.cpp", ""}).size(), 1U);
  EXPECT_EQ(check_file_name({"docs/a page.md", ""}).size(), 1U);
}

TEST(shape, counts_columns_in_characters) {
  EXPECT_EQ(check_columns({"a.cpp", std::string(101, 'x')}).size(), 1U);
  EXPECT_TRUE(check_columns({"a.cpp", std::string(100, 'x')}).empty());
  std::string umlauts;
  for (int i = 0; i < 100; ++i) {
    umlauts += "\xC3\xA4";
  }
  EXPECT_TRUE(check_columns({"a.cpp", umlauts}).empty());
}

TEST(shape, measures_functions) {
  EXPECT_TRUE(check_function_lengths({"a.cpp", function_of(70)}).empty());
  EXPECT_EQ(check_function_lengths({"a.cpp", function_of(71)}).size(), 1U);
  EXPECT_EQ(check_function_lengths({"a.cpp", "namespace a {\n" + function_of(71) + "}\n"}).size(),
            1U);
  const std::string method = "class x final : public y {\npublic:\n  x() : a_{1}, b_(2) {}\n" +
                             function_of(80) + "private:\n  int a_{1};\n};\n";
  ASSERT_EQ(functions_of(method).size(), 2U);
  EXPECT_EQ(functions_of(method)[0].lines, 1U);
  EXPECT_EQ(functions_of(method)[1].lines, 80U);
}

TEST(shape, takes_neither_types_nor_tables_for_functions) {
  EXPECT_TRUE(functions_of("struct a {\n  int b{0};\n};\nenum class c { d };\n").empty());
  EXPECT_TRUE(functions_of("const int a[] = {\n  f(1),\n  2,\n};\n").empty());
  EXPECT_TRUE(functions_of("constexpr std::array a{\n  f(1),\n};\n").empty());
  EXPECT_TRUE(functions_of("#define X(a) \\\n  do { \\\n } while (0)\n").empty());
  EXPECT_EQ(functions_of("template <class T>\nT f(T a)\n{}\n").size(), 0U);
  EXPECT_EQ(functions_of("template <class T>\nresult<T> f(T a) {\n}\n").size(), 1U);
  EXPECT_EQ(functions_of("extern \"C\" int f(int a) {\n  if (a) {\n  }\n}\n").size(), 1U);
}

TEST(shape, measures_files_and_their_first_lines) {
  std::string text;
  for (int i = 0; i < 601; ++i) {
    text += "a\n";
  }
  EXPECT_EQ(check_file_length({"a.cpp", text}).size(), 1U);
  EXPECT_TRUE(check_file_length({"a.cpp", text.substr(2)}).empty());
  EXPECT_EQ(check_form({"a/b.hpp", "#include <vector>\n"}, false).size(), 1U);
  EXPECT_TRUE(check_form({"a/b.hpp", "// why\n#pragma once\n"}, false).empty());
  const std::string late = "#include \"a/c.hpp\"\n#include \"a/b.hpp\"\n";
  EXPECT_EQ(check_form({"a/b.cpp", late}, true).size(), 1U);
  EXPECT_TRUE(check_form({"a/b.cpp", late}, false).empty());
  EXPECT_EQ(check_form({"a/b.cpp", "#include \"b.hpp\"\n"}, false).size(), 1U);
}

TEST(banned, keeps_chance_time_and_threads_out_of_the_cores) {
  EXPECT_EQ(banned("compute/a.cpp", "int x = rand();"), 1U);
  EXPECT_EQ(banned("compute/a.cpp", "std::random_device seed;"), 0U);
  EXPECT_EQ(banned("compute/a.cpp", "std::mt19937 g{1};\nstd::random_device{}();"), 1U);
  EXPECT_EQ(banned("storage/a.cpp", "auto t = time(nullptr);"), 1U);
  EXPECT_EQ(banned("storage/a.cpp", "auto t = steady_clock::now();"), 1U);
  EXPECT_EQ(banned("storage/env/env_posix.cpp", "auto t = steady_clock::now();"), 0U);
  EXPECT_EQ(banned("ledger/a.cpp", "std::thread t;"), 1U);
  EXPECT_EQ(banned("messages/a.hpp", "#include <mutex>"), 1U);
  EXPECT_EQ(banned("supervision/a.hpp", "std::thread t;"), 0U);
  EXPECT_EQ(banned("compute/a.cpp", "x.time(); decode_time(1); operand();"), 0U);
}

TEST(banned, keeps_libm_off_the_exact_path) {
  EXPECT_EQ(banned("compute/a.cpp", "float y = std::exp(x);"), 1U);
  EXPECT_EQ(banned("compute/a.cpp", "float y = tanhf(x);"), 1U);
  EXPECT_EQ(banned("compute/a.cpp", "y = pow(a, b);"), 1U);
  EXPECT_EQ(banned("compute/a.cpp", "v = _mm256_rsqrt_ps(x);"), 1U);
  EXPECT_EQ(banned("compute/a.cpp", "y = exact_exp(x); z = std::fma(a, b, std::sqrt(c));"), 0U);
  EXPECT_EQ(banned("tests/unit/a.cpp", "double y = std::exp(x);"), 0U);
}

TEST(banned, keeps_sleeps_and_fixed_ports_out_of_tests) {
  EXPECT_EQ(banned("tests/unit/a.cpp", "std::this_thread::sleep_for(1s);"), 1U);
  EXPECT_EQ(banned("actors/a.cpp", "::sleep(1);"), 1U);
  EXPECT_EQ(banned("actors/a.cpp", "void sleep() {}"), 0U);
  EXPECT_EQ(banned("tests/unit/a.cpp", "connect(\"127.0.0.1:8080\");"), 1U);
  EXPECT_EQ(banned("tests/unit/a.cpp", "connect(\"127.0.0.1:0\");"), 0U);
  EXPECT_EQ(banned("tests/unit/a.cpp", "TEST(a, DISABLED_b) {}"), 1U);
}

TEST(banned, keeps_handlers_narrow) {
  EXPECT_EQ(banned("actors/a.cpp", "auto f = [=] { g(); };"), 1U);
  EXPECT_EQ(banned("actors/a.cpp", "self->set_down_handler([&](const down_msg& m) {});"), 1U);
  EXPECT_EQ(banned("actors/a.cpp", "request.then([&, x](int a) {});"), 1U);
  EXPECT_EQ(banned("actors/a.cpp", "request.then([&x, y](int a) {});"), 0U);
  EXPECT_EQ(banned("actors/a.cpp", "std::find_if(a.begin(), a.end(), [&](int b) {});"), 0U);
  EXPECT_EQ(banned("supervision/a.cpp", "try { f(); } catch (...) {}"), 1U);
  EXPECT_EQ(banned("apps/ovir/main.cpp", "try { f(); } catch (...) {}"), 0U);
}

TEST(banned, finds_notes_machines_and_registries) {
  const std::string note = std::string{"// TO"} + "DO: later\n";
  EXPECT_EQ(check_words({"a.cpp", note}).size(), 1U);
  EXPECT_EQ(check_words({"a.md", std::string{"see /ho"} + "me/me/x"}).size(), 1U);
  EXPECT_EQ(check_words({"a.md", std::string{"https://registry.np"} + "mjs.org"}).size(), 1U);
  EXPECT_TRUE(
      check_words({"a.md", "the todos of mastodon, network/path, ovir-test-XXXXXX"}).empty());
}

TEST(one_name, finds_types_that_two_files_define_in_one_namespace) {
  const auto found = [](const std::string& first, const std::string& second) {
    return check_one_name({{"a.hpp", first}, {"b.hpp", second}}).size();
  };
  const std::string stage = "#pragma once\nnamespace ovir::a {\nstruct stage { int x{0}; };\n}\n";
  EXPECT_EQ(found(stage, stage), 1U);
  EXPECT_EQ(found(stage, "namespace ovir::a {\nclass stage final : public base<int> {};\n}"), 1U);
  EXPECT_EQ(found(stage, "namespace ovir::a {\nenum class stage : int { one };\n}"), 1U);
  EXPECT_EQ(found(stage, "namespace ovir::a {\ntemplate <class T>\nstruct stage {};\n}"), 1U);
  EXPECT_EQ(found(stage, "namespace ovir::b {\nstruct stage {};\n}"), 0U);
  EXPECT_EQ(found(stage, "namespace ovir::a {\nnamespace {\nstruct stage {};\n}\n}"), 0U);
  EXPECT_EQ(found(stage, "namespace ovir::a {\nstruct line {\n  struct stage {};\n};\n}"), 0U);
  EXPECT_EQ(found(stage, "namespace ovir::a {\nstruct stage;\nvoid f(struct stage& s) {}\n}"), 0U);
}

TEST(orphans, finds_headers_pages_and_scripts_nobody_leads_to) {
  const std::vector<source> files{
      {"a/used.hpp", ""},
      {"a/lonely.hpp", ""},
      {"a/lonely.cpp", "#include \"a/lonely.hpp\"\n#include \"a/used.hpp\"\n"},
      {"docs/README.md", "[one](one.md)"},
      {"README.md", "[docs](docs/README.md), run scripts/run"},
      {"docs/one.md", ""},
      {"docs/two.md", "[myself](two.md)"},
      {"scripts/run", ""},
      {"scripts/runaway", ""},
  };
  ASSERT_EQ(check_orphan_headers(files).size(), 1U);
  EXPECT_EQ(check_orphan_headers(files)[0].path, "a/lonely.hpp");
  ASSERT_EQ(check_orphan_pages(files).size(), 1U);
  EXPECT_EQ(check_orphan_pages(files)[0].path, "docs/two.md");
  ASSERT_EQ(check_orphan_scripts(files).size(), 1U);
  EXPECT_EQ(check_orphan_scripts(files)[0].path, "scripts/runaway");
}

TEST(orphans, finds_links_that_lead_nowhere) {
  const std::vector<source> files{
      {"docs/a.md", "[x](b.md) [y](../messages) [z](gone.md#part) [w](https://x.org/y)"}};
  const auto found = check_links(files, {"docs/a.md", "docs/b.md", "messages"});
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].what, "links to docs/gone.md, which does not exist");
}

TEST(orphans, finds_comments_that_name_pages_which_do_not_exist) {
  const std::vector<source> files{
      {"a.hpp",
       "// docs/adr/0006 and docs/adr/0006-x.md.\n// docs/gone.md\nf(\"docs/lost.md\");\n"}};
  const auto found = check_mentions(files, {"docs/adr/0006-x.md"});
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].line, 2U);
}

} // namespace
} // namespace ovir::tidy
