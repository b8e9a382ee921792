"""Every line that the library logs tells its facts as fields, by names that the docs list."""

import ast
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]

# Lines of which there is nothing to tell but their text.
WITHOUT_FACTS = {
    "what other processes say is not heard fast enough, and is dropped",
    "who was disconnected elsewhere is not known for a while: streams of theirs may still be open",
}

# What a formatter or a filter finds there already: to take its place is an error, or a lie.
RECORDS_OWN = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}

LEVELS = {"debug", "info", "warning", "error", "exception", "critical", "log"}
LOGGERS = {"log", "excerpts"}


Function = ast.FunctionDef | ast.AsyncFunctionDef


class Line:
    """A call of a logger's."""

    def __init__(self, path: Path, function: Function | None, call: ast.Call) -> None:
        assert isinstance(call.func, ast.Attribute)
        self.place = f"{path.relative_to(PROJECT)}:{call.lineno}"
        self._function = function
        self._lineno = call.lineno
        self.message, *self.given = call.args[call.func.attr == "log" :]
        self.keywords = {keyword.arg for keyword in call.keywords}

    @property
    def text(self) -> str | None:
        """None where it is a caller's, who is looked at instead."""
        if isinstance(self.message, ast.JoinedStr):
            parts = [part.value for part in self.message.values if isinstance(part, ast.Constant)]
            return "".join(str(part) for part in parts)
        return str(self.message.value) if isinstance(self.message, ast.Constant) else None

    @property
    def names(self) -> set[str]:
        """The fields that it names itself, also by a dict that was made before."""
        [facts] = self.given
        if isinstance(facts, ast.Name):
            assert self._function is not None
            *_, facts = (
                node.value
                for node in ast.walk(self._function)
                if isinstance(node, ast.Assign)
                and node.lineno < self._lineno
                and ast.unparse(node.targets[0]) == facts.id
            )
        assert isinstance(facts, ast.Dict), ast.unparse(facts)
        return {str(key.value) for key in facts.keys if isinstance(key, ast.Constant)}


def lines() -> Iterator[Line]:
    for path in sorted((PROJECT / "trio_stream").rglob("*.py")):
        tree = ast.parse(path.read_text())
        inside = {
            call: node
            for node in ast.walk(tree)  # outer ones first, so that the innermost stays
            if isinstance(node, Function)
            for call in ast.walk(node)
            if isinstance(call, ast.Call)
        }
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
                logger = call.func.value
                by_logger = isinstance(logger, ast.Name) and logger.id in LOGGERS
                if by_logger and call.func.attr in LEVELS:
                    yield Line(path, inside.get(call), call)


LINES = list(lines())
every_line = pytest.mark.parametrize("line", LINES, ids=lambda line: line.place)
TABLES = re.findall(r"^\| `.*", (PROJECT / "docs/observability.md").read_text(), flags=re.MULTILINE)
documented = set(re.findall(r"`(\w+)`", "".join(TABLES)))


def test_there_are_lines() -> None:
    assert len(LINES) > 60


@every_line
def test_a_line_has_its_facts_as_fields(line: Line) -> None:
    text = line.text
    if text in WITHOUT_FACTS:
        assert not line.given
        return
    assert len(line.given) == 1, "give its facts as one dict, each by a name"
    if text is None or isinstance(line.given[0], ast.Call):
        return
    named = set(re.findall(r"%\((\w+)\)", text))
    assert text.count("%") == len(re.findall(r"%\(", text)), "each by its name"
    names = line.names
    assert named <= names
    assert not names & RECORDS_OWN
    assert names <= documented, "say it in docs/observability.md"
    assert "extra" not in line.keywords, "they are fields already"
