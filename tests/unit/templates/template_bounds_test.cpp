#include "messages/limits/templates.hpp"
#include "templates/interpreter.hpp"
#include "templates/parser.hpp"

#include <gtest/gtest.h>

#include <string>

namespace ovir::templates {
namespace {

result<marked_text> rendered(const std::string& source) {
  OVIR_ASSIGN(const syntax_tree tree, parse_template(source));
  dict_value variables;
  variables.set(value::text("messages"), value::list({}));
  return interpreter{tree, variables, std::nullopt}.run();
}

std::string error_of(const std::string& source, errc wanted) {
  const auto out = rendered(source);
  if (out) {
    return "was rendered: " + out->bytes().substr(0, 80);
  }
  EXPECT_EQ(out.error().code, wanted) << out.error().message;
  return out.error().message;
}

TEST(chat_template, that_loops_or_explodes_is_stopped) {
  const std::string loops =
      "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}";
  error_of(loops, errc::over_limit);
  error_of("{{ range(10 ** 15) }}", errc::over_limit);
  error_of("{{ 'x' * 10 ** 12 }}", errc::over_limit);
  error_of("{% set ns = namespace(a='x') %}{% for i in range(60) %}{% set ns.a = ns.a + ns.a %}"
           "{% endfor %}",
           errc::over_limit);
  error_of("{% set ns = namespace(a=[1]) %}{% for i in range(60) %}{% set ns.a = [ns.a, ns.a] %}"
           "{% endfor %}{{ ns.a }}",
           errc::over_limit);
  error_of("{% set ns = namespace(a='') %}{% for i in range(90) %}{% set ns.a = {'k': ns.a} %}"
           "{% endfor %}",
           errc::over_limit);
  error_of("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", errc::over_limit);
  error_of("{{ 9223372036854775807 + 1 }}", errc::over_limit);
  error_of("{% for a in range(2000) %}{{ 'y' * 8000 }}{% endfor %}", errc::over_limit);
  error_of("{{ ('x' * 4000000) | replace('', 'yyyyyyyy') }}", errc::over_limit);
  error_of("{{ ('a\\n' * 2000000) | indent(1000) }}", errc::over_limit);
}

TEST(chat_template, that_is_too_deep_or_too_long_is_refused_before_it_runs) {
  error_of("{{ " + std::string(5'000, '(') + "1" + std::string(5'000, ')') + " }}",
           errc::malformed);
  error_of("{{ " + std::string(90'000, '-') + "1 }}", errc::over_limit);
  std::string sum = "{{ 1";
  std::string ifs;
  for (int i = 0; i < 1'000; ++i) {
    sum += "+1";
    ifs += "{% if a %}";
  }
  error_of(sum + " }}", errc::over_limit);
  error_of(ifs, errc::over_limit);
  error_of(std::string(limits::template_bytes_max + 1, 'x'), errc::over_limit);
  std::string many = "{{ [";
  for (std::size_t i = 0; i < limits::template_tokens_max; ++i) {
    many += "1,";
  }
  error_of(many + "] }}", errc::over_limit);
}

TEST(chat_template, that_is_wrong_is_refused_with_its_line) {
  EXPECT_NE(error_of("a\nb {{ 1 + }}", errc::malformed).find("line 2"), std::string::npos);
  EXPECT_NE(error_of("\n\n{{ nothing.here }}", errc::malformed).find("line 3"), std::string::npos);
  for (const char* source : {"{% if x %}",
                             "{% endif %}",
                             "{{ 1",
                             "{# no end",
                             "{% raw %}",
                             "{% for in x %}{% endfor %}",
                             "{% set %}",
                             "{{ 'x }}",
                             "{{ (1] }}",
                             "{{ f(a=1, 2) }}",
                             "{{ 1 2 }}",
                             "{% nonsense %}",
                             "{{ 1 / 0 }}",
                             "{{ 'a' + 1 }}",
                             "{{ [] < 1 }}",
                             "{% set a.b = 1 %}",
                             "{{ missing() }}",
                             "{{ range(1, 2, 0) }}",
                             "{% for a, b in [1] %}{% endfor %}",
                             "{{ '\\ud800' }}",
                             "{{ none | length }}",
                             "\xff",
                             "{{ ''.split('') }}",
                             "{{ x | tojson }}",
                             "{{ [1:2:3:4] }}"}) {
    error_of(source, errc::malformed);
  }
  for (const char* source :
       {"{% include 'x' %}", "{% extends 'x' %}", "{% import 'x' as y %}", "{{ 1 | urlize }}",
        "{{ 1 is filter }}", "{{ [].append(1) }}", "{{ 'É' | lower }}", "{{ f(*a) }}",
        "{{ '%s' % 'x' }}", "{{ strftime_now('%Y') }}", "{{ namespace() }}"}) {
    error_of(source, errc::unsupported);
  }
  EXPECT_EQ(error_of("{{ raise_exception('no such role') }}", errc::invalid_argument),
            "the model's chat template refuses this conversation: no such role");
}

TEST(chat_template, cannot_keep_itself_alive) {
  // Circles of namespaces and macros; the leak checker looks at what is left.
  EXPECT_TRUE(rendered("{% set a = namespace() %}{% set a.a = a %}"
                       "{% macro f() %}{% set g = f %}{% endmacro %}{% set a.f = f %}{{ f() }}"));
}

} // namespace
} // namespace ovir::templates
