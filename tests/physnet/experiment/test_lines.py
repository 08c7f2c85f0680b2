from __future__ import annotations

import json
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from physnet.experiment.lines import KeyPath, key_lines, nearest

DOCUMENT = '''# a comment with [brackets] and = signs
title = "not [a.header] # nor a comment"
list = [
  "]", # a closing bracket in a comment: ]
  """ ]
  """,
]
after = 1

[data]
text = """
[not.a.table]
key = 1
"""
literal = \'\'\'
]\'\'\'
next = 2
a.b.c = 3
"quoted key".d = 4

[[layers]]
system = "x"
options = { inner = { deep = 1 }, list = [{ p = 1 }] }
  [layers.sub]
  x = 1
  [[layers.items]]
  y = 1
  [[layers.items]]
  y = 2
[[layers]]
system = "y"
[[layers.items]]
z = 1
[ late . parent ]
k = 1
[late]
own = 1'''

EXPECTED: dict[KeyPath, str] = {
    ("title",): "title",
    ("list",): "list = [",
    ("list", 1): "list = [",
    ("after",): "after",
    ("data",): "[data]",
    ("data", "text"): 'text = """',
    ("data", "literal"): "literal",
    ("data", "next"): "next",
    ("data", "a"): "a.b.c",
    ("data", "a", "b", "c"): "a.b.c",
    ("data", "quoted key", "d"): '"quoted key"',
    ("layers", 0): "[[layers]]",
    ("layers", 0, "options", "inner", "deep"): "options",
    ("layers", 0, "options", "list", 0, "p"): "options",
    ("layers", 0, "sub", "x"): "  x = 1",
    ("layers", 0, "items", 0, "y"): "  y = 1",
    ("layers", 0, "items", 1, "y"): "  y = 2",
    ("layers", 1, "system"): 'system = "y"',
    ("layers", 1, "items", 0): "[[layers.items]]",
    ("layers", 1, "items", 0, "z"): "z = 1",
    ("late", "parent", "k"): "k = 1",
    ("late",): "[late]",
    ("late", "own"): "own",
}


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_each_key_is_found_on_its_line(newline: str) -> None:
    rows = DOCUMENT.split("\n")
    lines = key_lines(newline.join(rows))
    for path, start in EXPECTED.items():
        assert rows[lines[path] - 1].startswith(start), path


def test_a_key_without_a_line_has_that_of_the_table_around_it() -> None:
    lines = key_lines("a = 1\n[b]\nc = 2\n")
    assert nearest(("b", "missing"), lines) == 2
    assert nearest(("b", "c", "deeper"), lines) == 3
    assert nearest(("nothing",), lines) is None


def test_what_is_not_toml_is_refused() -> None:
    with pytest.raises(tomllib.TOMLDecodeError):
        key_lines("a = 1\nb = [1,\n2\n")


def test_a_long_array_takes_one_attempt() -> None:
    # 20 000 lines tried one by one would be 2e8 lines of parsing, minutes; the timeout of the suite would see it
    assert key_lines("a = [\n" + "1,\n" * 20_000 + "]\nb = 1")[("b",)] == 20_003


KEYS = st.text(alphabet="abcdefgh_-0123456789", min_size=1, max_size=5) | st.sampled_from(
    ["a b", "x.y", "[z]", "#", "=", ""]
)
NOISE = st.lists(st.sampled_from(["", "# [x] = 1 ]", "   ", "\t# '''"]), max_size=3)
VALUES = st.sampled_from(
    [
        "1",
        "-2.5",
        "true",
        '"[x]"',
        '"a \\" # ]"',
        "'\\'",
        "[\n1, # ]\n2,\n]",
        '"""\n[t]\nk = 1\n"""',
        "'''\n# ]\n'''",
        "[ [1], [\n'''\n]\n'''] ]",
        "{ q = 1 }",
        "1979-05-27",
    ]
)


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, dict[KeyPath, int]]:
    """A document, and the line of every key in it, known because each line was counted when written."""
    rows: list[str] = []
    true: dict[KeyPath, int] = {}

    def write(text: str) -> int:
        rows.extend(draw(NOISE))
        rows.extend(text.split("\n"))
        return len(rows) - text.count("\n")

    def body(table: KeyPath, names: list[str]) -> None:
        for name in names:
            dotted = draw(st.booleans())
            key = f"{json.dumps(name)} . leaf" if dotted else json.dumps(name)
            space = draw(st.sampled_from(["", "  ", "\t"]))
            comment = draw(st.sampled_from(["", " # ] }"]))
            line = write(f"{space}{key} = {draw(VALUES)}{comment}")
            true[(*table, name)] = line
            if dotted:
                true[(*table, name, "leaf")] = line

    names = st.lists(KEYS, unique=True, max_size=4)
    body((), [f"top {name}" for name in draw(names)])
    for section in draw(st.lists(KEYS, unique=True, max_size=4)):
        quoted = json.dumps(section)
        if draw(st.booleans()):
            true[(section,)] = write(f"[{quoted}]")
            body((section,), draw(names))
            continue
        for position in range(draw(st.integers(1, 3))):
            table: KeyPath = (section, position)
            true[table] = write(f"[[ {quoted} ]]")
            body(table, draw(names))
            if draw(st.booleans()):
                true[(*table, "sub table")] = write(f'[{quoted}."sub table"]')
                body((*table, "sub table"), draw(names))
    return draw(st.sampled_from(["\n", "\r\n"])).join(rows), true


@given(documents())
def test_generated_documents_have_every_key_on_its_true_line(drawn: tuple[str, dict[KeyPath, int]]) -> None:
    text, true = drawn
    tomllib.loads(text)  # the generator writes TOML
    lines = key_lines(text)
    assert {path: lines.get(path) for path in true} == true
