"""What a package index shows: the project's links, and README with links that work there.

Where the project is to be found stands in pyproject.toml alone, as `repository`. While that is
empty there are no links, and README's own, which lead to files of the repository, are plain text.
"""

from __future__ import annotations

import re
from pathlib import Path

from hatchling.metadata.plugin.interface import MetadataHookInterface

#: A link or a picture of Markdown: ``[words](target)``.
_LINK = re.compile(r"(?P<picture>!?)\[(?P<words>[^\]]*)\]\((?P<target>[^)\s]+)\)")


class Metadata(MetadataHookInterface):
    """Hatchling's hook for what pyproject.toml calls dynamic."""

    def update(self, metadata: dict[str, object]) -> None:
        """Add what is dynamic to what is written down."""
        repository = str(self.config.get("repository", "")).rstrip("/")
        version = str(metadata["version"])
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        text = with_whole_links(text, repository, version)
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
        metadata["urls"] = urls(repository, version)


def urls(repository: str, version: str) -> dict[str, str]:
    """The project's links, by the names that a package index knows."""
    if not repository:
        return {}
    return {
        "Source": repository,
        "Documentation": f"{repository}/tree/v{version}/docs",
        "Changelog": f"{repository}/blob/v{version}/CHANGELOG.md",
        "Issues": f"{repository}/issues",
    }


def with_whole_links(text: str, repository: str, version: str) -> str:
    """Markdown whose links to files lead to this version of them; without an address, nowhere."""

    def whole(link: re.Match[str]) -> str:
        if re.match(r"[a-z][a-z0-9+.-]*:|#", link["target"]):
            return link[0]
        if not repository:
            return "" if link["picture"] else link["words"]
        kind = "raw" if link["picture"] else "blob"
        return (
            f"{link['picture']}[{link['words']}]({repository}/{kind}/v{version}/{link['target']})"
        )

    return _LINK.sub(whole, text)
