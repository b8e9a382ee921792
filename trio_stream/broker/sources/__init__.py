"""Sources on demand: what runs while somebody watches a topic, once for all processes.

Who watches is who is present on a topic of the source's own, and which process runs it is whose the
lease of that name is, as with resumable producers. Each process that has watchers has a keeper for
them, which runs the source if nobody else does.
"""

from __future__ import annotations

from .run import SourceRun
from .source import Source, SourceFunction, source_event
from .sources import Sources

__all__ = ["Source", "SourceFunction", "SourceRun", "Sources", "source_event"]
