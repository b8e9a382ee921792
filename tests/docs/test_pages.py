"""The pages of docs/: each is in the site's index, and each link between them leads somewhere."""

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
DOCS = PROJECT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), *PROJECT.glob("*.md"), PROJECT / "benchmarks/README.md"])
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(PROJECT)))


def without_code(text: str) -> str:
    return re.sub(r"^(`{3,}).*?^\1", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as repositories' pages and MyST make them."""
    headings = re.findall(r"^#+ (.*)$", without_code(page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@every_page
def test_links_lead_to_what_is_there(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text())):
        path, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} leads nowhere"
        assert not anchor or anchor in anchors(target), f"{link}: no such heading"


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda p: str(p.relative_to(DOCS)))
def test_code_fits_into_the_site_s_pages(page: Path) -> None:
    """Or the comments at its right are cut off; it can be scrolled, and nobody does."""
    blocks = re.findall(r"^```\w+\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.split("\n")]
    assert [line for line in lines if len(line) > 98] == []


@every_page
def test_nobody_is_sent_to_an_index_that_has_not_got_it(page: Path) -> None:
    commands = re.findall(r"pip install [^`\n]*", page.read_text())
    assert [command for command in commands if re.search("trio[-_]stream", command)] == []


def test_every_page_is_in_the_index() -> None:
    index = (DOCS / "index.md").read_text()
    toctrees = re.findall(r"^```\{toctree\}(.*?)^```", index, re.MULTILINE | re.DOTALL)
    listed = {line for toctree in toctrees for line in toctree.split() if line[0] != ":"}
    pages = {str(page.relative_to(DOCS).with_suffix("")) for page in DOCS.rglob("*.md")}
    assert pages - {"index"} <= listed, "name them in docs/index.md"
