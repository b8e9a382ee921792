#!/bin/sh
# tenacity 9.2.1, backoff 2.2.1 and stamina 26.1.0 (on Trio 0.35.0)
#
# Expected: a retry around an async generator function, such as one that yields a model's words,
#   retries it; or, as nobody knows what is to become of the items that are out, it is refused.
# Instead: with tenacity and backoff the decorator is there and does nothing: what fails at the
#   first item or the third is raised at the first attempt, since only the call is tried, and that
#   succeeds. With stamina it is retried from its beginning, and the items come once more behind
#   those that had come.
# Matters: two of them look like a safety that was never there, one doubles the beginning of an
#   answer on the page. Neither says a word, and a test whose first attempt succeeds is green.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile \
    tenacity==9.2.1 backoff==2.2.1 stamina==26.1.0 trio==0.35.0

cat > seen.py <<'PYTHON'
import backoff
import stamina
import tenacity
import trio

RETRIES = {
    "tenacity": tenacity.retry(stop=tenacity.stop_after_attempt(4)),
    "backoff": backoff.on_exception(backoff.constant, OSError, interval=0, max_tries=4),
    "stamina": stamina.retry(on=OSError, attempts=4, wait_initial=0, wait_jitter=0),
}


async def read(retry, fails_after):
    """The words of an answer whose first two attempts fail, the attempts, and what was raised."""
    attempts, said, raised = 0, [], None

    @retry
    async def answer():
        nonlocal attempts
        attempts += 1
        for number, word in enumerate(("what", "a", "surprise")):
            if attempts < 3 and number == fails_after:
                raise ConnectionResetError
            yield word

    try:
        async for word in answer():
            said.append(word)
    except ConnectionResetError as error:
        raised = type(error).__name__
    return " ".join(said), attempts, raised


seen = {}
for name, retry in RETRIES.items():
    seen[name] = [trio.run(read, retry, fails_after) for fails_after in (0, 2)]
    print(f"{name}: fails at the first word: {seen[name][0]}, at the third: {seen[name][1]}")
for name in ("tenacity", "backoff"):
    assert seen[name] == [("", 1, "ConnectionResetError"), ("what a", 1, "ConnectionResetError")]
assert seen["stamina"] == [
    ("what a surprise", 3, None),
    ("what a what a what a surprise", 3, None),
]
PYTHON
timeout 60 venv/bin/python seen.py
