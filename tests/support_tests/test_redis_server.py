import pytest
import trio

from tests.support.redis_server import redis_server


async def test_keeps_its_port_but_not_its_data_unless_told_to() -> None:
    async with redis_server() as redis:
        port = redis.port
        assert await redis.command("SET", "key", "value") == b"+OK\r\n"
        assert await redis.command("GET", "key") == b"$5\r\nvalue\r\n"
        await redis.restart()
        assert redis.port == port
        assert await redis.command("GET", "key") == b"$-1\r\n"
    with pytest.raises(OSError, match="all attempts to connect"):
        await redis.command("PING")


async def test_with_an_append_only_file_it_survives_a_crash() -> None:
    async with redis_server(appendonly="yes", appendfsync="always") as redis:
        await redis.command("SET", "key", "value")
        await redis.crash()
        with pytest.raises(OSError, match="all attempts to connect"):
            await redis.command("PING")
        await redis.start()
        assert await redis.command("GET", "key") == b"$5\r\nvalue\r\n"


async def test_paused_it_hangs_and_resumed_it_answers() -> None:
    async with redis_server() as redis:
        redis.pause()
        with trio.move_on_after(0.2) as hanging:
            await redis.command("PING")
        assert hanging.cancelled_caught
        redis.resume()
        assert await redis.command("PING") == b"+PONG\r\n"


async def test_a_paused_one_is_ended_all_the_same() -> None:
    async with redis_server() as redis:
        redis.pause()
    assert redis.process.returncode is not None


async def test_two_at_once() -> None:
    async with redis_server() as first, redis_server() as second:
        await first.command("SET", "key", "value")
        assert await second.command("GET", "key") == b"$-1\r\n"


async def test_one_that_crashed_needs_no_restart() -> None:
    async with redis_server() as redis:
        await redis.crash()
    assert redis.process.returncode is not None
