"""A span for each stream, which ends with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final
from weakref import WeakKeyDictionary

from opentelemetry import propagate, trace
from opentelemetry.trace import Link, Span, SpanContext, Status, StatusCode, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from ..checks import check_kind, check_text
from ..stream import Stream, StreamHooks
from ..stream.answers.clients import read_headers
from ..stream.options.hooks import hook_all, unhook_all
from ..stream.outcome import FAILURES
from .undoing import Instrumentation

if TYPE_CHECKING:
    from opentelemetry.context import Context

__all__ = ["instrument", "link"]

#: By stream. Weak, as one that is entered may be dropped without its end.
_spans: WeakKeyDictionary[Stream, list[Span]] = WeakKeyDictionary()

_traceparent = TraceContextTextMapPropagator()


def instrument(tracer_provider: TracerProvider | None = None) -> Instrumentation:
    """Make a span for each stream, by the given provider, or the global one; none for an event.

    Once in each process, when it starts. The span is a child of the request's, and has a link to
    it: of the span that is the current one when the stream opens, or what the request's headers
    say. It has events ``opened``, ``first byte``, ``draining`` and ``stalled``, and ends with the
    stream, with its outcome, events and bytes as attributes.
    """
    traces = _Traces(trace.get_tracer("trio_stream", tracer_provider=tracer_provider))
    hook_all(traces.hooks)
    return Instrumentation(traces.stop)


def link(stream: Stream, traceparent: str) -> None:
    """Link the span of a stream to where an event came from that it is sent.

    Args:
      stream: one that has no span, or has ended, is left as it is.
      traceparent: as W3C's Trace Context has it, which whoever published the event has put into it.
        What is none is ignored, as that says.
    """
    check_kind("stream", stream, Stream, "a Stream")
    check_text("traceparent", traceparent)
    context = _traceparent.extract({"traceparent": traceparent})
    origin = trace.get_current_span(context).get_span_context()
    if origin.is_valid:
        for span in _spans.get(stream, ()):
            span.add_link(origin)


@final
class _Traces:
    """The spans of one tracer."""

    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer
        self._own: WeakKeyDictionary[Stream, Span] = WeakKeyDictionary()
        self.hooks = StreamHooks(
            on_open=self._open,
            on_first_byte=lambda stream: self._note(stream, "first byte"),
            on_drain=lambda stream: self._note(stream, "draining"),
            on_stall=lambda stream: self._note(stream, "stalled"),
            on_end=self._end,
        )

    def stop(self) -> None:
        unhook_all(self.hooks)
        for stream in list(self._own):
            self._end(stream)

    def _open(self, stream: Stream) -> None:
        scope = stream.scope
        context, request = _request(scope)
        span = self._tracer.start_span(
            f"stream {stream.label or ''}".rstrip(),
            context,
            links=[Link(request)] if request.is_valid else [],
            attributes=_attributes(stream),
        )
        span.add_event("opened")
        self._own[stream] = span
        _spans.setdefault(stream, []).append(span)

    def _note(self, stream: Stream, name: str) -> None:
        if (span := self._own.get(stream)) is not None:
            span.add_event(name)

    def _end(self, stream: Stream) -> None:
        span = self._own.pop(stream, None)
        if span is None:  # it was never open
            return
        counted = stream.statistics()
        outcome = str(stream.outcome)
        span.set_attributes(
            {
                "trio_stream.outcome": outcome,
                "trio_stream.events": counted.events,
                "trio_stream.bytes": counted.bytes,
                "trio_stream.peak_queued": counted.peak_queued,
            }
        )
        if stream.outcome in FAILURES:
            span.set_status(Status(StatusCode.ERROR, "the producer, or its upstream, has failed"))
        span.end()
        _spans[stream].remove(span)


def _request(scope: Any) -> tuple[Context | None, SpanContext]:
    """The span that the stream belongs to: the current one, or what the request's headers say."""
    current = trace.get_current_span().get_span_context()
    if current.is_valid or scope is None:
        return None, current
    context = propagate.extract(read_headers(scope))
    return context, trace.get_current_span(context).get_span_context()


def _attributes(stream: Stream) -> dict[str, str]:
    """What is known of a stream when it opens: no query, no header, nobody's name."""
    found = {
        "http.route": stream.label,
        "network.protocol.version": (stream.scope or {}).get("http_version"),
    }
    return {name: value for name, value in found.items() if value}
