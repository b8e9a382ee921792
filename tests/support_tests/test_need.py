from pathlib import Path

import pytest

from tests.support import need as needing
from tests.support.need import in_ci, need


@pytest.fixture(autouse=True)
def programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine whose only program is `present`."""
    (tmp_path / "present").touch(mode=0o755)
    monkeypatch.setattr(needing, "SEARCH_PATH", str(tmp_path))


def test_what_is_installed_is_found(tmp_path: Path) -> None:
    assert need("present") == [str(tmp_path / "present")]


def test_what_is_missing_skips_the_test_by_the_name_of_its_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="not installed: chromium, chromium-driver"):
        need("chromium", "present", "chromedriver")


def test_in_ci_it_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="not installed: redis-server"):
        need("redis-server")


@pytest.mark.parametrize(("value", "expected"), [("", False), ("0", False), ("True", True)])
def test_ci_by_its_value(monkeypatch: pytest.MonkeyPatch, value: str, expected: bool) -> None:
    monkeypatch.setenv("CI", value)
    assert in_ci() is expected
