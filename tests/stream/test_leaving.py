"""Generators that keep their connection: read once more, cancelled, before they are closed."""

import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from types import ModuleType
from typing import Any

import pytest
import trio
import trio.testing

from tests.support.tasks import NothingLeft
from trio_stream.stream.source.leaving import leave

#: What such a package does behind its `yield`, in a module of the package's name.
CODE = """
import trio

async def answer(said, then=trio.sleep_forever):
    try:
        while True:
            yield "item"
            said.append("read on")
            await then()
    except trio.Cancelled:
        said.append("cancelled")
        raise
    except GeneratorExit:
        said.append("closed")
        raise
"""


@pytest.fixture(params=["google.genai", "huggingface_hub"])
def package(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setitem(sys.modules, request.param, ModuleType(request.param))
    module: Any = ModuleType(f"{request.param}.models")
    exec(CODE, module.__dict__)
    return module


async def test_one_that_waits_at_its_yield(package: Any, no_task_left: NothingLeft) -> None:
    said: list[str] = []
    generator = package.answer(said)
    assert await anext(generator) == "item"
    await leave(generator)
    assert said == ["read on", "cancelled"]
    await no_task_left()


async def around(inner: AsyncGenerator[str]) -> AsyncGenerator[str]:
    async for item in inner:
        yield item


async def closing(inner: AsyncGenerator[str]) -> AsyncGenerator[str]:
    async with aclosing(inner) as items:
        async for item in items:
            yield item


@pytest.mark.parametrize("make", [around, closing, lambda inner: closing(closing(inner))])
async def test_one_in_the_hands_of_another(package: Any, make: Any) -> None:
    said: list[str] = []
    async with aclosing(make(package.answer(said))) as generator:
        assert await anext(generator) == "item"
        await leave(generator)
        assert said == ["read on", "cancelled"]


async def test_others_code_is_never_run_on(package: Any) -> None:
    said: list[str] = []
    module: Any = ModuleType("google.genai_of_mine")
    exec(CODE, module.__dict__)
    generator = module.answer(said)
    await anext(generator)
    await leave(generator)
    assert said == []
    await generator.aclose()
    assert said == ["closed"]


async def test_one_that_never_waits_is_given_up(
    package: Any, autojump_clock: trio.testing.MockClock
) -> None:
    said: list[str] = []

    async def then() -> None:
        autojump_clock.jump(1)  # no checkpoint: it always has an item in hand

    generator = package.answer(said, then)
    await anext(generator)
    await leave(generator)
    assert len(said) < 10
    await generator.aclose()


async def test_one_that_has_ended_or_fails(package: Any) -> None:
    said: list[str] = []

    async def then() -> None:
        raise ValueError("a broken item")

    generator = package.answer(said, then)
    await anext(generator)
    await leave(generator)
    await leave(generator)
    assert said == ["read on"]


async def test_what_is_no_generator(package: Any) -> None:
    class Items:
        def __aiter__(self) -> AsyncIterator[str]:
            return self

        async def __anext__(self) -> str:
            raise AssertionError("never asked")

    await leave(Items())
