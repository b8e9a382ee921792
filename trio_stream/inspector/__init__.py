"""The inspector: a page that shows a process's streams, live, to those who may see them."""

from __future__ import annotations

from .app import InspectorApp, inspector_app

__all__ = ["InspectorApp", "inspector_app"]
