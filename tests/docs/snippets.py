"""The code in README and the pages of docs/, as programs that can be checked and run.

A block of Python is one of two kinds. A *program* begins with a comment that names its file,
`# hello.py`: it is whole, and is run. Anything else is a *part*. What it takes from its
surroundings, a comment before it names, which no reader of the page sees::

    <!-- given
    import httpx
    client: httpx.AsyncClient
    -->

Names with a type are parameters of a function around the part; other lines stand before it, and
so does everything of `trio_stream`. A block of HTML is a page, and is named by a comment, too.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parents[2]

PAGES = sorted([*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md")])

BLOCK = re.compile(
    r"(?:^<!-- given:?(?P<given>(?:(?!-->).)*)-->\n+)?"
    r"^```(?P<language>python|html|js)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Snippet:
    page: Path
    line: int
    language: str
    code: str
    given: str | None

    @property
    def id(self) -> str:
        return f"{self.page.stem}_{self.line}"

    @property
    def name(self) -> str | None:
        """The file that a whole program, or page, is said to be."""
        found = re.match(r"(?:# |<!-- )(\S+\.(?:py|html))\b", self.code)
        return found and found[1]

    def as_module(self) -> str:
        """Python that a type checker can look at."""
        if self.given is None and not needs_a_function(self.code):
            return self.code
        prelude, parameters = [], []
        for node in ast.parse(textwrap.dedent(self.given or "")).body:
            is_name = isinstance(node, ast.AnnAssign) and node.value is None
            (parameters if is_name else prelude).append(ast.unparse(node))
        return "\n".join(
            [
                "from typing import Any",
                "from trio_stream import *",
                *prelude,
                f"async def part({', '.join(parameters)}) -> Any:",
                textwrap.indent(self.code, "    "),
            ]
        )


def needs_a_function(code: str) -> bool:
    """Whether code awaits, yields or returns where no function of its own is around it."""
    return any(isinstance(node, OF_A_FUNCTION) for node in outside_functions(ast.parse(code)))


OF_A_FUNCTION = (ast.Await, ast.AsyncWith, ast.AsyncFor, ast.Yield, ast.Return)


def outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from outside_functions(child)


def snippets_of(page: Path) -> Iterator[Snippet]:
    text = page.read_text()
    for block in BLOCK.finditer(text):
        line = text.count("\n", 0, block.start("code"))
        yield Snippet(page, line, block["language"], block["code"], block["given"])


SNIPPETS = [snippet for page in PAGES for snippet in snippets_of(page)]
PROGRAMS = {snippet.name: snippet for snippet in SNIPPETS if snippet.name}


def write_modules(folder: Path) -> None:
    """All of the Python as modules: programs by their names, parts by their pages and lines."""
    for snippet in SNIPPETS:
        if snippet.language == "python":
            (folder / (snippet.name or f"{snippet.id}.py")).write_text(snippet.as_module())


def write_programs(folder: Path) -> None:
    """All whole programs and pages, as a reader would save them."""
    for name, snippet in PROGRAMS.items():
        (folder / name).write_text(snippet.code)
