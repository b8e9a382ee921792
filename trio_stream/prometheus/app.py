"""`metrics_app`: the ASGI endpoint that Prometheus asks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import partial
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, final

import trio
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from ..checks import check_kind, shown
from ..endpoints.whole_answer import answer
from ..metrics.readings import readings
from ..stream.answers.clients import list_header
from .collector import StreamCollector
from .workers import Workers, told_apart

if TYPE_CHECKING:
    from ..transport.asgi import Receive, Scope, Send

__all__ = ["MetricsApp", "metrics_app"]


def metrics_app(
    registry: CollectorRegistry | None = None, *, workers: str | os.PathLike[str] | None = None
) -> MetricsApp:
    """An ASGI application that answers with metrics, in the text that Prometheus reads.

    Make it where the application is made, once in each process, and mount it where nobody asks from
    outside.

    Args:
      registry: what is told. With None this package's metrics alone; in one of your own, register a
        `StreamCollector`.
      workers: where several processes share a port, a directory of this service alone, which is
        made if it is not there. Whoever is asked answers for all, each with a label ``worker``, a
        small number. With None each answers for itself, without.

    Raises:
      TypeError: it is no registry, or no path.
      ValueError: anybody can write to the directory.
      OSError: it cannot be made or written.
    """
    check_kind("registry", registry, CollectorRegistry, "a CollectorRegistry", or_none=True)
    if workers is not None and not isinstance(workers, str | os.PathLike):
        raise TypeError(f"workers must be the path of a directory or None, not {shown(workers)}")
    if registry is None:
        registry = CollectorRegistry()
        registry.register(StreamCollector())
    return MetricsApp(registry, None if workers is None else Path(workers))


@final
class _Merged(Collector):
    """What is in no registry, to be written like one that is."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


@final
class MetricsApp:
    """The application that `metrics_app` makes."""

    def __init__(self, registry: CollectorRegistry, directory: Path | None) -> None:
        self._registry = registry
        tell = partial(generate_latest, registry)
        self._workers = None if directory is None else Workers(directory, tell)
        self._one_by_one = trio.Lock()
        #: The last text: when it was begun, and its content type.
        self._last, self._begun, self._kind = b"", -inf, ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError("metrics_app answers HTTP requests: mount it in an application")
        if scope["method"] not in ("GET", "HEAD"):
            headers = {"content-type": "text/plain; charset=utf-8", "allow": "GET, HEAD"}
            await answer(send, 405, b"ask by GET\n", headers)
            return
        accept = list_header(scope, b"accept").decode("latin-1")
        encode, content_type = choose_encoder(accept)
        text = await self._text(encode, content_type)
        headers = {"content-type": content_type}
        await answer(send, 200, text, headers, head=scope["method"] == "HEAD")

    async def _text(self, encode: Callable[[Collector], bytes], kind: str) -> bytes:
        """Made one after another: who has waited for his turn is given what was begun meanwhile."""
        came = trio.current_time()
        async with self._one_by_one:
            if self._kind != kind or self._begun <= came:
                begun = trio.current_time()
                self._last = await self._make(encode)
                self._begun, self._kind = begun, kind
            return self._last

    async def _make(self, encode: Callable[[Collector], bytes]) -> bytes:
        await readings.read_in_turns()
        if self._workers is None:
            return encode(self._registry)
        texts = await self._workers.ask_all()
        return await trio.to_thread.run_sync(lambda: encode(_Merged(told_apart(texts))))
