#!/bin/sh
# GNU Wget 1.21.3 (Debian 12's package wget 1.21.3-1+deb12u1)
#
# Expected: a response that breaks off is an error; or it is asked for again, and begins anew. A
#   POST is not asked for again.
# Instead: it is asked for again, by POST, too, with "Range: bytes=N-" for the N bytes that came. A
#   server that makes its answers need not know ranges, and sends a 200: of that wget skips the
#   first N bytes, puts the rest behind what it had, and exits with 0.
# Matters: the same bytes come again only from a file. Of an event stream the first N bytes after a
#   restart are swallowed, which may be hours of it; of a model's answer the end of one is put
#   behind the beginning of another. `--tries=1` makes it end at the break, with exit code 4.
wget -V 2>/dev/null | grep -q '^GNU Wget 1\.21\.3 ' || { echo "needs: Debian 12's wget"; exit 2; }
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"

cat > seen.py <<'PYTHON'
import socket
import subprocess
import threading

asked = []


def answer(connection):
    """Chunked lines that name the answer and themselves; only the third answer has an end."""
    with connection:
        head = connection.recv(65536).decode()
        asked.append((head.split()[0], "Range:" in head))
        body = b""
        for line in range(3 * len(asked)):
            data = f"answer {len(asked)}, line {line}\n".encode()
            body += b"%x\r\n%b\r\n" % (len(data), data)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n")
        connection.sendall(b"Transfer-Encoding: chunked\r\n\r\n" + body)
        if len(asked) == 3:
            connection.sendall(b"0\r\n\r\n")


def serve(listener):
    while True:
        answer(listener.accept()[0])


listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=serve, args=[listener], daemon=True).start()
url = f"http://127.0.0.1:{listener.getsockname()[1]}/"


def wget(*options):
    asked.clear()
    command = ["wget", "--no-config", "--no-proxy", "--quiet", "--output-document=-", *options, url]
    done = subprocess.run(command, stdout=-1, text=True, timeout=40)
    print(f"wget {' '.join(options)}: exit code {done.returncode}, asked {asked}")
    print(done.stdout)
    return done.returncode, list(asked), done.stdout.splitlines()


first, second, third = ([f"answer {k}, line {n}" for n in range(3 * k)] for k in (1, 2, 3))
joined = [*first, *second[3:], *third[6:]]
assert wget() == (0, [("GET", False), ("GET", True), ("GET", True)], joined)
assert wget("--post-data=x") == (0, [("POST", False), ("POST", True), ("POST", True)], joined)
assert wget("--tries=1") == (4, [("GET", False)], first)
PYTHON
timeout 90 python3 seen.py
