"""The code in docs/language-models.md: each piece is part of a file that is run."""

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
PAGE = PROJECT / "docs/language-models.md"
FILES = [*PROJECT.glob("examples/**/*.*"), *PROJECT.glob("tests/models/*.py")]
RUN = [path for path in FILES if path.suffix in (".py", ".html")]

PIECES = re.findall(r"^```(?:python|js)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def lines(code: str) -> str:
    """Code without its indentation and its blank lines."""
    return "".join(f"{line.strip()}\n" for line in code.splitlines() if line.strip())


def parts(piece: str) -> list[str]:
    """What stands apart in a piece may stand further apart in its file."""
    return [lines(part) for part in re.split(r"\n\n(?:\n)?", piece)]


def test_there_are_some() -> None:
    assert len(PIECES) > 5


@pytest.mark.parametrize("piece", PIECES, ids=lambda piece: piece.splitlines()[0][:40])
def test_each_is_part_of_a_file_that_is_run(piece: str) -> None:
    texts = [lines(path.read_text()) for path in RUN]
    assert any(all(part in text for part in parts(piece)) for text in texts)
