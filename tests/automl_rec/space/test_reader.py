import math
import re
from pathlib import Path
from typing import Any

import pytest

from automl_rec.errors import SpaceError
from automl_rec.space.reader import Node, load, parse


def plain(node: Node) -> Any:
    match node.content:
        case list(items):
            return [plain(item) for item in items]
        case dict(entries):
            return {key: plain(entry) for key, entry in entries.items()}
        case content:
            return content


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1e-3", 0.001),
        ("1E5", 100000.0),
        ("3.", 3.0),
        (".5", 0.5),
        ("-7", -7),
        ("007", 7),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("2024-05-31", "2024-05-31"),
        ("0x10", "0x10"),
        ("no", "no"),
        ("on", "on"),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("'3'", "3"),
        ('"true"', "true"),
        ("''", ""),
        (".inf", math.inf),
        ("9" * 400, math.inf),
        ("4MB", "4MB"),
    ],
)
def test_plain_words_follow_yaml_1_2(written: str, value: object) -> None:
    found = plain(parse(f"a: {written}", "s.yaml"))["a"]
    assert (found, type(found)) == (value, type(value))


def test_every_value_and_key_knows_its_line_and_its_name() -> None:
    root = parse("a:\n  b: 1\n  c:\n    - x\n    - d: 2\n", "s.yaml")
    assert isinstance(root.content, dict)
    a = root.content["a"]
    assert isinstance(a.content, dict)
    assert (root.keys["a"], a.where, a.keys["c"]) == ("s.yaml:1", "s.yaml:2", "s.yaml:3")
    c = a.content["c"]
    assert isinstance(c.content, list)
    assert [item.where for item in c.content] == ["s.yaml:4", "s.yaml:5"]
    last = c.content[1].content
    assert isinstance(last, dict)
    assert last["d"].name == "a.c.d"


def test_an_alias_stands_for_its_anchor() -> None:
    assert plain(parse("a: &x [1, 2]\nb: *x\n", "s.yaml")) == {"a": [1, 2], "b": [1, 2]}


def bomb(levels: int) -> str:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    for level in range(1, levels):
        lines.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]")
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "s.yaml: the file is empty. Write at least data, objectives and model."),
        ("# only words\n", "s.yaml: the file is empty."),
        ("- a\n", "s.yaml:1: a space must be a mapping of sections, got [a]."),
        ("just words", "s.yaml:1: a space must be a mapping of sections, got just words."),
        ("a: 1\nb: [1, 2\nc: 3\n", "s.yaml:3: the YAML cannot be read: "),
        ("a: 1\n\tb: 2\n", "s.yaml:2: "),
        ("a:\n\t- 2\n", "Indent with spaces, not with tabs."),
        ("a: b: c\n", "s.yaml:1: the YAML cannot be read: mapping values are not allowed here."),
        ("a: 1\nb: 2\na: 3\n", "s.yaml:3: a stands twice, first in line 1. Remove one."),
        ("a: {b: 1,\n    b: 2}", "s.yaml:2: b stands twice, first in line 1."),
        ("a: !!python/object/apply:os.system [ls]", "s.yaml:1: tags such as tag:yaml.org,2002:p"),
        ("a: !!str 5", "s.yaml:1: tags such as tag:yaml.org,2002:str have no meaning"),
        ("a: *nobody", "s.yaml:1: the YAML cannot be read: found undefined alias 'nobody'."),
        ("a: &a [*a]", "s.yaml:1: a space must hold at most 10000 values in 20 levels"),
        (bomb(9), "a space must hold at most 10000 values in 20 levels"),
        ("a: " + "[" * 50_000, "s.yaml:1: values are nested deeper than 20 levels."),
        ("a: 1\n---\nb: 2\n", "s.yaml:2: the YAML cannot be read: expected a single document"),
        ("? [1, 2]\n: 3\n", "s.yaml:1: a key must be a word. Write name: value."),
        ("'': 3\n", "s.yaml:1: a key must be a word."),
        ("a: \x00", "s.yaml: "),
        ('a: "\\UFFFFFFFF"', "s.yaml: an escape in a text is wrong"),
        ('a: 1\nb: "x\\ud83d"', "s.yaml:2: a text holds a character that no file name and no cell"),
        ('a: 1\n"\\udfff": 1', "s.yaml:2: a text holds a character that no file name and no cell"),
        ('a: "x\\0y"', "s.yaml:1: a text holds a character that no file name and no cell can hold"),
    ],
)
def test_what_cannot_be_read_is_refused_with_file_and_line(text: str, message: str) -> None:
    with pytest.raises(SpaceError, match=re.escape(message)):
        parse(text, "s.yaml")


@pytest.mark.parametrize(
    "value",
    [
        "!!python/object/apply:os.mkdir [{made}]",
        "!!python/object/apply:builtins.open [{made}, w]",
        "!!python/object/new:pathlib.Path.touch [{made}]",
        "!!python/object/apply:builtins.eval [\"open('{made}', 'w')\"]",
        "!!python/name:os.system ''",
        "!include {other}",
        "!!binary aGk=",
    ],
)
def test_a_space_executes_and_includes_nothing(value: str, tmp_path: Path) -> None:
    made, other = tmp_path / "made", tmp_path / "other.yaml"
    other.write_text("b: 1\n")
    text = f"a: {value.format(made=made, other=other)}\n"
    with pytest.raises(SpaceError, match=r"s.yaml:1: tags such as .* have no meaning in a space"):
        parse(text, "s.yaml")
    assert [path.name for path in tmp_path.iterdir()] == ["other.yaml"]


def test_what_other_dialects_include_is_plain_text(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("b: 1\n")
    text = f"a: ${{{tmp_path}/other.yaml}}\n'<<': {{b: 2}}\nc: $HOME\n"
    found = plain(parse(text, "s.yaml"))
    assert found == {"a": f"${{{tmp_path}/other.yaml}}", "<<": {"b": 2}, "c": "$HOME"}


def test_a_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_bytes("\ufeffa: é\n".encode())
    assert plain(parse(load(path), "s.yaml")) == {"a": "é"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "the file cannot be read: no such file or directory. Check its path."),
        (b"a: 1\nb: \xff\n", "s.yaml:2: the text is not UTF-8. Save it as UTF-8."),
        (b"a" * 300_000, "a space must be at most 256 kB, got 292 kB."),
    ],
)
def test_a_file_that_is_no_text_is_refused(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "s.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SpaceError, match=re.escape(message)):
        load(path)


def test_a_folder_is_no_space(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match=r"the file cannot be read: is a directory\."):
        load(tmp_path)


def test_a_long_value_is_shown_in_part() -> None:
    root = parse(f"a: [{', '.join(map(str, range(100)))}]", "s.yaml")
    assert len(root.shown()) == 60
    assert root.shown().startswith("{a: [0, 1, 2")
