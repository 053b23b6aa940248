"""What Jinja2 makes of every template here with every conversation, as one JSON document.

Usage: render.py FOLDER. The environment is the one that Hugging Face's transformers render chat
templates in; needs python3-jinja2.
"""

import json
import pathlib
import sys

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.sandbox


class Generation(jinja2.ext.Extension):
    """{% generation %}: marks what a model is trained on."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.Scope(body).set_lineno(line)


class Refused(Exception):
    pass


def refuse(message):
    raise Refused(message)


def as_json(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(
        x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def main():
    folder = pathlib.Path(sys.argv[1])
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = as_json
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = lambda form: "2024-07-26" if form == "%Y-%m-%d" else "26 Jul 2024"
    conversations = json.loads((folder / "conversations.json").read_text("utf-8"))
    out = {}
    for path in sorted(folder.glob("*.jinja")):
        # As it stands in a file's metadata: with its own kind of newlines.
        template = environment.from_string(path.read_bytes().decode("utf-8"))
        for name, variables in conversations.items():
            given = {"tools": None, "documents": None, "bos_token": "<s>", "eos_token": "</s>"}
            given.update(variables)
            try:
                text = template.render(**given)
            except Refused as e:
                text = {"refused": str(e)}
            except (jinja2.exceptions.TemplateError, TypeError) as e:
                text = {"error": str(e)}
            out.setdefault(path.stem, {})[name] = text
    json.dump(out, sys.stdout)


main()
