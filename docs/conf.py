"""How Sphinx builds the site; `sh scripts/docs` runs it."""

from __future__ import annotations

import builtins
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version as installed
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from docutils.parsers.rst import Directive
from pygments.lexers.special import TextLexer
from sphinx import addnodes

from trio_stream.stream.options.hooks import Telling
from trio_stream.stream.options.options import StreamKeywords, StreamOptions

if TYPE_CHECKING:
    from sphinx.application import Sphinx

DOCS = Path(__file__).parent

project = "trio_stream"
release = version = installed("trio-stream")
copyright = "the authors of trio_stream"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinxcontrib_trio",
]

# Docstrings write `Stream` and `trio.Cancelled`: a link where there is something to link to.
default_role = "py:obj"

# sphinxcontrib-trio extends the documenters that Sphinx 9 keeps for such extensions.
autodoc_use_legacy_class_based = True
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
autodoc_preserve_defaults = True
# Which Python 3.14 has not.
autodoc_mock_imports = [] if find_spec("trio_asyncio") else ["trio_asyncio"]
autodoc_typehints_format = "short"
napoleon_numpy_docstring = False
napoleon_use_ivar = False
maximum_signature_line_length = 78

# Copies, so that the site is built without a network, and the same everywhere: Trio's `objects.inv`
# as its documentation has it, and those entries of Python's that name what annotations name.
intersphinx_mapping = {
    "python": ("https://docs.python.org/3", "inventories/python.inv"),
    "trio": ("https://trio.readthedocs.io/en/stable", "inventories/trio.inv"),
}
intersphinx_disabled_reftypes = ["std:*"]

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4

html_theme = "furo"
html_title = "trio_stream"
html_copy_source = False
html_show_sphinx = False
html_static_path: list[str] = []
# A line of 98 columns fits into the page beside both bars, as a test of the pages asks for.
html_theme_options = {"light_css_variables": {"code-font-size": "75%"}}

#: Pages that are not in docs/, where their readers look for them on a repository's page.
FROM_THE_TOP = {"../benchmarks/README.md": "benchmarks.md", "../CHANGELOG.md": "changelog.md"}


#: Classes that users get and never make: what they are made of says nothing.
MADE_BY_OTHERS = {
    "trio_stream.Broker",
    "trio_stream.broker.backchannel.Backchannel",
    "trio_stream.OpenStream",
    "trio_stream.Resumable",
    "trio_stream.ResumableRun",
    "trio_stream.Subscription",
    "trio_stream.TopicEvent",
    "trio_stream.stream.core.tap.Tap",
    "trio_stream.frameworks.trio_asyncio.AsyncioLoop",
    "trio_stream.testing.Client",
}


def link_pages_of_the_site(app: Sphinx, docname: str, source: list[str]) -> None:
    """Lead to the site's page what on a repository's pages is a link out of docs/."""
    for path, page in FROM_THE_TOP.items():
        source[0] = source[0].replace(f"]({path}", f"]({page}")

    def without_folders(link: re.Match[str]) -> str:
        return link["text"] if (DOCS / link["path"]).is_dir() else link[0]

    source[0] = re.sub(r"\[(?P<text>[^]]+)\]\((?P<path>\.\.[^)#]*)\)", without_folders, source[0])


def name_the_keywords(
    app: Sphinx, what: str, name: str, obj: object, options: object, signature: str, result: str
) -> tuple[str, str] | None:
    """In a signature each keyword by itself, instead of `**options: Unpack[StreamKeywords]`."""
    if name in MADE_BY_OTHERS:
        return "", ""
    if signature is None or "StreamKeywords" not in signature:
        return None
    keywords = ", ".join(stream_keywords())
    return re.sub(r"\*\*options: [\w.~]*Unpack\[[^]]*\]", keywords, signature), result


def stream_keywords() -> Iterator[str]:
    checked = inspect.signature(StreamOptions.checked).parameters
    defaults = {**checked, **inspect.signature(Telling).parameters}
    for name, kind in StreamKeywords.__annotations__.items():
        default: Any = defaults[name].default if name in defaults else ...
        # What is decided elsewhere, as the ping is by the format, the docstring tells.
        shown = repr(default) if isinstance(default, str | int | float | None) else "..."
        yield f"{name}: {kind.__forward_arg__} = {shown}"


def keep_first_line_whole(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Napoleon takes what stands before the colon in a property's first line for its type."""
    if what in ("attribute", "property"):
        lines[:0] = ["..", ""]  # an empty comment, without a colon


def leave_builtins_to_python(app: Sphinx, doctree: nodes.document) -> None:
    """An annotation's `bytes` is Python's, and not an attribute that has this name."""
    for node in doctree.findall(addnodes.pending_xref):
        if node.get("reftype") == "class" and hasattr(builtins, node["reftarget"]):
            node.attributes.pop("refspecific", None)
            node["py:module"] = node["py:class"] = None


class CommandHelp(Directive):
    """What a command of `trio-stream` says about itself."""

    has_content = False
    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        command = [sys.executable, "-m", "trio_stream", *self.arguments, "--help"]
        # As wide as a phone's screen can scroll through in comfort, whatever terminal this is.
        said = subprocess.run(
            command, capture_output=True, text=True, check=True, env={"COLUMNS": "88"}
        )
        return [nodes.literal_block(said.stdout, said.stdout, language="text")]


def setup(app: Sphinx) -> None:
    app.connect("source-read", link_pages_of_the_site)
    app.connect("autodoc-process-signature", name_the_keywords)
    app.connect("autodoc-process-docstring", keep_first_line_whole, priority=400)
    app.connect("doctree-read", leave_builtins_to_python)
    app.add_directive("command-help", CommandHelp)
    app.add_lexer("haproxy", TextLexer)  # of which repositories' pages know more than Pygments
