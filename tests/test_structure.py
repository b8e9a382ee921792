"""The shape of the package, read from its source: docs/design.md says why it is this one."""

import ast
import re
import statistics
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
PACKAGE = PROJECT / "trio_stream"

# Each part may import those above it. A new part must be given its place here.
ORDER = [
    "privacy",
    "checks",
    "tally",
    "errors",
    "codec",
    "transport",
    "stream",
    "frameworks",
    "endpoints",
    "broker",
    "inspector",
    "client",
    "doctor",
    "top",
    "metrics",
    "prometheus",
    "otel",
    "testing",
    "__main__",
]

# Likewise inside the broker. Nobody there but who opens a broker knows which engines there are.
BROKER_ORDER = [
    "contract",
    "log",
    "following",
    "reading",
    "subscribing",
    "publisher",
    "publishing",
    "presence",
    "resumable",
    "disconnects",
    "sources",
    "running",
    "attendance",
    "broker",
    "opening",
    "outside",
]
ENGINES = {"memory", "sqlite", "postgres", "redis", "engines", "servers"}

# source -> encoder -> channel -> writer -> transport: `Stream` hands over, they don't know each
# other. What a contract says (transport.base, stream.source.contract) is the seam itself.
STAGES = {
    "source": r"stream\.source(\..+)?",
    "encoder": r"codec\.encoder",
    "channel": r"stream\.core\.channel",
    "writer": r"stream\.writing\.writer",
    "transport": r"transport\.(?!base$).+",
}

# An adapter may import its framework: only who uses the one imports the other.
WAYS_OUT = {"prometheus": {"prometheus_client"}, "otel": {"opentelemetry"}}
FRAMEWORKS = {"pydantic", "quart", "quart_trio", "starlette", "trio_asyncio"}


@dataclass(frozen=True)
class Module:
    name: str  # without "trio_stream.", so that the package itself is ""
    path: Path
    tree: ast.Module

    @property
    def part(self) -> str:
        return self.name.partition(".")[0]

    @property
    def room(self) -> str:
        """The part's folder it is in, or what lies beside these; "" for what re-exports a part."""
        names = self.name.split(".")
        return "" if names[1:] == [] and self.path.name == "__init__.py" else ".".join(names[:2])

    @property
    def stage(self) -> str | None:
        return next((name for name, like in STAGES.items() if re.fullmatch(like, self.name)), None)


def read_modules(package: Path = PACKAGE) -> dict[str, Module]:
    modules = {}
    for path in sorted(package.rglob("*.py")):
        name = ".".join(path.relative_to(package).with_suffix("").parts)
        name = name.removesuffix("__init__").removesuffix(".")
        modules[name] = Module(name, path, ast.parse(path.read_text()))
    return modules


MODULES = read_modules()
every_module = pytest.mark.parametrize("module", MODULES.values(), ids=lambda m: m.name or "top")


def imports_of(module: Module) -> Iterator[str]:
    """What a module imports, from anywhere in it and for types too, as absolute names.

    Each name of a `from` import by itself.
    """
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = absolute_name(module, node)
            yield from (f"{base}.{alias.name}" for alias in node.names)


def absolute_name(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = ["trio_stream", *module.name.split(".")] if module.name else ["trio_stream"]
    if module.path.name != "__init__.py":
        package.pop()
    package = package[: len(package) - (node.level - 1)]
    return ".".join([*package, *(node.module or "").split(".")]).rstrip(".")


def own_imports(module: Module, modules: dict[str, Module] = MODULES) -> set[str]:
    """The modules of this package that a module imports, for types too, by their names."""
    found = set()
    for imported in imports_of(module):
        top, _, name = imported.partition(".")
        if top == "trio_stream":
            found.add(name if name in modules else name.rpartition(".")[0])
    return found


def imports_of_modules(modules: dict[str, Module] = MODULES) -> dict[str, set[str]]:
    return {name: own_imports(module, modules) for name, module in modules.items()}


def imports_of_rooms(modules: dict[str, Module] = MODULES) -> dict[str, set[str]]:
    """The same of folders. What re-exports a part's names is in no room."""
    rooms: dict[str, set[str]] = {}
    for module in modules.values():
        imported = {modules[name].room for name in own_imports(module, modules)}
        rooms.setdefault(module.room, set()).update(imported - {module.room, ""})
    rooms.pop("", None)
    return rooms


def find_circle(graph: dict[str, set[str]]) -> list[str]:
    """Names each of which imports the next, from one of them back to itself; [] if none do."""
    while leaves := {name for name, imported in graph.items() if not imported & graph.keys()}:
        graph = {name: imported for name, imported in graph.items() if name not in leaves}
    if not graph:
        return []
    path = [min(graph)]  # whatever is left imports something that is left
    while path.count(path[-1]) < 2:
        path.append(min(graph[path[-1]] & graph.keys()))
    return path[path.index(path[-1]) :]


def functions_of(module: Module) -> Iterator[tuple[str, int]]:
    """Each function, nested ones too, with its number of lines, not counting its docstring."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            lines = node.end_lineno - node.lineno + 1
            if ast.get_docstring(node, clean=False) is not None:
                docstring = node.body[0]
                assert docstring.end_lineno is not None
                lines -= docstring.end_lineno - docstring.lineno + 1
            yield node.name, lines


def test_the_package_was_found() -> None:
    assert {"", "errors", "codec.event", "codec.encoder"} <= MODULES.keys()


@every_module
def test_imports_go_one_way(module: Module) -> None:
    if module.name:
        allowed = ORDER[: ORDER.index(module.part) + 1]
        assert {name for name in own_imports(module) if MODULES[name].part not in allowed} == set()


@every_module
def test_stages_never_import_each_other(module: Module) -> None:
    if module.stage:
        stages = {name: MODULES[name].stage for name in own_imports(module)}
        others = {name for name, stage in stages.items() if stage not in (None, module.stage)}
        assert others == set()


def test_no_module_imports_itself_through_others() -> None:
    """Not for types either: a circle is a circle to whoever reads."""
    circle = find_circle(imports_of_modules())
    assert not circle, "a circle of imports: " + " -> ".join(circle)


def test_no_folder_imports_itself_through_others() -> None:
    circle = find_circle(imports_of_rooms())
    assert not circle, "a circle of folders: " + " -> ".join(circle)


@pytest.mark.parametrize(
    "closing",
    [
        "from .a import A",
        "from trio_stream.inner import a",
        "import trio_stream.inner.a",
        "def later():\n    from . import a",
        "if TYPE_CHECKING:\n    from .a import A",
        "if typing.TYPE_CHECKING:\n    from ..inner.a import A",
    ],
)
def test_a_circle_is_found(tmp_path: Path, closing: str) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (tmp_path / "__init__.py").write_text("from .uninvolved import x")
    (tmp_path / "uninvolved.py").write_text("from .inner.a import A\nimport trio")
    (inner / "a.py").write_text("from .b import B")
    (inner / "b.py").write_text("from ..inner import c")
    (inner / "c.py").write_text("import sys")
    assert find_circle(imports_of_modules(read_modules(tmp_path))) == []
    (inner / "c.py").write_text(closing)
    circle = find_circle(imports_of_modules(read_modules(tmp_path)))
    assert circle == ["inner.a", "inner.b", "inner.c", "inner.a"]


@every_module
def test_the_broker_is_built_in_one_order(module: Module) -> None:
    if module.part == "broker" and module.name != "broker":
        own = {name.split(".")[1] for name in own_imports(module) if name.startswith("broker.")}
        room = module.name.split(".")[1]
        if room in BROKER_ORDER:
            later = BROKER_ORDER[BROKER_ORDER.index(room) + 1 :]
            assert own.isdisjoint(later)
        if room not in {"opening", "outside"}:
            assert room in ENGINES or own.isdisjoint(ENGINES)


@every_module
def test_only_what_is_declared_is_imported(module: Module) -> None:
    """Not what happens to be installed along with something else."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    requirements = [*project["dependencies"]]
    for extra in ("redis", "postgres", "cli"):
        requirements += extras.get(extra, [])
    declared = {re.split(r"[^\w-]", requirement)[0] for requirement in requirements}
    if module.part == "frameworks":
        declared |= FRAMEWORKS
    declared |= WAYS_OUT.get(module.part, set())
    imported = {name.partition(".")[0] for name in imports_of(module)}
    assert imported - sys.stdlib_module_names - {"trio_stream"} <= declared


@every_module
def test_never_asyncio(module: Module) -> None:
    imported = {name.partition(".")[0] for name in imports_of(module)}
    assert not imported & {"asyncio", "anyio", "sniffio"}


@every_module
def test_the_codec_does_no_io(module: Module) -> None:
    if module.part in ("codec", "errors"):
        imported = {name.partition(".")[0] for name in imports_of(module)}
        assert not imported & {"trio", "httpx", "hypercorn", "outcome"}
        assert not imported & {
            "io",
            "os",
            "pathlib",
            "select",
            "socket",
            "ssl",
            "threading",
            "time",
        }


@every_module
def test_no_bare_except(module: Module) -> None:
    handlers = [node for node in ast.walk(module.tree) if isinstance(node, ast.ExceptHandler)]
    assert [handler.lineno for handler in handlers if handler.type is None] == []


@every_module
def test_no_module_over_350_lines(module: Module) -> None:
    lines = module.path.read_text().count("\n")
    assert lines <= 350


@every_module
def test_no_function_over_50_lines(module: Module) -> None:
    assert {name: lines for name, lines in functions_of(module) if lines > 50} == {}


def test_half_of_the_functions_are_under_10_lines() -> None:
    lengths = [lines for module in MODULES.values() for _, lines in functions_of(module)]
    assert statistics.median(lengths) < 10


@every_module
def test_every_module_says_what_it_is_for(module: Module) -> None:
    assert ast.get_docstring(module.tree)


def test_types_are_for_users_too() -> None:
    assert (PACKAGE / "py.typed").is_file()
