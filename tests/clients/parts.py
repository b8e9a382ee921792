"""An answer as the AI SDK wants it."""

ANSWER = [
    {"type": "start", "messageId": "m1"},
    {"type": "text-start", "id": "t1"},
    {"type": "text-delta", "id": "t1", "delta": "one "},
    {"type": "text-delta", "id": "t1", "delta": "two"},
    {"type": "text-end", "id": "t1"},
    {"type": "finish"},
]
