from quart import Response, make_response, request, session
from quart_trio import QuartTrio

from tests.frameworks.apps import streams
from trio_stream import Stream, StreamMiddleware
from trio_stream.frameworks.quart_trio import StreamConnection, StreamResponse

app = QuartTrio(__name__)
app.asgi_http_class = StreamConnection
app.secret_key = "a test's"
app.config["RESPONSE_TIMEOUT"] = 0.3


@app.route("/endless", methods=["GET", "POST"])
async def endless() -> StreamResponse:
    return StreamResponse(streams.endless())


@app.get("/finite")
async def finite() -> StreamResponse:
    session["user"] = request.args.get("user", "nobody")
    return StreamResponse(streams.finite())


@app.get("/upstream-down")
async def upstream_down() -> StreamResponse:
    return StreamResponse(streams.upstream_down())


@app.get("/failing")
async def failing() -> StreamResponse:
    return StreamResponse(streams.failing())


@app.get("/lines")
async def lines() -> StreamResponse:
    return StreamResponse(streams.lines())


@app.post("/echo")
async def echo() -> StreamResponse:
    return StreamResponse(Stream([(await request.get_json())["text"]]))


@app.get("/ended")
async def ended() -> Response:
    response: Response = await make_response(streams.ended)
    response.timeout = None  # that is for streams here
    return response


@app.after_request
async def allow_origin(response: Response) -> Response:
    response.headers["Access-Control-Allow-Origin"] = "https://example.org"
    return response


direct = StreamMiddleware(app)  # type: ignore[arg-type]
without_connection = QuartTrio(__name__)
without_connection.secret_key = app.secret_key
without_connection.add_url_rule("/finite", "finite", finite)
