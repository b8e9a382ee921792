"""The standard's parser, written down sentence by sentence, slowly and without our decoder's ideas.

It takes all bytes of a stream at once. Its only purpose is to be compared with.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field


@dataclass
class Model:
    """What a client has after the whole stream. The id is `None` until a block has set one."""

    events: list[tuple[str, str, str | None, int | None]] = field(default_factory=list)
    retry: int | None = None
    last_event_id: str | None = None
    comments: list[str] = field(default_factory=list)


def interpret(stream: bytes, last_event_id: str | None = None) -> Model:
    # "Streams must be decoded using the UTF-8 decode algorithm", which strips one BOM.
    text = decode_utf8(stream.removeprefix(b"\xef\xbb\xbf"))
    model = Model(last_event_id=last_event_id)
    data, event_type, id_buffer = "", "", last_event_id
    retry: int | None = None
    for line in re.findall(r"([^\r\n]*)(?:\r\n|\n|\r)", text):
        if line == "":
            # Dispatch the event.
            model.last_event_id = id_buffer
            if data == "":
                event_type, retry = "", None
                continue
            data = data.removesuffix("\n")
            name = event_type if event_type != "" else "message"
            model.events.append((name, data, model.last_event_id, retry))
            data, event_type, retry = "", "", None
        elif line.startswith(":"):
            model.comments.append(re.sub("^ ", "", line[1:]))
        else:
            # "Collect the characters on the line before the first U+003A COLON character"
            match = re.fullmatch(r"([^:]*)(?:: ?(.*))?", line, re.DOTALL)
            assert match is not None
            name, value = match[1], match[2] or ""
            if name == "event":
                event_type = value
            elif name == "data":
                data = data + value + "\n"
            elif name == "id" and "\0" not in value:
                id_buffer = value
            elif name == "retry" and re.fullmatch("[0-9]+", value):
                retry = model.retry = min(int(value), 2**63 - 1)
    return model


def decode_utf8(stream: bytes) -> str:
    """The UTF-8 decoder of the Encoding standard, with errors replaced."""
    out = []
    code_point = seen = needed = 0
    lower, upper = 0x80, 0xBF
    position = 0
    while position < len(stream):
        byte = stream[position]
        position += 1
        if needed == 0:
            if byte <= 0x7F:
                out.append(chr(byte))
            elif 0xC2 <= byte <= 0xDF:
                needed, code_point = 1, byte & 0x1F
            elif 0xE0 <= byte <= 0xEF:
                lower = 0xA0 if byte == 0xE0 else 0x80
                upper = 0x9F if byte == 0xED else 0xBF
                needed, code_point = 2, byte & 0xF
            elif 0xF0 <= byte <= 0xF4:
                lower = 0x90 if byte == 0xF0 else 0x80
                upper = 0x8F if byte == 0xF4 else 0xBF
                needed, code_point = 3, byte & 0x7
            else:
                out.append("\ufffd")
        elif not lower <= byte <= upper:
            code_point = seen = needed = 0
            lower, upper = 0x80, 0xBF
            position -= 1  # "Restore byte to ioQueue."
            out.append("\ufffd")
        else:
            lower, upper = 0x80, 0xBF
            code_point = code_point << 6 | byte & 0x3F
            seen += 1
            if seen == needed:
                out.append(chr(code_point))
                code_point = seen = needed = 0
    if needed:
        out.append("\ufffd")  # "If byte is end-of-queue and bytes needed is not 0"
    return "".join(out)
