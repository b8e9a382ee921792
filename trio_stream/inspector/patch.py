"""What has changed between two JSON objects, as a JSON Merge Patch (RFC 7396)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["merge_patch"]


def merge_patch(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """What makes ``after`` of ``before``; empty where they are the same.

    A None in a patch takes a member away, so that neither may have one.
    """
    patch: dict[str, Any] = {}
    for name, value in after.items():
        old = before.get(name)
        if value == old:
            continue
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            patch[name] = merge_patch(old, value)
        else:
            patch[name] = value
    patch.update((name, None) for name in before.keys() - after.keys())
    return patch
