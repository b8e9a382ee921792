#!/bin/sh
# h2 4.4.1
#
# Expected: an endpoint that has announced a larger SETTINGS_MAX_FRAME_SIZE takes frames of that size
#   from the acknowledgement on (RFC 9113, 6.5.3: "all frames sent after the acknowledgment").
# Instead: h2 looks at its limit once in each `receive_data`. When the acknowledgement and the first
#   large frame come in one read, which on a busy machine they do, it raises FrameTooLargeError and
#   ends the connection. The same bytes in two calls are taken.
# Matters: whoever raises the frame size while streams are open, for large events, loses all of them
#   now and then. Announce it with the first SETTINGS, or feed `receive_data` frame by frame.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile h2==4.4.1

cat > seen.py <<'PYTHON'
import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

SIZE = 20_000


def exchange(in_one_call):
    """The client raises its limit while a response is under way; what it makes of the answer."""
    client = h2.connection.H2Connection()
    server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    client.initiate_connection()
    server.initiate_connection()
    head = [(":method", "GET"), (":scheme", "http"), (":authority", "x"), (":path", "/")]
    client.send_headers(1, head, end_stream=True)
    server.receive_data(client.data_to_send())
    server.send_headers(1, [(":status", "200")])
    client.receive_data(server.data_to_send())
    server.receive_data(client.data_to_send())

    client.update_settings({h2.settings.SettingCodes.MAX_FRAME_SIZE: 2 * 2**14})
    server.receive_data(client.data_to_send())
    acknowledgement = server.data_to_send()
    assert server.max_outbound_frame_size == 2 * 2**14
    server.send_data(1, bytes(SIZE))
    frame = server.data_to_send()
    pieces = [acknowledgement + frame] if in_one_call else [acknowledgement, frame]
    try:
        events = [event for piece in pieces for event in client.receive_data(piece)]
    except h2.exceptions.FrameTooLargeError as error:
        return str(error)
    return sum(len(e.data) for e in events if isinstance(e, h2.events.DataReceived))


apart, together = exchange(False), exchange(True)
print(f"in two calls: {apart}; in one: {together}")
assert apart == SIZE
assert together == f"Received overlong frame: length {SIZE}, max {2**14}"
PYTHON
timeout 60 venv/bin/python seen.py
