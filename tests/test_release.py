"""What a release is made of: one version, links that lead somewhere, all that its scripts need."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

PROJECT = Path(__file__).parents[1]
VERSION = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
PLACE = "https://example.org/them/it"


@pytest.fixture(scope="module")
def hook() -> ModuleType:
    pytest.importorskip("hatchling")
    spec = importlib.util.spec_from_file_location("hatch_build", PROJECT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_version_has_its_date_in_the_changelog() -> None:
    heads = re.findall(r"^## (.*)$", (PROJECT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert heads[0] == "[Unreleased]"
    assert re.fullmatch(rf"\[{re.escape(VERSION)}\] - \d{{4}}-\d\d-\d\d", heads[1])


def test_the_version_is_written_in_one_place() -> None:
    assert importlib.metadata.version("trio-stream") == VERSION
    for path in (PROJECT / "trio_stream").rglob("*.py"):
        assert f'"{VERSION}"' not in path.read_text()


def targets(text: str) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", text)


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"])
def test_links_to_files_lead_to_files(name: str) -> None:
    for target in targets((PROJECT / name).read_text()):
        if not re.match(r"https?:|#", target):
            assert (PROJECT / target.partition("#")[0]).exists(), target


def test_where_only_readme_is_shown_its_links_lead_to_this_version(hook: ModuleType) -> None:
    text = (PROJECT / "README.md").read_text()
    shown = hook.with_whole_links(text, PLACE, VERSION)
    assert len(targets(shown)) == len(targets(text)) > 8
    for target in targets(shown):
        assert re.match(r"https://|#", target)
    assert f"]({PLACE}/blob/v{VERSION}/docs/design.md)" in shown
    for target in hook.urls(PLACE, VERSION).values():
        assert target.startswith(PLACE)


def test_without_an_address_there_is_no_link_that_leads_nowhere(hook: ModuleType) -> None:
    shown = hook.with_whole_links((PROJECT / "README.md").read_text(), "", VERSION)
    assert hook.urls("", VERSION) == {}
    assert targets(shown)
    for target in targets(shown):
        assert re.match(r"https://|#", target)
    text = "![a picture](docs/a.svg) [a page](docs/a.md#there), [a site](https://trio/)"
    assert hook.with_whole_links(text, "", "1") == " a page, [a site](https://trio/)"


def test_the_sdist_has_all_that_is_in_the_repository(tmp_path: Path, hook: ModuleType) -> None:
    git = shutil.which("git")
    if git is None or not (PROJECT / ".git").exists():
        pytest.skip("not in a git repository")
    listed = subprocess.run([git, "ls-files"], cwd=PROJECT, check=True, capture_output=True)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(tmp_path)]
    subprocess.run(command, cwd=PROJECT, check=True, capture_output=True)
    with tarfile.open(tmp_path / f"trio_stream-{VERSION}.tar.gz") as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    present = {name for name in listed.stdout.decode().splitlines() if (PROJECT / name).exists()}
    assert present - packed == set()
