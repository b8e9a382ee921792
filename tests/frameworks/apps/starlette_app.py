from collections.abc import Callable

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.frameworks.apps import streams
from trio_stream import Stream, StreamMiddleware
from trio_stream.frameworks.starlette import StreamResponse


def answering(make: Callable[[], Stream]) -> Callable[[Request], object]:
    async def endpoint(request: Request) -> Stream:
        return make()

    return endpoint


class Endless(HTTPEndpoint):
    async def get(self, request: Request) -> Stream:
        return streams.endless()


async def echo(request: Request) -> Stream:
    return Stream([(await request.json())["text"]])


async def ended(request: Request) -> JSONResponse:
    return JSONResponse(streams.ended)


async def with_background(request: Request) -> StreamResponse:
    def after() -> None:
        streams.ended.append({"outcome": response.stream.outcome})

    response = StreamResponse(streams.finite(), background=BackgroundTask(after))
    response.set_cookie("seen", "yes")
    response.headers["x-added"] = "by the endpoint"
    return response


async def pass_on(request: Request, call_next: RequestResponseEndpoint) -> Response:
    return await call_next(request)


routes = [
    Route("/endless", answering(streams.endless), methods=["GET", "POST"]),
    Route("/class", Endless),
    Route("/finite", answering(streams.finite)),
    Route("/upstream-down", answering(streams.upstream_down)),
    Route("/failing", answering(streams.failing)),
    Route("/lines", answering(streams.lines)),
    Route("/with-background", with_background),
    Route("/echo", echo, methods=["POST"]),
    Route("/ended", ended),
]

app = Starlette(routes=routes)

cors = Middleware(CORSMiddleware, allow_origins=["https://example.org"], allow_credentials=True)
with_middleware = Starlette(routes=routes, middleware=[cors, Middleware(GZipMiddleware)])
direct = StreamMiddleware(app)
with_base_middleware = Starlette(
    routes=routes, middleware=[Middleware(BaseHTTPMiddleware, dispatch=pass_on)]
)
