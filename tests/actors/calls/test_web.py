"""Calls over HTTP: what is sent, to whom, and what is made of whatever comes back (P4, P8, P13)."""

import asyncio
import gzip
import json
import ssl
import time

import httpx
import pytest
from tests.actors.calls.wire import http, wired
from tests.actors.running import World, completion, query

from covend.actors.calls import replies, web
from covend.actors.calls.web import COMPLAINT_BYTES, Web, chat_url, leave_alone

SECRET = "secret/of-theirs"
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def posted(*urls, key="a key", variable=None, seconds=10):
    """What came of a request to each of these, one after another."""

    async def all_of_them():
        web = Web()
        try:
            return [await web.post(url, {"q": 1}, key, seconds, variable) for url in urls]
        finally:
            await web.close()

    return asyncio.run(all_of_them())


def asked(wire, **more):
    return posted(wire.url, **more)[0]


# ── what comes back ──────────────────────────────────────────────────────────────────────────


def test_an_answer_is_asked_for_as_it_is_and_never_unpacked():
    """Nothing grows without bound: a few bytes of gzip are gigabytes."""
    packed = gzip.compress(gzip.compress(b"x" * 1_000_000))
    with wired(http(200, packed, "Content-Encoding: gzip, gzip")) as wire:
        raw = asked(wire)
        assert wire.heads[0]["accept-encoding"] == "identity"
    assert (raw.status, raw.body, raw.failure) == (200, None, None)
    assert "encoded as gzip, gzip" in raw.unusable


def test_a_packed_complaint_is_told_by_its_status():
    with wired(http(503, gzip.compress(b"busy"), "Content-Encoding: gzip")) as wire:
        raw = asked(wire)
    assert (raw.status, raw.body, raw.passing) == (503, "a body in gzip", True)


def test_an_answer_that_says_it_is_as_it_is_is_taken():
    with wired(http(200, 42, "Content-Encoding: identity")) as wire:
        assert asked(wire).body == 42


def test_of_a_complaint_no_more_is_read_than_is_told():
    """Its server may never end it; that it is away is no less so."""
    head = b"HTTP/1.1 500 Oh\r\nContent-Length: 100000000\r\n\r\n"
    with wired(head + b"x" * (2 * COMPLAINT_BYTES)) as wire:
        raw = asked(wire)
    assert (raw.status, raw.failure, len(raw.body)) == (500, None, COMPLAINT_BYTES)


@pytest.mark.parametrize("once", [True, False], ids=["breaks off", "hangs"])
@pytest.mark.parametrize("framing", ["Content-Length: 100\r\n\r\nslow", "Transfer-Encoding: "
                                     "chunked\r\n\r\n4\r\nslow\r\n"])  # fmt: skip
def test_who_refuses_has_refused_also_where_its_complaint_never_ends(monkeypatch, framing, once):
    """P4: nothing was done for the call, and it is told when to come again."""
    monkeypatch.setattr(web, "COMPLAINT_SECONDS", 0.1)
    with wired(f"HTTP/1.1 429 Oh\r\nRetry-After: 7\r\n{framing}".encode()) as wire:
        wire.once = once
        raw = asked(wire)
    assert (raw.status, raw.body, raw.retry_after) == (429, "slow", 7.0)
    assert (raw.failure, raw.unknown) == (None, False)


def test_an_answer_of_too_many_bytes_is_read_no_further(monkeypatch):
    monkeypatch.setattr(replies, "MAX_ANSWER_BYTES", 1000)
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n"
    with wired(head + b"x" * 1001) as wire:
        raw = asked(wire)
    assert (raw.status, raw.unusable) == (200, "the answer has more than 1000 bytes")


@pytest.mark.parametrize(("data", "body"), [
    (b"\xef\xbb\xbf42", 42),
    ("Müller".encode(), "Müller"),
    (b"", ""),
    (b"[" * 100_000, "[" * 100_000),
])  # fmt: skip
def test_an_answer_is_utf_8(data, body):
    with wired(http(200, data)) as wire:
        assert asked(wire).body == body


def test_an_answer_that_is_not_utf_8_is_no_answer():
    """P11: half of it would be made up."""
    with wired(http(200, b'"M\xfcller"')) as wire:
        raw = asked(wire)
    assert (raw.body, raw.unusable) == (None, "the answer is not UTF-8: byte 2 is 0xfc")


@pytest.mark.parametrize(("location", "told"), [
    ("https://user:pass@there.example:8443/login?next=1#x", "to https://there.example:8443/login,"),
    ("/else?key=1", "/else,"),
])  # fmt: skip
def test_a_redirect_says_where_it_leads_and_nothing_that_may_be_secret(location, told):
    with wired(http(307, b"", f"Location: {location}")) as wire:
        raw = asked(wire)
        assert len(wire.heads) == 1
    assert raw.status == 307
    assert told in raw.body
    assert not any(secret in raw.body for secret in ("pass", "next", "key"))


@pytest.mark.parametrize(("header", "seconds"), [
    ("12", 12.0), ("0", 0.0), ("9" * 400, 3600.0), ("", None), ("-1", None), ("soon", None),
    ("1e3", None), ("²", None), ("Sun, 22 Nov 2026 03:20:00 GMT", 600.0),
    ("Sun, 22 Nov 2026 04:20:00 +0100", 600.0), ("Sun, 22 Nov 2026 03:00:00 GMT", 0.0),
    ("Sun, 99 Nov 2026 03:20:00 GMT", None),
])  # fmt: skip
def test_a_server_may_say_when_to_come_again(header, seconds):
    """RFC 9110, 10.2.3: in seconds or as a date."""
    assert leave_alone(429, header, 1795317000.0) == seconds
    assert leave_alone(500, header, 1795317000.0) is None


@pytest.mark.parametrize("zone", ["GMT", "-0000", ""])
def test_a_date_without_a_zone_is_in_the_zone_of_all_such_dates(monkeypatch, zone):
    """RFC 9110, 5.6.7: wherever this box is."""
    monkeypatch.setenv("TZ", "THERE+5")
    time.tzset()
    try:
        assert leave_alone(503, f"Sun, 22 Nov 2026 03:20:00 {zone}", 1795317000.0) == 600.0
    finally:
        monkeypatch.undo()
        time.tzset()


def test_when_to_come_again_is_beside_the_status():
    with wired(http(429, "busy", "Retry-After: 7"), http(200, 1, "Retry-After: 7")) as wire:
        busy, well = posted(wire.url, wire.url)
    assert (busy.status, busy.retry_after, well.retry_after) == (429, 7.0, None)


# ── connections ──────────────────────────────────────────────────────────────────────────────


def test_connections_and_certificates_are_used_again(monkeypatch):
    """To read all certificates takes the loop tens of milliseconds, in which it does nothing."""
    made = []

    def counted(*args, **more):
        made.append(1)
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    monkeypatch.setattr(httpx, "create_ssl_context", counted)
    with wired(http(200, 1)) as wire:
        raws = posted(*[wire.url] * 3, "http://far.invalid/")
        assert (wire.connections, len(wire.heads)) == (1, 3)
    assert [raw.body for raw in raws[:3]] == [1, 1, 1]
    assert len(made) == 1


def test_no_call_is_told_what_another_one_was_to_remember():
    with wired(http(200, 1, "Set-Cookie: who=the-first; Path=/")) as wire:
        posted(wire.url, wire.url)
        assert [head.get("cookie") for head in wire.heads] == [None, None]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1.2.3"])
def test_no_proxy_is_asked_for_what_is_on_this_machine(monkeypatch, host):
    """Whoever runs the proxy would read the question, and the key."""
    monkeypatch.setenv("THEIR_KEY", SECRET)
    with wired(http(200, "from the proxy")) as proxy, wired(http(200, "from here")) as wire:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        port = wire.address.rpartition(":")[2]
        near, far = posted(f"http://{host}:{port}/x", "http://far.invalid/x", variable="THEIR_KEY")
        assert [head["line"] for head in proxy.heads] == ["POST http://far.invalid/x HTTP/1.1"]
    assert near.body == "from here" or host == "127.1.2.3"  # where nobody listens
    assert far.body == "from the proxy"


def test_who_says_nothing_in_time_may_have_done_the_work():
    """P4: nothing waits without a deadline."""
    with wired(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf") as wire:
        raw = asked(wire, seconds=0.2)
    assert raw.failure == "no answer within 0.2 s"
    assert (raw.passing, raw.unknown) == (False, True)


def test_who_is_not_there_is_named_and_may_be_asked_again():
    with wired() as wire:
        gone = wire.url
    (raw,) = posted(gone)
    assert "Connect call failed" in raw.failure
    assert (raw.passing, raw.unknown) == (True, False)


@pytest.mark.parametrize("url", [
    "http://127.0.0.1:99999/x", "http://127.0.0.1:-1/", "http://[::1/x", "http://xn--/",
    "http://127.0.0.1:one/",
])  # fmt: skip
def test_an_address_that_is_none_says_so(url):
    (raw,) = posted(url)
    assert raw.failure.startswith("the address is not sound: ")
    assert (raw.passing, raw.unknown) == (False, False)


@pytest.mark.parametrize(("cause", "transport"), [
    (ssl.SSLCertVerificationError(1, "certificate verify failed: self-signed"), False),
    (ssl.SSLError(1, "wrong version number"), True),
    (ConnectionRefusedError(111, "refused"), True),
    (ExceptionGroup("both failed", [OSError(111, "one"), OSError(111, "the other")]), True),
])  # fmt: skip
def test_a_certificate_that_is_not_trusted_gets_no_better(monkeypatch, cause, transport):
    """P4: a connection that never stood is tried again, but for that; the text says why."""

    def refuse(request):
        try:
            raise OSError("all attempts failed") from cause
        except OSError as error:
            raise httpx.ConnectError("all attempts failed") from error

    client = httpx.AsyncClient(transport=httpx.MockTransport(refuse))
    monkeypatch.setattr(Web, "_client", lambda self, near: client)
    (raw,) = posted("https://there.example/")
    assert (raw.passing, raw.unknown) == (transport, False)
    assert str(getattr(cause, "exceptions", [cause])[0]) in raw.failure


# ── keys ─────────────────────────────────────────────────────────────────────────────────────


def test_blanks_around_a_key_are_not_part_of_it(monkeypatch):
    """A file of keys has lines; an environment made from it may have their ends."""
    monkeypatch.setenv("THEIR_KEY", f" {SECRET}\r\n")
    with wired(http(200, 1)) as wire:
        assert asked(wire, variable="THEIR_KEY").body == 1
        assert wire.heads[0]["authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize("between", ["\r\nX-Other: ", " ", "ü", "\x7f"])
def test_a_key_that_no_header_can_hold_is_named_and_not_told(monkeypatch, between):
    monkeypatch.setenv("THEIR_KEY", f"{SECRET}{between}{SECRET}")
    with wired(http(200, 1)) as wire:
        raw = asked(wire, variable="THEIR_KEY")
        assert wire.heads == []
    assert "THEIR_KEY" in raw.failure
    assert SECRET not in raw.failure
    assert (raw.passing, raw.unknown) == (False, False)


def test_a_header_that_cannot_be_sent_is_not_quoted(monkeypatch):
    """P4: nothing was sent, and asking again does not help."""
    monkeypatch.setenv("THEIR_KEY", SECRET)
    with wired(http(200, 1)) as wire:
        raw = asked(wire, key="a\nb", variable="THEIR_KEY")
        assert wire.heads == []
    assert raw.failure == "this cannot be sent as HTTP; look at the value of THEIR_KEY"
    assert (raw.passing, raw.unknown) == (False, False)


@pytest.mark.parametrize("answer", [
    http(401, {"error": f"no such key: {SECRET}"}),
    http(401, json.dumps({"error": f"no such key: {SECRET}"}).replace("/", r"\/").encode()),
    http(200, {"error": f"no such key: {SECRET}"}),
    http(200, {"choices": [{"message": {"content": SECRET}}]}),
    http(200, f"your key is {SECRET}".encode()),
    http(307, b"", f"Location: /login/{SECRET}"),
    f"no http, {SECRET}\r\n\r\n".encode(),
])  # fmt: skip
def test_a_key_that_a_server_quotes_is_not_told(monkeypatch, answer):
    monkeypatch.setenv("THEIR_KEY", SECRET)
    with wired(answer) as wire:
        wire.once = True
        raw = asked(wire, variable="THEIR_KEY")
    assert "***" in str(raw)
    assert SECRET not in str(raw)


def test_an_answer_that_has_the_word_that_is_a_key_is_left_as_it_is(monkeypatch):
    """P8: servers that want no key are given one like this; a complaint is not folded."""
    monkeypatch.setenv("THEIR_KEY", "not-needed")
    for status, told in ((200, "It is not-needed."), (401, "It is ***.")):
        with wired(http(status, {"is": "It is not-needed."})) as wire:
            assert asked(wire, variable="THEIR_KEY").body == {"is": told}


@pytest.mark.parametrize(("endpoint", "url"), [
    ("http://a/v1", "http://a/v1/chat/completions"),
    ("http://a/v1/", "http://a/v1/chat/completions"),
    ("http://a", "http://a/chat/completions"),
    ("http://a/o?api-version=1", "http://a/o/chat/completions?api-version=1"),
    ("http://a/o/?a=1&b=/2#there", "http://a/o/chat/completions?a=1&b=/2"),
])  # fmt: skip
def test_the_query_of_an_endpoint_stays_its_query(endpoint, url):
    assert chat_url(endpoint) == url


# ── in a run ─────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def world(tmp_path, monkeypatch):
    return World(tmp_path / "store.db", monkeypatch)


@pytest.mark.parametrize("answer", [
    http(200, gzip.compress(b'"x"'), "Content-Encoding: gzip"),
    http(200, b"\xff"),
    http(200, b"x" * 1001),
], ids=["packed", "not UTF-8", "too much"])  # fmt: skip
def test_a_paid_answer_that_cannot_be_used_is_paid_for(world, monkeypatch, answer):
    """P13: as half of one is: the work was done."""
    monkeypatch.setattr(replies, "MAX_ANSWER_BYTES", 1000)
    price = {"per_1k_input": 0.1, "per_1k_output": 0.1}
    with wired(answer) as wire:
        world.other(name="svc", kind="system", url=wire.url, cost={"per_call": 0.25})
        world.other(name="big", kind="llm", model="large", endpoint=wire.url, cost=price)
        with world.core() as core:
            system, thread = core.run(query("svc")), core.submit(query("big"))["id"]
            model = core.ended(thread)
            reserved = core.records(thread, "call")[0]["body"]["reserved"]
    assert system["cost"] == {"settled": 0.25, "reserved": 0, "overrun": 0}
    assert reserved > 0
    assert model["cost"] == {"settled": reserved, "reserved": 0, "overrun": 0}
    assert [know["partial"][0]["status"] for know in (system, model)] == ["invalid", "invalid"]


def test_all_connections_are_closed_with_the_core(world):
    """Nothing is left behind: one that is idle would be found after this test."""
    with wired(http(200, completion("Paris"))) as wire:
        endpoint = f"{wire.url}/v1?api-version=2"
        world.other(name="big", kind="llm", model="large", endpoint=endpoint)
        with world.core() as core:
            assert [core.run(query("big"))["answer"] for _ in range(2)] == ["Paris", "Paris"]
        assert wire.heads[0]["line"] == "POST /v1/chat/completions?api-version=2 HTTP/1.1"
        assert wire.connections == 1
