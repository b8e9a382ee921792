#!/bin/sh
# Chromium 156.0.8078 (Debian 12's package chromium 156.0.8078.108-1~deb12u1)
#
# Expected: a response with `Use-As-Dictionary` (RFC 9842) in a secure context is kept, and the next
#   request that matches has `Available-Dictionary`, and dcz in its Accept-Encoding. Which authority
#   vouches for the server is no matter of the RFC's, if the browser trusts it.
# Instead: of a server that a private authority vouches for, which the browser trusts, no dictionary
#   is kept, silently, while the page loads and is a secure context: Chromium wants a root that it
#   knows by itself. The same server with the same certificate is excepted as "localhost".
# Matters: compression with dictionaries works while it is developed, and not in staging or in the
#   company's own network, where it saves nothing and nothing tells why.
chromium --version 2>/dev/null | grep -q ' 156\.' || { echo "needs: apt-get install chromium"; exit 2; }
grep -q '^12\.' /etc/debian_version || { echo "needs Debian 12"; exit 2; }
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
apt-get download -qq libnss3-tools 2>/dev/null || { echo "needs: apt-get update"; exit 2; }
dpkg-deb --extract libnss3-tools_*.deb debian
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile trustme==1.2.1

cat > seen.py <<'PYTHON'
import os
import pathlib
import shutil
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import trustme

TRIES = 5
PAGE = """<!doctype html><link rel="icon" href="data:,"><script>
(async () => {
  await (await fetch('/dictionary')).arrayBuffer()
  for (let n = 0; n < TRIES; n++) {
    await new Promise(done => setTimeout(done, 400))
    await (await fetch(`/events/${n}`)).arrayBuffer()
  }
  await fetch('/', { method: 'POST', body: String(isSecureContext) })
})()
</script>""".replace("TRIES", str(TRIES))
folder = pathlib.Path.cwd()
home = str(folder)
home = {"HOME": home, "XDG_CONFIG_HOME": home, "XDG_CACHE_HOME": home, "TMPDIR": home}
authority = trustme.CA()
authority.cert_pem.write_to_path("authority.pem")
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
authority.issue_cert("localhost", "app.example").configure_cert(tls)
store = folder / ".pki/nssdb"  # where Chromium looks for authorities to trust
store.mkdir(parents=True)
for command in (
    ["-N", "--empty-password"],
    ["-A", "-n", "own", "-t", "C,,", "-i", "authority.pem"],
):
    subprocess.run(["debian/usr/bin/certutil", *command, "-d", f"sql:{store}"], check=True)


def ask(scheme, host):
    """Whether the page is a secure context, and what its requests said of dictionaries."""
    seen = []
    secure = []
    told = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            body = b"data: x\n\n"
            if self.path == "/":
                self.send_header("Content-Type", "text/html")
                body = PAGE.encode()
            elif self.path == "/dictionary":
                self.send_header("Use-As-Dictionary", 'match="/events/*"')
                self.send_header("Cache-Control", "max-age=3600")
                body = b"data: what most events say, more or less\n\n" * 10
            else:
                available = self.headers["Available-Dictionary"] is not None
                seen.append((available, "dcz" in self.headers["Accept-Encoding"]))
                self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self):
            secure.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(204)
            self.end_headers()
            told.set()

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if scheme == "https":
        server.socket = tls.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    options = [
        *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
        *("--disable-background-networking", "--disable-component-update", "--no-first-run"),
        *("--no-proxy-server", "--user-data-dir=profile"),
        "--host-resolver-rules=MAP app.example 127.0.0.1",
    ]
    url = f"{scheme}://{host}:{server.server_port}/"
    with pathlib.Path("log").open("wb") as log:
        chromium = subprocess.Popen(["chromium", *options, url], env=os.environ | home, stderr=log)
        try:
            assert told.wait(40), "Chromium does not answer"
        finally:
            chromium.terminate()
            chromium.wait(20)
    shutil.rmtree("profile", ignore_errors=True)
    server.shutdown()
    print(f"{scheme}://{host}: secure context {secure[0]}, (Available-Dictionary, dcz): {seen}")
    return secure[0], seen[-1], len(seen)


assert ask("http", "localhost") == ("true", (True, True), TRIES)
assert ask("https", "localhost") == ("true", (True, True), TRIES)
assert ask("https", "app.example") == ("true", (False, False), TRIES)
PYTHON
timeout 180 venv/bin/python seen.py
