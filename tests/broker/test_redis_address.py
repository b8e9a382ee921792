"""What a Redis URL says: taken as it is meant, or refused, and never repeated with its secrets."""

import ssl
import traceback
from pathlib import Path
from typing import Any

import pytest
from coredis.connection import TCPLocation, UnixDomainSocketLocation

from tests.support.certificates import make_certificate
from trio_stream.broker import open_broker
from trio_stream.broker.redis.address import parse_address
from trio_stream.broker.urls import shown_url

HERE = TCPLocation("127.0.0.1", 6379)


@pytest.mark.parametrize(
    ("url", "location", "options"),
    [
        ("redis://127.0.0.1", HERE, {}),
        ("redis://127.0.0.1/", HERE, {}),
        ("redis://127.0.0.1:7000/12", TCPLocation("127.0.0.1", 7000), {"db": 12}),
        ("REDIS://127.0.0.1?db=3", HERE, {"db": 3}),
        ("valkey://[::1]:7000/1", TCPLocation("::1", 7000), {"db": 1}),
        ("redis://:p%40ss%2Fw%3Fo%23rd%25@127.0.0.1", HERE, {"password": "p@ss/w?o#rd%"}),
        ("redis://app:sch%C3%B6n@127.0.0.1", HERE, {"username": "app", "password": "schön"}),
        (
            "redis://127.0.0.1?username=app&password=a%26b",
            HERE,
            {"username": "app", "password": "a&b"},
        ),
        ("redis://127.0.0.1?client_name=web", HERE, {"client_name": "web"}),
        ("unix:///run/redis.sock?db=2", UnixDomainSocketLocation("/run/redis.sock"), {"db": 2}),
        ("unix://:pw@/run/a%20b", UnixDomainSocketLocation("/run/a b"), {"password": "pw"}),
    ],
)
def test_one_redis(url: str, location: object, options: dict[str, Any]) -> None:
    address = parse_address(url)
    assert (address.locations, address.options) == ([location], options)


@pytest.mark.parametrize("scheme", ["redis", "valkey"])
def test_those_who_know_where_redis_is(scheme: str) -> None:
    address = parse_address(f"{scheme}+sentinel://app:pw@a,b:7000,[::1]/main?db=2")
    assert address.kind == "redis+sentinel"
    assert address.service == "main"
    assert address.locations == [
        TCPLocation("a", 26379),
        TCPLocation("b", 7000),
        TCPLocation("::1", 26379),
    ]
    assert address.options == {"username": "app", "password": "pw", "db": 2}
    address = parse_address(f"{scheme}+cluster://a,b:7000/")
    assert address.kind == "redis+cluster"
    assert address.locations == [TCPLocation("a", 6379), TCPLocation("b", 7000)]


WRONG = [
    ("redis://", "no host"),
    ("redis://:6379/0", "no host"),
    ("redis://h/1/2", "a database is a number"),
    ("redis://h/abc", "a database is a number"),
    ("redis://h/-1", "a database is a number"),
    ("redis://h/1?db=2", "the database is there twice"),
    ("redis://h?db=x", "a database is a number"),
    ("redis://h?db=", "a database is a number"),
    ("redis://h?db=1&db=1", "db is there twice"),
    ("redis://h?no_such_option=1", "no option no_such_option"),
    ("redis://h?stream_timeout=1", "no option stream_timeout"),
    ("redis://h:99999", "escaped"),
    ("redis://h1,h2/0", "several hosts"),
    ("redis://h?ssl_cert_reqs=none", "rediss"),
    ("redis://app:a@h?username=b", "username is there twice"),
    ("unix://run/redis.sock", "third slash"),
    ("unix:///", "no path"),
    ("redis+sentinel://h", "name of a service"),
    ("redis+sentinel://h/a/b", "name of a service"),
    ("redis+cluster://h/2", "no databases"),
    ("redis+cluster://h?db=2", "no databases"),
    ("redis+cluster://h,,i", "no host"),
    ("redis+tls://h", "no such scheme"),
    ("valkeyz://h", "no such scheme"),
    ("rediss://h?ssl_cert_reqs=maybe", "ssl_cert_reqs is"),
    ("rediss://h?ssl_check_hostname=", "ssl_check_hostname is"),
    ("rediss://h?ssl_cert_reqs=none&ssl_check_hostname=true", "of no use"),
    ("rediss://h?ssl_keyfile=/nowhere", "of no use"),
    ("rediss://h?ssl_ca_certs=/nowhere", "ssl_ca_certs cannot be used"),
]


@pytest.mark.parametrize(("url", "why"), WRONG)
async def test_what_cannot_be_meant_is_refused_with_the_reason(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=f"{why}.*; a Redis URL is"):
        async with open_broker(url):
            pass


SECRET = "TOPSECRET"


@pytest.mark.parametrize(
    "url",
    [
        f"{scheme}://{rest}"
        for scheme in ("redis", "rediss", "valkey", "redis+sentinel", "redis+cluster", "unix")
        for rest in (
            f":12/{SECRET}@h:6379/0",
            f"app:{SECRET}/x@h:6379/x/y",
            f"app:x/{SECRET}@h?ssl_ca_certs=/no/such/file",
            f"app:12?{SECRET}@h/0",
            f"app:12?x={SECRET}@h/0",
            f"app:12#{SECRET}@h/0",
            f":{SECRET}",
            f"app:{SECRET}",
            f"app:{SECRET}:x@h:port",
            f"h/x/y?password={SECRET}",
            f"h/x/y?{SECRET}=1",
            f"h?ssl_ca_certs=/{SECRET}",
            f"h?db={SECRET}",
            f"[{SECRET}@h",
            f"{SECRET}\u2100@h",
        )
    ]
    + [
        f"mysql://app:{SECRET}@h/db?sslpassword={SECRET}",
        f"postgres://app:{SECRET}@h/db?sslpassphrase={SECRET}",
        f"postgres://app:{SECRET}@h:port/db",
        f"sqlite://app:{SECRET}@h/file",
        f"sqlite:///file?key={SECRET}",
        f"memory://app:{SECRET}@h",
        f"memory://?key={SECRET}",
        f"app:{SECRET}@h:6379",
        f"redis:/app:{SECRET}@h",
    ],
)
async def test_no_error_repeats_a_secret(url: str) -> None:
    with pytest.raises(ValueError, match=r"URL|address") as caught:
        async with open_broker(url):
            pass
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://app:pw@h,i:7000/0", "redis://***@h,i:7000/0"),
        ("redis://[::1]:6379/0?db=1", "redis://[::1]:6379/0?***"),
        ("redis://h?email=a@b", "redis://***"),
        ("sqlite:///a/b.db", "sqlite:///a/b.db"),
        ("localhost:6379", "localhost:6379"),
    ],
)
def test_the_rest_of_a_url_is_shown(url: str, shown: str) -> None:
    assert shown_url(url) == shown


@pytest.mark.parametrize(
    ("options", "certificate", "host"),
    [
        ("", ssl.CERT_REQUIRED, True),
        ("ssl_cert_reqs=required", ssl.CERT_REQUIRED, True),
        ("ssl_cert_reqs=optional", ssl.CERT_OPTIONAL, True),
        ("ssl_cert_reqs=none", ssl.CERT_NONE, False),
        ("ssl_check_hostname=false", ssl.CERT_REQUIRED, False),
        ("ssl_check_hostname=no&ssl_cert_reqs=required", ssl.CERT_REQUIRED, False),
        ("ssl_check_hostname=true&ssl_cert_reqs=optional", ssl.CERT_OPTIONAL, True),
    ],
)
@pytest.mark.parametrize("files", ["", "ssl_ca_certs", "ssl_certfile"])
def test_the_host_is_checked_whenever_the_certificate_is(
    tmp_path: Path, files: str, options: str, certificate: ssl.VerifyMode, host: bool
) -> None:
    made = make_certificate(tmp_path)
    query = {
        "": "",
        "ssl_ca_certs": f"&ssl_ca_certs={made.authority}",
        "ssl_certfile": f"&ssl_certfile={made.certfile}&ssl_keyfile={made.keyfile}",
    }[files]
    context = parse_address(f"rediss://h?{options}{query}").options["ssl_context"]
    assert (context.verify_mode, context.check_hostname) == (certificate, host)
