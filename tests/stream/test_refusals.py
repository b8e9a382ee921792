"""Whose fault a failure is: an upstream's refusal, in whatever error an SDK tells of it."""

import cohere.errors
import google.genai.errors
import httpx
import httpx2
import ollama
import openai
import pytest
import starlette.exceptions

from trio_stream import UpstreamStatusError
from trio_stream.stream.answers.refusals import Blame, blame

RETRY = {"Retry-After": "7"}


class AnswerError(Exception):
    """As huggingface_hub's, with `response`, or mistralai's, with `raw_response`."""

    def __init__(self, **attributes: object) -> None:
        super().__init__("refused")
        self.__dict__.update(attributes)


def response(status: int) -> httpx2.Response:
    request = httpx2.Request("POST", "http://example.org/")
    return httpx2.Response(status, headers=RETRY, request=request)


REFUSALS = {
    "trio_stream": UpstreamStatusError("http://example.org/", 429, "7"),
    "cohere": cohere.errors.TooManyRequestsError(body="slow down", headers={"retry-after": "7"}),
    "google-genai": google.genai.errors.ClientError(429, {}, response(429)),  # type: ignore[arg-type]
    "openai": openai.RateLimitError("slow down", response=response(429), body=None),
    "a raw response": AnswerError(raw_response=response(429), status_code=429, headers=RETRY),
    "a status and headers": AnswerError(status_code=429, headers=RETRY),
}


@pytest.mark.parametrize("error", REFUSALS.values(), ids=REFUSALS)
def test_an_upstreams_refusal_is_told_with_its_status(error: Exception) -> None:
    assert blame(error) == Blame(502, 429, "7")


@pytest.mark.parametrize("error", REFUSALS.values(), ids=REFUSALS)
def test_also_as_the_cause_of_another(error: Exception) -> None:
    ours = KeyError("ours")
    ours.__cause__ = error
    assert blame(ours) == Blame(502, 429, "7")


def test_one_that_knows_the_status_alone() -> None:
    assert blame(ollama.ResponseError("slow down", 503)) == Blame(502, 503)


@pytest.mark.parametrize("headers", [None, [], {}, {7: "x"}, {"retry-after": 7}, "retry-after"])
def test_headers_that_tell_nothing(headers: object) -> None:
    assert blame(AnswerError(status_code=500, headers=headers)) == Blame(502, 500)


def test_an_error_that_came_in_an_answer_that_was_none() -> None:
    error = google.genai.errors.ServerError(503, {}, response(200))  # type: ignore[arg-type]
    assert blame(error) == Blame(502, None, "7")
    assert blame(UpstreamStatusError("http://example.org/", 304)) == Blame(502)


@pytest.mark.parametrize("status", [None, True, -1, 200, 302, 399, 600, "429", 429.0])
def test_what_is_no_error_status(status: object) -> None:
    assert blame(AnswerError(status_code=status, headers=RETRY)) == Blame(500)


def test_the_programs_own_answer_is_no_upstreams() -> None:
    assert blame(starlette.exceptions.HTTPException(429, headers=RETRY)) == Blame(500)


def test_what_took_too_long_and_what_could_not_be_reached() -> None:
    assert blame(httpx2.ReadTimeout("slow")) == Blame(504)
    assert blame(httpx.ConnectError("no")) == Blame(502)
    assert blame(KeyError("a bug")) == Blame(500)
