"""The public face: what `from trio_stream import ...` offers is sorted, there, and documented."""

import functools
import inspect
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
    public = {name: value for name, value in vars(trio_stream).items() if not name.startswith("_")}
    public.pop("annotations", None)  # from __future__
    submodules = {name for name, value in public.items() if inspect.ismodule(value)}
    assert public.keys() - submodules == {name for name in NAMES if not name.startswith("_")}


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
