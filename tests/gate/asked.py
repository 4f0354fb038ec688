"""What these tests ask of a gate, and what a soulstone streams back."""

CHAT = {"model": "a", "messages": [{"role": "user", "content": "é"}]}
STREAM = {**CHAT, "stream": True}


def event(n: int) -> bytes:
    """The n-th server-sent event of a stream."""
    return b'data: {"n":%d}\n\n' % n
