#!/bin/sh
# Hypercorn 0.18.0 with aioquic 1.7.2 (Trio worker, Trio 0.35.0)
#
# Expected: `graceful_timeout` is what open connections are granted when the server is told to end.
#   Without connections it ends at once, and over TCP it does.
# Instead: with `--quic-bind` it ends when the whole `graceful_timeout` is over, also if nobody
#   ever connected: what reads the datagrams waits for one more.
# Matters: who serves streams sets this time high, to let them finish. With HTTP/3 on, each restart
#   takes all of it, and an orchestrator with less patience kills the server.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile \
    'hypercorn[h3]==0.18.0' aioquic==1.7.2 trio==0.35.0 trustme==1.2.1

cat > app.py <<'PYTHON'
async def app(scope, receive, send):
    assert scope["type"] == "lifespan"
    for name in ("startup", "shutdown"):
        assert (await receive())["type"] == f"lifespan.{name}"
        await send({"type": f"lifespan.{name}.complete"})
PYTHON

cat > seen.py <<'PYTHON'
import pathlib
import socket
import subprocess
import sys
import time

import trustme

GRACE = 5
certificate = trustme.CA().issue_cert("localhost")
certificate.private_key_pem.write_to_path("key.pem")
pathlib.Path("cert.pem").write_bytes(b"".join(part.bytes() for part in certificate.cert_chain_pems))
pathlib.Path("config.toml").write_text(
    f'graceful_timeout = {GRACE}\ncertfile = "cert.pem"\nkeyfile = "key.pem"\n'
)


def end(*binds):
    """How many seconds a server takes to end that nobody has connected to, and its exit code."""
    command = [sys.executable, "-m", "hypercorn", "--config", "config.toml"]
    command += ["--worker-class", "trio", *binds, "app:app"]
    last = "(QUIC)" if "--quic-bind" in binds else "Running on"  # of what it says when it starts
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert any(last in line for line in server.stderr), "the server has not started"
        began = time.monotonic()
        server.terminate()
        code = server.wait(30)
        return time.monotonic() - began, code
    finally:
        server.kill()
        server.communicate()


with socket.socket(type=socket.SOCK_DGRAM) as probe:
    probe.bind(("127.0.0.1", 0))
    quic = f"127.0.0.1:{probe.getsockname()[1]}"
tcp_only, tcp_code = end("--bind", "127.0.0.1:0")
with_quic, quic_code = end("--bind", "127.0.0.1:0", "--quic-bind", quic)
print(f"TCP: {tcp_only:.1f} s (exit code {tcp_code})")
print(f"TCP and QUIC: {with_quic:.1f} s (exit code {quic_code}), graceful_timeout is {GRACE} s")
assert (tcp_code, quic_code) == (0, 0)
assert tcp_only < GRACE <= with_quic
PYTHON
timeout 120 venv/bin/python seen.py
