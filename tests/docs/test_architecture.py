"""The page on the house is true: its rooms, in their order, and the files it names."""

from __future__ import annotations

import re

from doc_blocks import ROOT

SOURCE = ROOT / "src" / "smtplibaio"
PAGE = (ROOT / "docs" / "architecture.rst").read_text()


def test_the_table_has_every_room() -> None:
    table = PAGE.partition("What it knows")[2].partition("(* uses")[0]
    heads = re.findall(r"^   \* - (.*)", table, re.MULTILINE)
    listed = {name for head in heads for name in re.findall(r"``(\w+)``", head)}
    rooms = {
        path.name.removesuffix(".py")
        for path in SOURCE.iterdir()
        if path.name[:2] != "__" and path.name != "py.typed"
    }
    assert listed == rooms


def test_every_file_that_is_named_is_there() -> None:
    for name in re.findall(r"``((?:\w+/)?\w+/\w+\.py)``", PAGE):
        assert (SOURCE / name).exists() or (ROOT / name).exists(), name


def test_every_object_that_is_named_is_there() -> None:
    for module, name in re.findall(r"``((?:\w+\.)+)(\w+)``", PAGE):
        path = SOURCE / f"{module.rstrip('.').replace('.', '/')}.py"
        if path.exists():
            assert f"class {name}" in path.read_text(), (module, name)
