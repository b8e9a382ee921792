"""TLS, Sentinel and Cluster: Debian's own, as real as the Redis behind them."""

import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from tests.support.certificates import Certificate, make_certificate
from tests.support.need import need
from tests.support.processes import Process
from tests.support.redis_server import RedisServer, need_tls, redis_server
from trio_stream.broker import Broker, open_broker
from trio_stream.broker.redis.wire import RefusedError
from trio_stream.errors import BrokerUnavailableError
from trio_stream.testing import check_broker

LOG = "{trio_stream}:log"
LIVE = "{trio_stream}:live"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def collect(
    broker: Broker,
    *,
    into: list[str],
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Every event from now on; a gap is a failure."""
    events = broker.subscribe("t")
    task_status.started()
    async for event in events:
        into.append(event.data)


async def all_of(found: list[str], wanted: list[str]) -> None:
    with trio.move_on_after(60):
        while len(found) < len(wanted):
            await trio.sleep(0.02)
    assert found == wanted


# TLS.


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    return make_certificate(tmp_path)


@pytest.fixture
async def tls_port(certificate: Certificate) -> AsyncIterator[int]:
    need_tls()
    port = free_port()
    async with redis_server(
        tls_port=str(port),
        tls_cert_file=str(certificate.certfile),
        tls_key_file=str(certificate.keyfile),
        tls_ca_cert_file=str(certificate.authority),
        tls_auth_clients="no",
        bind="127.0.0.1 127.0.0.2",
    ):
        yield port


async def test_over_tls_it_keeps_the_contract(tls_port: int, certificate: Certificate) -> None:
    url = f"rediss://localhost:{tls_port}/0?ssl_ca_certs={certificate.authority}"
    numbers = iter(range(100))
    await check_broker(
        lambda **options: open_broker(url, prefix=f"p{next(numbers)}", **options),
    )


async def test_a_certificate_by_an_unknown_authority_is_refused(tls_port: int) -> None:
    with pytest.raises(BrokerUnavailableError, match="certificate"):
        async with open_broker(f"rediss://localhost:{tls_port}/0"):
            pass


@pytest.mark.parametrize("also", ["", "&ssl_cert_reqs=required", "&ssl_cert_reqs=optional"])
async def test_a_certificate_for_another_host_is_refused_unless_that_is_asked_for(
    tls_port: int, certificate: Certificate, also: str
) -> None:
    url = f"rediss://127.0.0.2:{tls_port}/0?ssl_ca_certs={certificate.authority}{also}"
    with pytest.raises(BrokerUnavailableError, match="certificate"):
        async with open_broker(url):
            pass
    async with open_broker(f"{url}&ssl_check_hostname=false") as broker:
        await broker.publish("t", 1)


async def test_any_certificate_is_taken_only_when_that_is_asked_for(tls_port: int) -> None:
    url = f"rediss://127.0.0.2:{tls_port}/0?ssl_check_hostname=false"
    with pytest.raises(BrokerUnavailableError, match="certificate"):
        async with open_broker(url):
            pass
    async with open_broker(f"{url}&ssl_cert_reqs=none") as broker:
        await broker.publish("t", 1)


# Sentinel.


@asynccontextmanager
async def sentinel(redis: RedisServer, folder: Path) -> AsyncIterator[int]:
    """A sentinel that replaces a primary that was silent for two seconds, by itself."""
    [program] = need("redis-server")
    port = free_port()
    config = folder / "sentinel.conf"
    config.write_text(
        f"port {port}\n"
        "bind 127.0.0.1\n"
        f"dir {folder}\n"
        f"sentinel monitor main 127.0.0.1 {redis.port} 1\n"
        "sentinel down-after-milliseconds main 2000\n"
        "sentinel failover-timeout main 3000\n"
    )
    process = await Process.start([program, config, "--sentinel"], folder / "sentinel.log")
    try:
        await process.wait_for_log(r"\+slave ")
        yield port
    finally:
        await process.kill()


async def test_when_sentinel_replaces_the_primary_all_go_on_with_the_new_one(
    tmp_path: Path,
) -> None:
    async with (
        redis_server(repl_diskless_sync_delay="0") as first,
        redis_server(replicaof=f"127.0.0.1 {first.port}") as second,
    ):
        await second.process.wait_for_log("sync: Finished with success")
        async with sentinel(first, tmp_path) as port:
            url = f"redis+sentinel://127.0.0.1:1,127.0.0.1:{port}/main"
            found: list[str] = []
            async with open_broker(url) as broker, trio.open_nursery() as nursery:
                await nursery.start(lambda **kw: collect(broker, into=found, **kw))
                ids = [await broker.publish("t", n) for n in range(10)]
                # What the second one has not got yet would be lost, and told as a gap.
                while ids[-1].encode() not in await second.command("HGET", LOG, "last"):
                    await trio.sleep(0.01)
                await first.crash()
                with trio.fail_after(60):
                    ids += [await broker.publish("t", n) for n in range(10, 20)]
                assert [int(id) for id in ids] == sorted({int(id) for id in ids})
                await all_of(found, [str(n) for n in range(20)])
                nursery.cancel_scope.cancel()
            assert (await second.command("ROLE")).startswith(b"*3\r\n$6\r\nmaster")


async def test_who_is_cut_off_with_the_old_primary_leaves_it(tmp_path: Path) -> None:
    """The old one lives and takes what is written, but Sentinel cannot reach it any more."""
    async with (
        redis_server(repl_diskless_sync_delay="0") as first,
        redis_server(replicaof=f"127.0.0.1 {first.port}") as second,
    ):
        await second.process.wait_for_log("sync: Finished with success")
        async with sentinel(first, tmp_path) as port:
            url = f"redis+sentinel://127.0.0.1:{port}/main"
            async with open_broker(url) as broker:
                await broker.publish("t", "before")
                # What only Sentinel sends is refused, as if nothing of its came through.
                sentinels = ("-ping", "-replicaof", "-slaveof", "-multi", "-client")
                await first.command("ACL", "SETUSER", "default", *sentinels)
                with trio.fail_after(60):
                    while not (await second.command("ROLE")).startswith(b"*3\r\n$6\r\nmaster"):
                        await trio.sleep(0.05)
                    while b"after" not in await second.command("XRANGE", LIVE, "-", "+"):
                        await broker.publish("t", "after")
                        await trio.sleep(0.05)
                assert (await first.command("ROLE")).startswith(b"*3\r\n$6\r\nmaster")


async def test_a_service_that_sentinel_does_not_know_is_told(tmp_path: Path) -> None:
    async with redis_server() as first, redis_server(replicaof=f"127.0.0.1 {first.port}") as second:
        await second.process.wait_for_log("sync: Finished with success")
        async with sentinel(first, tmp_path) as port:
            with pytest.raises(BrokerUnavailableError, match="no 'other'"):
                async with open_broker(f"redis+sentinel://127.0.0.1:{port}/other"):
                    pass


@pytest.mark.parametrize(
    "url", ["redis+sentinel://127.0.0.1:1,127.0.0.1:2/main", "redis+cluster://127.0.0.1:1,[::1]:2"]
)
async def test_when_nobody_can_be_asked_that_is_told(url: str) -> None:
    with pytest.raises(BrokerUnavailableError, match="no node can be reached"):
        async with open_broker(url):
            pass


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis+cluster://127.0.0.1:{},[::1]:1", "belongs into the URL"),
        ("redis+sentinel://127.0.0.1:{},127.0.0.1:1/main", "Sentinel wants a password"),
    ],
)
async def test_a_password_that_is_missing_is_told_and_not_that_nobody_is_there(
    url: str, words: str
) -> None:
    async with redis_server(requirepass="word") as server:
        with pytest.raises(RefusedError, match=words) as caught:
            async with open_broker(url.format(server.port)):
                pass
        assert caught.value.code == "NOAUTH"


async def test_who_answers_counts_more_than_who_refuses(tmp_path: Path) -> None:
    async with redis_server(requirepass="word") as other, cluster() as (first, _):
        nodes = f"127.0.0.1:{other.port},127.0.0.1:{first.port}"
        async with open_broker(f"redis+cluster://{nodes}") as broker:
            await broker.publish("t", 1)


async def test_a_password_is_escaped_as_in_any_url() -> None:
    async with redis_server(requirepass="p@ss/word") as server:
        url = server.url.replace("//", "//:p%40ss%2Fword@")
        async with open_broker(url) as broker:
            await broker.publish("t", 1)


# Cluster.


@asynccontextmanager
async def cluster() -> AsyncIterator[tuple[RedisServer, RedisServer]]:
    """Two nodes, each with half of the slots."""

    async with (
        redis_server(cluster_enabled="yes") as a,
        redis_server(cluster_enabled="yes") as b,
    ):
        await a.command("CLUSTER", "ADDSLOTS", *map(str, range(8192)))
        await b.command("CLUSTER", "ADDSLOTS", *map(str, range(8192, 16384)))
        await a.command("CLUSTER", "MEET", "127.0.0.1", str(b.port))
        with trio.fail_after(60):
            for node in (a, b):
                while b"cluster_state:ok" not in await node.command("CLUSTER", "INFO"):
                    await trio.sleep(0.05)
        yield a, b


async def test_in_a_cluster_it_keeps_the_contract() -> None:
    async with cluster() as (a, b):
        numbers = iter(range(100))
        url = f"redis+cluster://127.0.0.1:{a.port},127.0.0.1:{b.port}"
        await check_broker(
            lambda **options: open_broker(url, prefix=f"p{next(numbers)}", **options),
        )
        for node in (a, b):  # some prefixes were the one's, some the other's
            assert await node.command("DBSIZE") != b":0\r\n"


async def test_a_node_that_has_not_the_keys_is_told_as_that() -> None:
    async with cluster() as (a, b):
        slot = (await a.command("CLUSTER", "KEYSLOT", "{trio_stream}"))[1:].split()[0].decode()
        owner, other = (a, b) if int(slot) < 8192 else (b, a)
        there = f"redis+cluster://127.0.0.1:{owner.port}"
        with pytest.raises(BrokerUnavailableError, match=f"node of a cluster.* {re.escape(there)}"):
            async with open_broker(other.url):
                pass
        async with open_broker(there) as broker:
            await broker.publish("t", 1)


async def move_slot(slot: str, source: RedisServer, target: RedisServer, moved: trio.Event) -> None:
    ids = [(await node.command("CLUSTER", "MYID")).split()[1].decode() for node in (source, target)]
    await target.command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0])
    await source.command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1])
    while keys := re.findall(
        rb"\r\n([^$*\r]+)", await source.command("CLUSTER", "GETKEYSINSLOT", slot, "100")
    ):
        to = ("127.0.0.1", str(target.port), "", "0", "5000", "KEYS")
        await source.command("MIGRATE", *to, *(key.decode() for key in keys))
        await trio.sleep(0.2)
    for node in (target, source):
        await node.command("CLUSTER", "SETSLOT", slot, "NODE", ids[1])
    moved.set()


async def test_when_the_keys_move_to_another_node_all_follow() -> None:
    async with cluster() as (a, b):
        url = f"redis+cluster://127.0.0.1:{a.port}"
        slot = (await a.command("CLUSTER", "KEYSLOT", "{trio_stream}"))[1:].split()[0].decode()
        source, target = (a, b) if int(slot) < 8192 else (b, a)
        found: list[str] = []
        async with open_broker(url) as broker, trio.open_nursery() as nursery:
            await nursery.start(lambda **kw: collect(broker, into=found, **kw))
            ids = [await broker.publish("t", n) for n in range(10)]
            moved = trio.Event()
            nursery.start_soon(move_slot, slot, source, target, moved)
            with trio.fail_after(60):
                while not moved.is_set():  # and once more, behind that
                    ids.append(await broker.publish("t", len(ids)))
                    await trio.sleep(0.005)
                ids.append(await broker.publish("t", len(ids)))
            assert [int(id) for id in ids] == sorted({int(id) for id in ids})
            await all_of(found, [str(n) for n in range(len(ids))])
            assert broker.statistics().engine["connections"] > 2
            nursery.cancel_scope.cancel()
