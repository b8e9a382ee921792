"""README: short, its program and its page run as they stand, its pictures are there."""

from __future__ import annotations

import re
from pathlib import Path

from tests.docs.snippets import PROGRAMS
from tests.support.chromium import chromium
from tests.support.hypercorn_process import hypercorn

PROJECT = Path(__file__).parents[2]
README = PROJECT / "README.md"


def test_it_is_short() -> None:
    assert len(README.read_text().splitlines()) < 120


def test_its_pictures_are_there_and_legible_anywhere() -> None:
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", README.read_text())
    assert len(pictures) == 4
    for picture in pictures:
        path = PROJECT / picture
        if path.suffix == ".svg":
            # A background of its own, and text that stays text.
            assert "fill: #ffffff" in path.read_text()
            assert "<text" in path.read_text()
        else:
            assert path.stat().st_size < 250_000


async def test_its_page_hears_its_program(tmp_path: Path) -> None:
    for name in ("counter.py", "counter.html"):
        (tmp_path / name).write_text(PROGRAMS[name].code)
    program = tmp_path / "counter.py"
    # In the tests' folder, which is the project's, and faster.
    program.write_text(program.read_text().replace('"counter.html"', f'"{tmp_path}/counter.html"'))
    program.write_text(program.read_text().replace("stream.wait(1)", "stream.wait(0.02)"))
    env = {"PYTHONPATH": str(tmp_path)}
    async with hypercorn("counter:app", env=env) as server, chromium() as browser:
        await browser.open(server.url)
        await browser.wait_until("document.querySelector('output').textContent == '100'")
        await browser.wait_until("source.readyState == EventSource.CLOSED")
