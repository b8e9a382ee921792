"""`error_answer=`: a refusal passed on by its own status, with a body of one's choice."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.stream.test_held_headers import lazy
from trio_stream import ErrorAnswer, Stream, UpstreamStatusError
from trio_stream.testing import connect

OURS = {"error": {"message": "The model is busy.", "type": "rate_limit"}}


def refused(status: int, **headers: str) -> httpx.Response:
    headers = {"x-request-id": "theirs", **headers}
    request = httpx.Request("POST", "http://example.org/")
    return httpx.Response(status, headers=headers, json={"detail": "theirs"}, request=request)


async def failing(error: Exception) -> AsyncIterator[str]:
    raise error
    yield "never"


async def answer_of(stream: Stream) -> tuple[int, dict[str, str], bytes]:
    async with connect(stream, raise_app_exceptions=False) as client:
        return client.status, dict(client.headers), await client.read()


async def test_the_upstreams_own_status_and_retry_after() -> None:
    source = refused(429, **{"retry-after": "7"})
    assert await answer_of(Stream(source, error_answer=ErrorAnswer())) == (
        429,
        {
            "content-type": "text/plain; charset=utf-8",
            "cache-control": "no-store",
            "retry-after": "7",
        },
        b"429 Too Many Requests\n",
    )


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503, 529, 599])
async def test_any_error_status(status: int) -> None:
    answer = await answer_of(Stream(refused(status), error_answer=ErrorAnswer(body=OURS)))
    assert answer[0] == status
    assert answer[1]["content-type"] == "application/json"
    assert answer[2] == b'{"error":{"message":"The model is busy.","type":"rate_limit"}}'


async def test_a_status_without_a_phrase() -> None:
    assert (await answer_of(Stream(refused(529), error_answer=ErrorAnswer())))[2] == b"529\n"


@pytest.mark.parametrize("status", [302, 304, 300, 199 + 400 + 1, 999])
async def test_what_is_no_error_status_is_not_passed_on(status: int) -> None:
    assert (await answer_of(Stream(refused(status), error_answer=ErrorAnswer())))[0] == 502


async def test_also_of_a_lazy_source(autojump_clock: object) -> None:
    status, headers, _ = await answer_of(Stream(lazy(), error_answer=ErrorAnswer()))
    assert (status, headers["retry-after"]) == (429, "7")


async def test_without_it_nothing_but_the_retry_after_is_told() -> None:
    status, headers, body = await answer_of(Stream(refused(429, **{"retry-after": "7"})))
    assert (status, headers["retry-after"], body) == (502, "7", b"502 Bad Gateway\n")
    assert "x-request-id" not in headers


@pytest.mark.parametrize(
    ("error", "status"),
    [(httpx.ReadTimeout("slow"), 504), (httpx.ConnectError("no"), 502), (KeyError("ours"), 500)],
)
async def test_a_failure_that_has_no_status(error: Exception, status: int) -> None:
    answer = await answer_of(Stream(failing(error), error_answer=ErrorAnswer(body=OURS)))
    assert answer[0] == status
    assert answer[2].startswith(b'{"error"')


async def test_a_status_of_ones_own_and_the_programs_fault_is_raised_all_the_same() -> None:
    stream = Stream(failing(KeyError("ours")), error_answer=ErrorAnswer(503, "Later.\n"))
    with pytest.raises(KeyError, match="ours"):
        async with connect(stream) as client:
            assert (client.status, await client.read()) == (503, b"Later.\n")
    assert stream.outcome == "failed"


async def test_a_function_may_pass_on_what_the_upstream_says() -> None:
    def answer(error: BaseException) -> ErrorAnswer:
        assert isinstance(error, UpstreamStatusError)
        return ErrorAnswer(body=error.body, headers={"content-type": "application/json"})

    status, headers, body = await answer_of(Stream(refused(404), error_answer=answer))
    assert (status, headers["content-type"]) == (404, "application/json")
    assert body == b'{"detail":"theirs"}'


async def test_a_function_may_leave_it_as_it_is() -> None:
    assert (await answer_of(Stream(refused(404), error_answer=lambda error: None)))[0] == 502


def raising(error: BaseException) -> ErrorAnswer:
    raise ValueError("a bug")


@pytest.mark.parametrize("function", [raising, lambda error: 429, ErrorAnswer])
async def test_a_function_that_fails_is_logged(
    function: Any, caplog: pytest.LogCaptureFixture
) -> None:
    status, _, body = await answer_of(Stream(refused(429), error_answer=function))
    assert (status, body) == (502, b"502 Bad Gateway\n")
    assert "error_answer= failed: the client is answered 502" in caplog.text


async def test_headers_replace_and_add() -> None:
    chosen = {"Retry-After": "60", "Cache-Control": "max-age=1", "X-Own": "a"}
    source = refused(503, **{"retry-after": "7"})
    _, headers, _ = await answer_of(Stream(source, error_answer=ErrorAnswer(headers=chosen)))
    assert headers == {
        "content-type": "text/plain; charset=utf-8",
        "retry-after": "60",
        "cache-control": "max-age=1",
        "x-own": "a",
    }


async def test_what_was_sent_before_is_a_200() -> None:
    stream = Stream(refused(429), error_answer=ErrorAnswer())
    stream.send_nowait("first")
    assert (await answer_of(stream))[0] == 200


@pytest.mark.parametrize("status", [0, 99, 200, 204, 205, 302, 304, 399, 600])
def test_a_status_that_is_no_errors(status: int) -> None:
    with pytest.raises(ValueError, match=rf"status {status} is no error's: use one from 400 to"):
        ErrorAnswer(status)


def test_a_body_that_cannot_be_sent() -> None:
    with pytest.raises(TypeError, match="body: object has no JSON form"):
        ErrorAnswer(body=object())
    with pytest.raises(ValueError, match="body: JSON has no NaN"):
        ErrorAnswer(body={"a": float("nan")})


def test_a_header_that_the_server_owns() -> None:
    with pytest.raises(ValueError, match="content-length"):
        ErrorAnswer(headers={"Content-Length": "5"})


async def test_it_is_one_for_many_streams() -> None:
    answer = ErrorAnswer(body=OURS)
    for status in (429, 503):
        assert (await answer_of(Stream(refused(status), error_answer=answer)))[0] == status
