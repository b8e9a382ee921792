"""What type checkers must refuse, line by line."""

from trio_stream import (
    Broker,
    EventSource,
    ReconnectPolicy,
    ServerSentEvent,
    SourceRun,
    Stream,
    StreamLimits,
    encode,
    serve,
    stream_app,
)


async def no_stream() -> None:
    """A callback without its argument."""


Stream(3)  # refused
Stream(object())  # refused
Stream(ServerSentEvent("one event"))  # refused
Stream(no_stream)  # refused
Stream(lambda stream, more: None)  # refused
Stream([1], pingg=5)  # refused
Stream([1], ping="5")  # refused
Stream([1], retry=1.5)  # refused
Stream([1], format="xml")  # refused
Stream([1], farewell="polite")  # refused
Stream([1], limits=5)  # refused
Stream([1], status="200")  # refused
Stream([1], headers={"a": 1})  # refused
Stream([1], 5)  # refused
stream_app(3)  # refused
stream_app(no_stream)  # refused
stream_app(pingg=5)  # refused
stream_app(ping="5")  # refused
stream_app(lifespan=5)  # refused


async def use(stream: Stream) -> None:
    await stream.send("x", evnt="y")  # refused
    await stream.send("x", id=1.5)  # refused
    await stream.wait("1")  # refused
    stream.start_soon(3)  # refused
    stream.outcome = None  # refused


async def ticks(run: SourceRun) -> None:
    await run.send(1)


def tell(broker: Broker) -> None:
    broker.subscribe("t", gap=lambda gap: ServerSentEvent(gap.cursor))  # refused
    broker.subscribe("t", gap=lambda: None)  # refused
    broker.subscribe("t", place=lambda place: None)  # refused
    broker.subscribe("t", statistics=lambda statistics: ServerSentEvent(statistics.left))  # refused
    broker.resumable("key", None, done=lambda reason: None)  # refused
    broker.resumable("key", None, failed=lambda reason: ServerSentEvent(reason.text))  # refused
    broker.source("t", ticks, failed=lambda reason: None)  # refused


StreamLimits(per_kye=5)  # refused
StreamLimits(refuse="never")  # refused
ReconnectPolicy(delay="3")  # refused
EventSource(3)  # refused
EventSource("u", read_as="html")  # refused
ServerSentEvent("x", id=1.5)  # refused
encode()  # refused
serve()  # refused
