"""`serve`: Hypercorn's Trio worker, started from code, with what long-lived streams need."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import trio
from hypercorn.config import Config
from hypercorn.utils import LifespanFailureError

from ...checks import check_callable, check_flag, check_kind
from .middleware import StreamMiddleware
from .settings import check_bind, check_setting
from .signals import stopping
from .worker import hypercorn_serve

if TYPE_CHECKING:
    from ..asgi import Receive, Scope, Send

__all__ = ["serve"]

App = Callable[["Scope", "Receive", "Send"], Awaitable[None]]

#: Connections that may wait to be accepted. With Hypercorn's 100, a thousand clients that come back
#: at once after a restart wait for seconds, because the kernel drops their SYNs. 4096 is Linux's
#: own limit (net.core.somaxconn) since 5.4.
_BACKLOG = 4096

#: After this many requests Hypercorn ends an HTTP/2 connection, its open streams included. Its
#: default of 1,000 is a day's worth for a browser that also loads the rest of a site.
_REQUESTS = 1_000_000_000


async def serve(
    app: App,
    *,
    bind: str | Sequence[str] | None = None,
    config: Config | None = None,
    direct: bool = True,
    shutdown_trigger: Callable[[], Awaitable[None]] | None = None,
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
    **settings: Any,
) -> None:
    """Serve an ASGI app on Hypercorn's Trio worker, in this process, until it is told to stop.

    ``trio.run(serve, app)`` is a whole server; ``await nursery.start(serve, app)`` one inside a
    larger program, and returns the addresses it is bound to, such as ``["http://127.0.0.1:8000"]``.
    SIGTERM, SIGINT and SIGHUP end it gracefully when it runs in the main thread, unless
    ``shutdown_trigger`` is given, or the program has set a handler of its own for that signal. A
    second SIGTERM or SIGINT does what it would have done before, which ends the program at once.

    Args:
      app: the ASGI app; wrapped in `StreamMiddleware` unless it is one already.
      bind: ``"host:port"`` (port 0: any), ``"unix:path"`` or ``"fd://n"``; or several of them.
      config: a Hypercorn config, taken as it is. Without it one is made with a backlog of 4096
        and no limit on the requests of a connection.
      direct: as for `StreamMiddleware`.
      shutdown_trigger: awaited in place of the signals; the server stops when it returns.
      settings: Hypercorn's settings by name, such as ``graceful_timeout=10`` or
        ``certfile="cert.pem"``.

    Raises:
      TypeError: a setting that Hypercorn does not have, or of another type than it has.
      ValueError: a number out of its range.
      OSError: an address that cannot be bound.
      hypercorn.utils.LifespanFailureError: the app's lifespan failed, before, while or after
        requests were served; its own exception is the cause.
    """
    check_callable("app", app, "takes scope, receive and send", takes=3, awaited=True)
    check_flag("direct", direct)
    check_callable(
        "shutdown_trigger", shutdown_trigger, "is awaited", takes=0, or_none=True, awaited=True
    )
    chosen = _configured(config, bind, settings)
    if not isinstance(app, StreamMiddleware):
        app = StreamMiddleware(app, direct=direct)
    app = lifespan = _Lifespan(app)
    told, until_served = trio.Event(), ExitStack()
    failure: BaseException | None

    async def wait_for_signal() -> None:
        until_served.enter_context(stopping(told.set))
        await told.wait()

    if shutdown_trigger is None and threading.current_thread() is threading.main_thread():
        shutdown_trigger = wait_for_signal
    try:
        with until_served:
            await hypercorn_serve()(
                app,
                chosen,
                shutdown_trigger=shutdown_trigger,
                task_status=task_status,
                mode="asgi",
            )
    except BaseExceptionGroup as group:
        failure = _what_happened(group)
    else:
        failure = lifespan.failure
    if failure is not None:
        if isinstance(failure, LifespanFailureError):  # the app's own is but its context
            failure.__cause__ = failure.__cause__ or failure.__context__
        raise failure  # out here, or its context would be lost to the group


class _Lifespan:
    """The app, and why its lifespan failed: what fails last of all Hypercorn 0.18 drops."""

    def __init__(self, app: StreamMiddleware) -> None:
        self._app = app
        self.failure: LifespanFailureError | None = None

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        # Not a coroutine function: that would be a frame more in each idle stream.
        watch = self._watch if scope["type"] == "lifespan" else self._app.pass_to_app
        return watch(scope, receive, send)

    async def _watch(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except LifespanFailureError as failure:
            self.failure = failure
            raise


def _configured(
    config: Config | None, bind: str | Sequence[str] | None, settings: dict[str, Any]
) -> Config:
    check_kind("config", config, Config, "a hypercorn.config.Config", or_none=True)
    if config is None:
        config = Config()
        config.backlog = _BACKLOG
        config.keep_alive_max_requests = _REQUESTS
    if bind is not None:
        check_bind("bind", bind)
        config.bind = [bind] if isinstance(bind, str) else list(bind)
    for name, value in settings.items():
        if name.startswith("_") or not hasattr(type(config), name):
            raise TypeError(f"Hypercorn has no setting {name!r}")
        check_setting(name, value)
        setattr(config, name, value)
    return config


def _what_happened(group: BaseExceptionGroup) -> BaseException:
    """What is inside the groups of Hypercorn's own nurseries, if it is one thing."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
