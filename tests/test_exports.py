"""The public face: what `from trio_stream import ...` offers is sorted, there, and documented."""

import functools
import inspect
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import trio_stream

NAMES = trio_stream.__all__


def as_isort(name: str) -> tuple[int, str]:
    """CONSTANTS, Classes, functions: the order that ruff keeps."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


def public_members(cls: type) -> Iterator[tuple[str, Any]]:
    """The methods and properties that a class defines itself, without the underscored ones."""
    for name, member in vars(cls).items():
        method = inspect.isroutine(member) or isinstance(member, functools.cached_property)
        if not name.startswith("_") and (method or isinstance(member, property)):
            yield name, member


def test_all_is_sorted_and_says_nothing_twice() -> None:
    assert list(NAMES) == sorted(set(NAMES), key=as_isort)


def test_all_is_all_there_is() -> None:
    public = {name for name in dir(trio_stream) if not name.startswith("_")}
    public -= {"annotations", "TYPE_CHECKING"}  # not ours
    submodules = {name for name in public if inspect.ismodule(getattr(trio_stream, name))}
    assert public - submodules == set(NAMES)


def test_there_is_nothing_else() -> None:
    with pytest.raises(AttributeError, match="module 'trio_stream' has no attribute 'Streem'"):
        trio_stream.Streem  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize(
    "used",
    [
        "from trio_stream import Stream, StreamMiddleware, inspector_app, open_broker, serve",
        "import trio_stream.metrics.measure; list(trio_stream.metrics.measure.measure())",
        "from trio_stream import Stream; Stream([1]); Stream(print); dir(Stream)",
    ],
)
def test_a_server_does_not_import_the_client(used: str) -> None:
    """It brings httpx, which brings rich: a fifth of what its garbage collector would look at."""
    program = f"import sys; {used}; print({{'httpx', 'rich', 'click'}} & sys.modules.keys())"
    there = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert there.stdout == b"set()\n"


def test_the_client_is_there_when_it_is_asked_for() -> None:
    program = "from trio_stream import *; from trio_stream.client import *; print(EventSource)"
    there = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert b"EventSource" in there.stdout


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_there_and_documented(name: str) -> None:
    exported = getattr(trio_stream, name)
    if inspect.isclass(exported) or inspect.isroutine(exported):
        assert exported.__doc__
        assert exported.__name__ == name


@pytest.mark.parametrize("name", NAMES)
def test_every_public_method_is_documented(name: str) -> None:
    exported = getattr(trio_stream, name)
    if inspect.isclass(exported):
        assert [member for member, value in public_members(exported) if not value.__doc__] == []
