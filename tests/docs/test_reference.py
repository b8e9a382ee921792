"""The reference: every public name is on one of its pages, which are made from the docstrings."""

import importlib
import inspect
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import trio_stream
import trio_stream.testing
from trio_stream import errors
from trio_stream.__main__ import main

REFERENCE = Path(__file__).parents[2] / "docs/reference"

#: Modules of which everything in `__all__` is for users.
PUBLIC = [
    "trio_stream",
    "trio_stream.broker.postgres",
    "trio_stream.broker.redis",
    "trio_stream.broker.sqlite",
    "trio_stream.frameworks.fastapi",
    "trio_stream.frameworks.quart_trio",
    "trio_stream.frameworks.starlette",
    "trio_stream.frameworks.trio_asyncio",
    "trio_stream.otel",
    "trio_stream.prometheus",
    "trio_stream.testing",
]


def documented() -> Iterator[str]:
    """The full name of what each autodoc directive of the reference documents."""
    for page in sorted(REFERENCE.glob("*.md")):
        module = ""
        for line in page.read_text().splitlines():
            found = re.fullmatch(r"\.\. (\w+):: (\S+)", line)
            if found and found[1] in ("module", "currentmodule", "automodule"):
                module = found[2] if found[1] != "automodule" else module
            elif found and found[1] in ("autoclass", "autofunction", "autoexception"):
                name = found[2]
                yield name if name.startswith("trio_stream.") else f"{module}.{name}"


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_name_is_in_the_reference(module: str) -> None:
    if module.endswith("trio_asyncio") and sys.version_info >= (3, 14):
        pytest.skip("trio-asyncio does not know Python 3.14")
    names = importlib.import_module(module).__all__
    assert {f"{module}.{name}" for name in names} - set(documented()) == set()


def test_the_tree_of_errors_has_each_below_its_own() -> None:
    tree = inspect.getdoc(errors) or ""
    names = re.findall(r"^ {4}(\W*)([A-Z]\w+)", inspect.cleandoc(tree), re.MULTILINE)
    above: list[str] = []
    for indent, name in names:
        depth = len(indent) // 4
        parents = getattr(errors, name).__mro__[1:]
        assert not depth or parents[0].__name__ == above[depth - 1]
        above[depth:] = [name]
    assert {name for _, name in names} == set(errors.__all__)


def test_every_command_is_in_the_reference(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    commands = re.findall(r"^    (\w+) ", capsys.readouterr().out, re.MULTILINE)
    assert "tail" in commands
    page = (REFERENCE / "command_line.md").read_text()
    assert set(commands) == set(re.findall(r"^\.\. command-help:: (\w+)$", page, re.MULTILINE))


def test_nothing_is_there_twice() -> None:
    assert [name for name, times in Counter(documented()).items() if times > 1] == []


def test_the_modules_that_are_looked_at_are_all_that_users_import() -> None:
    """Whatever pages and examples import from is public, or an engine's contract."""
    project = REFERENCE.parents[1]
    texts = [*project.glob("docs/**/*.md"), *project.glob("examples/*.py"), project / "README.md"]
    pattern = r"^ *(?:from|import) (trio_stream[\w.]*)"
    imported = {name for p in texts for name in re.findall(pattern, p.read_text(), re.MULTILINE)}
    assert imported <= {*PUBLIC, "trio_stream.broker.contract"}


def test_what_is_documented_is_of_the_kind_that_its_directive_says() -> None:
    for page in REFERENCE.glob("*.md"):
        text = page.read_text()
        for directive, name in re.findall(r"\.\. auto(class|function|exception):: (\w+)$", text):
            for module in (trio_stream, trio_stream.testing):
                if (value := getattr(module, name, None)) is not None:
                    is_error = inspect.isclass(value) and issubclass(value, Exception)
                    kind = "exception" if is_error else "class" if inspect.isclass(value) else ""
                    assert (kind or "function") == directive
