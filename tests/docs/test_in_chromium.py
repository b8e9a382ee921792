"""The pages that docs/ shows, in Chromium, with the programs that serve them."""

from pathlib import Path

from tests.docs.snippets import PROJECT, snippets_of, write_programs
from tests.support.chromium import chromium
from tests.support.hypercorn_process import hypercorn

SAY = """
    document.querySelector("[name=text]").value = arguments[0];
    document.querySelector("button").click();
"""


async def test_the_board_misses_nothing_over_a_restart(tmp_path: Path) -> None:
    write_programs(tmp_path)
    env = {"PYTHONPATH": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    items = "[...document.querySelectorAll('li')].map(li => li.textContent).join()"
    status = "document.querySelector('[role=status]').textContent"
    async with chromium() as browser:
        async with hypercorn("board:app", env=env) as server:
            await browser.open(server.url)
            await browser.wait_until(f"{status} == 'listening'")
            await browser.run(SAY, "one")
            await browser.wait_until(f"{items} == 'one'")
        assert "a page's stream ended: shutdown" in server.process.log()
        await browser.wait_until(f"{status} == 'away, coming back'")
        async with hypercorn("board:app", env=env, port=server.port) as server:
            async with server.client() as other:
                await other.post("/say", content="two")
            await browser.wait_until(f"{items} == 'one,two'", within=60)
            await browser.run(SAY, "three")
            await browser.wait_until(f"{items} == 'one,two,three'")
            await browser.reload()  # which leaves the page for good, and opens it anew
            await server.process.wait_for_log("a page's stream ended: disconnected")


#: A user who logs in whenever the page asks for it, and counts that.
LOG_IN = """
    window.logins = 0;
    setInterval(() => {
        if (form.hidden) return;
        form.hidden = true;
        window.logins += 1;
        form.user.value = "ann";
        form.querySelector("button").click();
    }, 50);
"""

#: Send a note with whatever login there is, until there is one that holds.
NOTE = """
    const send = async () => {
        const headers = window.token ? {authorization: `Bearer ${token}`} : {};
        const answer = await fetch("/note", {method: "POST", body: arguments[0], headers});
        if (answer.status == 204) return true;
        await new Promise(resolve => setTimeout(resolve, 50));
        return send();
    };
    return send();
"""

ITEMS = "[...document.querySelectorAll('li')].map(li => li.textContent).join()"


def write_with_short_logins(folder: Path) -> None:
    """The programs, with logins of four seconds, and pages that are as quick."""
    write_programs(folder)
    for name, old, new in [
        ("login.py", "LIFETIME = 3600.0", "LIFETIME = 4.0"),
        ("login_by_token.html", "60_000", "500"),
        ("login_by_token.html", "let token", "var token"),  # for `NOTE`
    ]:
        text = (folder / name).read_text()
        assert text.count(old) == 1
        (folder / name).write_text(text.replace(old, new))


async def test_a_login_by_cookie_ends_with_its_session(tmp_path: Path) -> None:
    write_with_short_logins(tmp_path)
    env = {"PYTHONPATH": str(tmp_path)}
    async with hypercorn("login:app", env=env) as server, chromium() as browser:
        await browser.open(f"{server.url}/login.html")
        status = "document.querySelector('[role=status]').textContent"
        await browser.wait_until(f"{status} == 'logged out' && !form.hidden")
        await browser.run(LOG_IN)
        await browser.run(NOTE, "one")
        await browser.wait_until(f"{ITEMS} == 'one'")
        # The stream ends with the login, the page comes back, is refused, and says so.
        logins = await browser.run("return logins")
        await browser.wait_until(f"logins > {logins}", within=90)
        await browser.run(NOTE, "two")
        await browser.wait_until(f"{ITEMS} == 'one,two'", within=90)


async def test_a_login_by_header_outlives_its_token(tmp_path: Path) -> None:
    write_with_short_logins(tmp_path)
    env = {"PYTHONPATH": str(tmp_path)}
    async with hypercorn("login:app", env=env) as server, chromium() as browser:
        await browser.open(f"{server.url}/login_by_token.html")
        token = await browser.wait_until("token")
        await browser.run(NOTE, "a\nb")
        await browser.wait_until(f"{ITEMS} == 'note: a\\nb'")
        # Its stream ends with the token, and the page comes back with another one.
        await browser.wait_until(f"token != '{token}'")
        await browser.run(NOTE, "c")
        await browser.wait_until(f"{ITEMS} == 'note: a\\nb,note: c'", within=90)


async def test_another_origin_reads_what_it_may(tmp_path: Path) -> None:
    """`localhost` and `127.0.0.1` are two origins to a browser."""
    write_with_short_logins(tmp_path)
    env = {"PYTHONPATH": str(tmp_path)}
    program = tmp_path / "login.py"
    async with hypercorn("login:app", env=env) as theirs, chromium() as browser:
        origin = theirs.url
        text = program.read_text()
        assert "https://app.example.com" in text
        program.write_text(text.replace("https://app.example.com", origin))
        async with hypercorn("login:app", env=env) as ours:
            url = f"http://localhost:{ours.port}/events"
            async with ours.client() as client:
                token = (await client.post("/login", json={"user": "ann"})).json()["token"]
            await browser.open(f"{origin}/login.html")
            ask = """
                const headers = {authorization: `Bearer ${arguments[1]}`, "last-event-id": "1"};
                return fetch(arguments[0], {headers}).then(
                    answer => (answer.body.cancel(), answer.status), error => error.name
                );
            """
            assert await browser.run(ask, url, token) in (200, 401)  # if that login still holds
            assert await browser.run(ask, url, "nobody's") == 401  # and it may know that
            await browser.open(f"http://localhost:{theirs.port}/login.html")
            assert (
                await browser.run(ask, url.replace("localhost", "127.0.0.1"), token) == "TypeError"
            )


async def test_a_page_that_was_left_goes_on_when_its_user_is_back(tmp_path: Path) -> None:
    scripts = [each for each in snippets_of(PROJECT / "docs/browsers.md") if each.language == "js"]
    [script] = [each for each in scripts if "pageshow" in each.code]
    write_programs(tmp_path)
    show = "const show = text => { document.body.innerText += `${text};`; };"
    page = f"<!doctype html><title>events</title><body></body><script>{show}{script.code}</script>"
    (tmp_path / "board.html").write_text(page)
    program = (tmp_path / "board.py").read_text()
    assert ', event="said"' in program
    (tmp_path / "board.py").write_text(program.replace(', event="said"', ""))
    env = {"PYTHONPATH": str(tmp_path)}
    async with (
        hypercorn("board:app", env=env) as server,
        server.client() as other,
        chromium() as browser,
    ):
        await browser.open(server.url)
        await other.post("/say", content="one")
        await browser.wait_until("document.body.innerText == 'one;'")
        await browser.open("about:blank")
        await other.post("/say", content="two")
        await browser.back()
        await browser.wait_until("document.body.innerText == 'one;two;'")


INSTALLABLE = """
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse
from starlette.routing import Route

from trio_stream import ServerSentEvent, Stream

PAGE = '''<!doctype html><title>installable</title><script>
async function listen() {
  const worker = navigator.serviceWorker;
  await worker.register("/worker.js");
  await worker.ready;
  window.heard = [];
  window.source = new EventSource("/events");
  source.onmessage = event => heard.push(event.data);
}
</script>'''


async def page(request: Request) -> HTMLResponse:
    return HTMLResponse(PAGE)


async def worker(request: Request) -> FileResponse:
    return FileResponse("WORKER")


async def events(request: Request) -> Stream:
    last = request.headers.get("last-event-id")
    event = ServerSentEvent({"after": last}, id=str(int(last or 0) + 1))
    return Stream([event], retry=100)


app = Starlette(
    routes=[Route("/", page), Route("/worker.js", worker), Route("/events", events)]
)
"""


async def test_a_service_worker_leaves_a_stream_its_ids(tmp_path: Path) -> None:
    scripts = [each for each in snippets_of(PROJECT / "docs/browsers.md") if each.language == "js"]
    [script] = [each for each in scripts if "respondWith" in each.code]
    worker = tmp_path / "worker.js"
    worker.write_text(script.code)
    (tmp_path / "installable.py").write_text(INSTALLABLE.replace("WORKER", str(worker)))
    env = {"PYTHONPATH": str(tmp_path)}
    async with hypercorn("installable:app", env=env) as server, chromium() as browser:
        await browser.open(server.url)
        await browser.run("return listen()")
        await browser.reload()  # so that the worker, which is active now, controls the page
        await browser.wait_until("navigator.serviceWorker.controller !== null")
        await browser.run("return listen()")
        heard = await browser.wait_until("heard.length >= 3 && heard")
        await browser.run("source.close()")
    after = ['{"after":null}', '{"after":"1"}', '{"after":"2"}']
    assert heard[:3] == after
