"""Wrong box files: each document, and exactly what is said about it."""

import pytest

from .documents import GOOD, GOOD_LINES

N = GOOD_LINES
EMBEDDER = (
    '[[soulstone]]\nname = "e"\nchat = false\nauthority = "shared"\nserves = ["embed"]\n'
    'endpoint = "http://127.0.0.1:2"\n'
)
"""Lines of the good document; what is added to it begins on the next one."""

ADDED = {
    "an unknown key with a near name": (
        "[whim]\nkapa = 3",
        [f"{N + 2} $.whim.kapa: unknown key 'kapa'; did you mean 'kappa'?"],
    ),
    "an unknown key unlike any other": (
        "[watchdog]\nzzz = 3",
        [
            f"{N + 2} $.watchdog.zzz: unknown key 'zzz'; known here: health_failures, "
            "health_seconds, quota_seconds, stall_seconds, answer_seconds"
        ],
    ),
    "the computed source": (
        "[source]",
        [
            f"{N + 1} $.source: unknown key 'source'; known here: name, listen, gates, ghouls, "
            "ghoul_slots, run_dir, state_dir, lexical_reserve, device, soulstone, coven, role, "
            "key, responder, schema, whim, transition, gate, watchdog, alerts, queries, "
            "phylactery, reactor, oculus"
        ],
    ),
    "a string for a whole number": (
        '[transition]\nattempts = "3"',
        [f"{N + 2} $.transition.attempts: must be a whole number, not a string ('3')"],
    ),
    "true for a number": (
        "[transition]\nattempts = true",
        [f"{N + 2} $.transition.attempts: must be a whole number, not true or false (true)"],
    ),
    "a number below its least": (
        "[transition]\nattempts = 0",
        [f"{N + 2} $.transition.attempts: must be at least 1, not 0"],
    ),
    "a share above one": (
        "[whim]\nbudget_high = 1.5",
        [f"{N + 2} $.whim.budget_high: must be at most 1, not 1.5"],
    ),
    "a number that is none": (
        "[whim]\nkappa = nan",
        [f"{N + 2} $.whim.kappa: must be a number, and finite, not nan"],
    ),
    "an endless duration": (
        "[whim]\nlinger = inf",
        [
            f'{N + 2} $.whim.linger: must be a duration such as 2.5, "30s" or "15min", and '
            "finite, not inf"
        ],
    ),
    "a duration with a wrong unit": (
        '[whim]\nlinger = "3 fortnights"',
        [
            f'{N + 2} $.whim.linger: must be a duration such as 2.5, "30s" or "15min", not a '
            "string ('3 fortnights')"
        ],
    ),
    "a negative size": (
        "[gate]\nmax_body_bytes = -1",
        [f"{N + 2} $.gate.max_body_bytes: must be at least 0, not -1"],
    ),
    "a fraction of a byte": (
        "[gate]\nmax_body_bytes = 1.5",
        [
            f'{N + 2} $.gate.max_body_bytes: must be a size such as 1073741824, "300MiB" or '
            '"1.5GiB", not a number (1.5)'
        ],
    ),
    "a date": (
        "[whim]\nstrategy = 2026-01-01",
        [
            f"{N + 2} $.whim.strategy: must be a string, not a date or time "
            "(datetime.date(2026, 1, 1))"
        ],
    ),
    "a table for an array of tables": (
        '[role]\nname = "r"',
        [f"{N + 1} $.role: must be an array, not a table; write [[role]]"],
    ),
    "an array for a table": (
        "[[whim]]\nkappa = 3",
        [f"{N + 1} $.whim: must be a table, not an array"],
    ),
    "a wrong choice": (
        '[[device]]\nname = "gpu"\nkind = "nvida"',
        [
            f"{N + 3} $.device[1].kind: must be 'host' or 'nvidia', not a string ('nvida'); "
            "did you mean 'nvidia'?"
        ],
    ),
    "a name that cannot be one": (
        '[[device]]\nname = "a/b"\nkind = "nvidia"',
        [
            f"{N + 2} $.device[1].name: must be 1 to 48 letters, digits, dots, dashes or "
            "underscores, beginning with a letter or digit, not a string ('a/b')"
        ],
    ),
    "RAM twice": (
        '[[device]]\nname = "ram"',
        [f"{N + 1} $.device[1]: is the same hardware as device 'host'"],
    ),
    "one card twice": (
        '[[device]]\nname = "a"\nkind = "nvidia"\n[[device]]\nname = "b"\nkind = "nvidia"',
        [f"{N + 4} $.device[2]: is the same hardware as device 'a'"],
    ),
    "RAM with an index": (
        "",
        ["2 $.device[0]: a host device is the machine's RAM: it has no index or uuid"],
        ("[[device]]", "[[device]]\nindex = 1"),
    ),
    "a name used twice": (
        '[[coven]]\nname = "day"\nsoulstones = ["chat"]',
        [f"{N + 2} $.coven[1].name: 'day' is the name of $.coven[0] already"],
    ),
    "a coven of nobody": (
        '[[coven]]\nname = "c"\nsoulstones = []',
        [f"{N + 3} $.coven[1].soulstones: must not be empty; name at least 1"],
    ),
    "an unknown soulstone": (
        '[[coven]]\nname = "c"\nsoulstones = [\n  "chat",\n  "chta",\n]',
        [f"{N + 5} $.coven[1].soulstones[1]: no soulstone is named 'chta'; did you mean 'chat'?"],
    ),
    "a soulstone listed twice": (
        '[[coven]]\nname = "c"\nsoulstones = ["chat", "chat"]',
        [f"{N + 3} $.coven[1].soulstones[1]: 'chat' is listed twice"],
    ),
    "unknown devices and covens": (
        '[[coven]]\nname = "c"\nsoulstones = ["chat"]\ndevices = ["host", "gpu7"]\n'
        'coexists = ["dya"]',
        [
            f"{N + 4} $.coven[1].devices[1]: no device is named 'gpu7'; known here: host",
            f"{N + 5} $.coven[1].coexists[0]: no coven is named 'dya'; did you mean 'day'?",
        ],
    ),
    "a coven that coexists with itself": (
        '[[coven]]\nname = "c"\nsoulstones = ["chat"]\ncoexists = ["c"]',
        [f"{N + 4} $.coven[1].coexists: a coven always coexists with itself"],
    ),
    "a coven without its soulstone's device": (
        '[[device]]\nname = "gpu"\nkind = "nvidia"\n'
        '[[coven]]\nname = "c"\nsoulstones = ["chat"]\ndevices = ["gpu"]',
        [f"{N + 7} $.coven[1].devices: lacks 'host', which its soulstone 'chat' needs"],
    ),
    "a role of nobody known, under a served name": (
        '[[role]]\nname = "chat"\ntiers = ["chatter"]',
        [
            f"{N + 2} $.role[0].name: soulstone 'chat' serves 'chat' itself; a role needs a name "
            "of its own",
            f"{N + 3} $.role[0].tiers[0]: no soulstone is named 'chatter'; did you mean 'chat'?",
        ],
    ),
    "a model that only embeds, as a responder": (
        EMBEDDER + '[[role]]\nname = "v"\ntiers = ["e"]\n'
        '[[responder]]\nname = "x"\nkind = "llm"\nmodel = "e"\n'
        '[[responder]]\nname = "y"\nkind = "llm"\nmodel = "v"\n'
        '[[responder]]\nname = "z"\nkind = "llm"\nmodel = "e"\nendpoint = "http://h/v1"',
        [
            f"{N + 13} $.responder[0].model: 'e' answers no chat requests (chat = false): name one "
            "that does (chat); a model elsewhere needs its 'endpoint'",
            f"{N + 17} $.responder[1].model: 'v' answers no chat requests (chat = false): name one "
            "that does (chat); a model elsewhere needs its 'endpoint'",
        ],
    ),
    "names for one that chats and one that only embeds": (
        EMBEDDER.replace('"embed"', '"embed", "chat"') + '[[role]]\nname = "any"\n'
        'tiers = ["e", "chat"]\n[[responder]]\nname = "x"\nkind = "llm"\nmodel = "any"',
        [
            f"{N + 5} $.soulstone[1].serves[1]: 'chat' answers chat requests, 'e' does not (chat "
            "= false), and one for 'chat' may go to either; give each a name of its own",
            f"{N + 9} $.role[0].tiers: 'chat' answers chat requests, 'e' does not (chat = false), "
            "and one for 'any' may go to either; give each a name of its own",
        ],
    ),
    "a model of which it is not known whether it chats": (
        EMBEDDER.replace("false", "5")
        + '[[role]]\nname = "any"\ntiers = ["e", "f"]\n'
        + EMBEDDER.replace('"e"', '"f"').replace(":2", ":3").replace('["embed"]', "[]"),
        [f"{N + 3} $.soulstone[1].chat: must be true or false, not a whole number (5)"],
    ),
    "weights of unknown classes": (
        "[whim]\nweights = { reflx = 3, swarm = 0 }\ninertia = { titanic = 3 }",
        [
            f"{N + 2} $.whim.weights.reflx: unknown; did you mean 'reflex'?",
            f"{N + 2} $.whim.weights.swarm: must be more than 0, not 0.0",
            f"{N + 3} $.whim.inertia.titanic: unknown; did you mean 'titan'?",
        ],
    ),
    "dials that contradict each other": (
        "[whim]\nbudget_low = 0.5\nkappa_dominant = 5",
        [
            f"{N + 2} $.whim.budget_low: must be less than budget_high (0.35), not 0.5",
            f"{N + 3} $.whim.kappa_dominant: must be at most kappa_dominant_max (4.0), not 5.0",
        ],
    ),
    "half an ingestion window": (
        '[[whim.ingest_windows]]\nstart = "01:00"\n[[whim.ingest_windows]]\nstart = "25:00"',
        [
            f"{N + 1} $.whim.ingest_windows[0]: needs both start and end, or a backlog",
            f'{N + 4} $.whim.ingest_windows[1].start: must be a time of day as "HH:MM", not a '
            "string ('25:00')",
        ],
    ),
    "a certificate without its key": (
        '[gate]\ntls_cert = "cert.pem"',
        [f"{N + 2} $.gate.tls_cert: needs tls_key beside it"],
    ),
    "a key in clear text": (
        '[[key]]\nname = "a"\nkey = "sk-very-secret"',
        [
            f"{N + 1} $.key[0]: 'sha256' is missing: what `covend keys hash` prints",
            f"{N + 3} $.key[0].key: keys are never stored in clear text; `covend keys add NAME` "
            "makes one and stores its sha256, `covend keys hash` hashes one you have",
        ],
    ),
    "a key where its hash belongs": (
        '[[key]]\nname = "a"\nsha256 = "sk-very-secret"',
        [
            f"{N + 3} $.key[0].sha256: must be 64 lowercase hex digits; `covend keys hash` prints "
            "them, not a string ('something else')"
        ],
    ),
    "a key of an unknown class": (
        f'[[key]]\nname = "a"\nsha256 = "{"0" * 64}"\nclass = "reflx"',
        [
            f"{N + 4} $.key[0].class: must be 'ingest' or 'reflex' or 'ritual' or 'swarm', not a "
            "string ('reflx'); did you mean 'reflex'?"
        ],
    ),
    "one key for two": (
        f'[[key]]\nname = "a"\nsha256 = "{"0" * 64}"\n[[key]]\nname = "b"\nsha256 = "{"0" * 64}"',
        [f"{N + 6} $.key[1].sha256: the same key is given to 'a'"],
    ),
    "a soulstone in no coven": (
        '[[soulstone]]\nname = "b"\ncommand = ["x"]\nendpoint = "http://127.0.0.1:2"\n'
        "memory = { host = 1 }",
        [
            f"{N + 1} $.soulstone[1]: is in no coven, so it could never be loaded; add [[coven]] "
            'name = "b", soulstones = ["b"]'
        ],
    ),
    "a shared soulstone with a command, in a coven": (
        '[[soulstone]]\nname = "s"\nauthority = "shared"\ncommand = ["x"]\n'
        'endpoint = "http://127.0.0.1:2"\n[[coven]]\nname = "c"\nsoulstones = ["s"]',
        [
            f"{N + 4} $.soulstone[1].command: a shared soulstone is never started by covend (W4); "
            'remove the command, or set authority = "exclusive"',
            f"{N + 8} $.coven[1].soulstones[0]: 's' is shared: covend never starts or stops it "
            "(W4), so it belongs to no coven",
        ],
    ),
    "a lexicon in a coven, larger than its reserve": (
        '[[soulstone]]\nname = "l"\nlexicon = true\ncommand = ["x"]\nmemory = { host = "2GiB" }\n'
        'endpoint = "http://127.0.0.1:2"\n[[coven]]\nname = "c"\nsoulstones = ["l"]',
        [
            f"{N + 5} $.soulstone[1].memory: the lexicon needs 2 GiB on 'host', more than the "
            "lexical_reserve of 1.5 GiB it lives in (W5)",
            f"{N + 9} $.coven[1].soulstones[0]: 'l' is the lexicon: it is always resident and "
            "never evicted (W5), so it belongs to no coven",
        ],
    ),
    "an endpoint used twice": (
        '[[soulstone]]\nname = "s"\nauthority = "shared"\nendpoint = "http://localhost:8001"',
        [
            f"{N + 4} $.soulstone[1].endpoint: is used by soulstone 'chat' already; take another "
            "port"
        ],
    ),
    "the gate's own port": (
        '[[soulstone]]\nname = "s"\nauthority = "shared"\nendpoint = "http://127.0.0.1:7878"',
        [
            f"{N + 4} $.soulstone[1].endpoint: is used by the gate's own `listen` already; take "
            "another port"
        ],
    ),
}

CHANGED = {
    "a titan with slots": (
        ("endpoint", "slots = 3\nendpoint"),
        [
            "8 $.soulstone[0].slots: a titan serves one request at a time; set slots = 1, or "
            'discipline = "kinetic" if its server really takes 3 at once'
        ],
    ),
    "a kinetic soulstone with one slot": (
        ("endpoint", 'discipline = "kinetic"\nendpoint'),
        [
            "5 $.soulstone[0].slots: a kinetic soulstone serves several requests at once; say how "
            'many (slots = 4), or set discipline = "titan"'
        ],
    ),
    "a command line as a string": (
        ('["server", "--port", "{port}"]', "\"server -m 'a b'\""),
        [
            "7 $.soulstone[0].command: must be an array, not a string (\"server -m 'a b'\"); write "
            '["server", "-m", "a b"]',
        ],
    ),
    "no memory": (
        ('memory = { host = "2GiB" }\n', ""),
        [
            "5 $.soulstone[0]: 'memory' is missing: what it needs per device, such as "
            '{ host = "4GiB" }'
        ],
    ),
    "a wrong size, said once": (
        ("2GiB", "2GiBi"),
        [
            '9 $.soulstone[0].memory.host: must be a size such as 1073741824, "300MiB" or '
            "\"1.5GiB\", not a string ('2GiBi')"
        ],
    ),
    "memory on an unknown device": (
        ("{ host", "{ hots"),
        ["9 $.soulstone[0].memory.hots: no device is named 'hots'; did you mean 'host'?"],
    ),
    "no command": (
        ('command = ["server", "--port", "{port}"]\n', ""),
        [
            "5 $.soulstone[0]: 'command' is missing: an exclusive soulstone needs what starts it "
            '(or set authority = "shared")'
        ],
    ),
    "a missing endpoint": (
        ('endpoint = "http://127.0.0.1:8001"\n', ""),
        [
            "5 $.soulstone[0]: 'endpoint' is missing: where its server listens: `http://HOST:PORT`,"
            " nothing behind it"
        ],
    ),
    "an endpoint with a path": (
        (":8001", ":8001/v1"),
        [
            '8 $.soulstone[0].endpoint: must be "http://HOST:PORT" and nothing behind it, such as '
            "\"http://127.0.0.1:8001\", not 'http://127.0.0.1:8001/v1'"
        ],
    ),
    "an endpoint past the last port": (
        (":8001", ":80010"),
        [
            '8 $.soulstone[0].endpoint: must be "http://HOST:PORT" and nothing behind it, such as '
            "\"http://127.0.0.1:8001\", not 'http://127.0.0.1:80010'"
        ],
    ),
    "nowhere to listen": (
        ('name = "test"', 'name = "test"\nlisten = "7878"'),
        ['2 $.listen: must be "HOST:PORT", such as "127.0.0.1:7878", not \'7878\''],
    ),
    "a coven larger than its device": (
        ("2GiB", "9GiB"),
        [
            "10 $.coven[0]: needs 9 GiB on 'host', whose budget is 8 GiB: capacity 8 GiB − lexical "
            "reserve 0 B − shared soulstones 0 B (W1)"
        ],
    ),
    "a run folder too long for a socket": (
        ('name = "test"', f'run_dir = "/{"r" * 90}"'),
        [f"1 $.run_dir: '/{'r' * 90}' has 91 bytes; sockets below it need it to have at most 80"],
    ),
}


@pytest.mark.parametrize("case", ADDED, ids=str)
def test_what_is_added_wrongly_is_named_with_its_place(errors_of, case):
    """X6: what was wrong, where, and what would be right."""
    added, expected, *change = ADDED[case]
    text = GOOD.replace(*change[0], 1) if change else GOOD
    assert errors_of(text + added) == expected


@pytest.mark.parametrize("case", CHANGED, ids=str)
def test_what_is_changed_wrongly_is_named_with_its_place(errors_of, case):
    """X6: what was wrong, where, and what would be right."""
    change, expected = CHANGED[case]
    assert change[0] in GOOD
    assert errors_of(GOOD.replace(*change, 1)) == expected


def test_the_lexical_reserve_and_shared_soulstones_come_off_the_budget(errors_of):
    """W1: budget = capacity − lexical reserve − shared soulstones."""
    added = (
        'lexicon = true\ncommand = ["x"]\nmemory = { host = "1GiB" }\n'
        'endpoint = "http://127.0.0.1:2"\n[[soulstone]]\nname = "s"\nauthority = "shared"\n'
        'endpoint = "http://127.0.0.1:3"\nmemory = { host = "5GiB" }\n'
    )
    text = f'{GOOD}[[soulstone]]\nname = "l"\n{added}'
    assert errors_of(text) == [
        "10 $.coven[0]: needs 2 GiB on 'host', whose budget is 1.5 GiB: capacity 8 GiB − lexical "
        "reserve 1.5 GiB − shared soulstones 5 GiB (W1)"
    ]


def test_all_errors_of_a_file_are_told_at_once_in_its_order(errors_of):
    wrong = GOOD.replace("name", "nam", 1).replace("8GiB", "8 gigs").replace('["chat"]', '["cat"]')
    assert [error.partition(":")[0] for error in errors_of(wrong + "[whim]\nkappa = 0")] == [
        "1 $.nam",
        "4 $.device[0].capacity",
        "5 $.soulstone[0]",
        "12 $.coven[0].soulstones[0]",
        "14 $.whim.kappa",
    ]


def test_an_empty_file_says_what_a_box_needs(errors_of):
    assert errors_of("") == [
        "0 $: no [[device]]: a box needs at least one device; `covend init` finds those of this "
        "machine",
        "0 $: no [[soulstone]]: a box needs at least one soulstone: a model server to route to",
    ]


def test_a_part_that_is_wrong_itself_is_not_called_unknown_by_others(errors_of):
    wrong = GOOD.replace("endpoint", "endpont")
    assert [error.partition(":")[0] for error in errors_of(wrong)] == [
        "5 $.soulstone[0]",
        "8 $.soulstone[0].endpont",
    ]


def test_no_secret_is_echoed(errors_of):
    """G7: what looks like a key never reaches a terminal or a log."""
    text = GOOD + '[[key]]\nname = "a"\nsha256 = "hunter2"\nsecret = "hunter2"\n'
    assert "hunter2" not in "\n".join(errors_of(text))


RESPONDERS = {
    "a function that is none": (
        'kind = "pattern"\nfunction = "not-installed:x"',
        "$.responder[0].function: no function is called 'not-installed': there are arithmetic, ",
    ),
    "a function that could never answer": (
        'kind = "pattern"\nfunction = "regex:("',
        "$.responder[0].function: '(' is no regular expression",
    ),
    "an llm without its model": ('kind = "llm"', "$.responder[0]: an llm needs its 'model'"),
    "a model that nobody serves": (
        'kind = "llm"\nmodel = "nobody"',
        "$.responder[0].model: no soulstone of this box serves 'nobody'",
    ),
    "a system with two ways": (
        'kind = "system"\ncommand = ["x"]\nurl = "http://h"',
        "$.responder[0]: a system needs either a 'command' or a 'url'",
    ),
    "a person without a did": ('kind = "actor"', "$.responder[0]: an actor needs its 'did'"),
    "a did with a space": (
        'kind = "actor"\ndid = "did: x"',
        "$.responder[0].did: must be 1 to 200 ASCII characters without spaces",
    ),
    "a did with a line feed behind it": (
        'kind = "actor"\ndid = "did:x\\n"',
        "$.responder[0].did: must be 1 to 200 ASCII characters without spaces",
    ),
    "a person who stands in without a name": (
        'kind = "actor"\ndid = "did:x"\ndelegates = [""]',
        "$.responder[0].delegates[0]: must be 1 to 200 ASCII characters without spaces",
    ),
    "a price that no budget could pay": (
        'kind = "actor"\ndid = "did:x"\ncost = { per_call = 1e300 }',
        "$.responder[0].cost.per_call: must be at most 1000000.0",
    ),
    "a time beyond a query's longest": (
        'kind = "actor"\ndid = "did:x"\nsla_seconds = "400d"',
        "$.responder[0].sla_seconds: must be at most 31622400.0",
    ),
    "an address of another sort": (
        'kind = "system"\nurl = "ftp://h"',
        "$.responder[0].url: must begin with http:// or https://",
    ),
    "a port that is none": (
        'kind = "llm"\nmodel = "m"\nendpoint = "http://h:70000/v1"',
        "$.responder[0].endpoint: must have a host, and no port or one of 1 to 65535",
    ),
    "the port of no server": (
        'kind = "system"\nurl = "http://h:0"',
        "$.responder[0].url: must have a host, and no port or one of 1 to 65535",
    ),
    "an address without a host": (
        'kind = "system"\nurl = "https://:80"',
        "$.responder[0].url: must have a host, and no port or one of 1 to 65535",
    ),
    "a channel that is no address": (
        'kind = "actor"\ndid = "did:x"\nchannels = ["json://h", "nonsense"]',
        "$.responder[0].channels[1]: must be an apprise address, such as mailto://",
    ),
    "a channel that apprise does not know": (
        'kind = "actor"\ndid = "did:x"\nchannels = ["nosuchscheme://{env:NOT_SET}"]',
        "$.responder[0].channels[0]: begins with nosuchscheme://, which apprise does not know",
    ),
    "a channel of a scheme that is misspelled": (
        'kind = "actor"\ndid = "did:x"\nchannels = ["jsn://h"]',
        "which apprise does not know; did you mean 'json'?",
    ),
    "a channel that is a page": (
        'kind = "actor"\ndid = "did:x"\nchannels = ["https://example.org/hook"]',
        "$.responder[0].channels[0]: is of no service that apprise knows; a webhook of your own is",
    ),
    "a channel's port that is none": (
        'kind = "actor"\ndid = "did:x"\nchannels = ["json://u:{env:SET}@h:65536/"]',
        "$.responder[0].channels[0]: has a port that is none: it must be 1 to 65535",
    ),
    "a channel's other port that is none": (
        'kind = "actor"\ndid = "did:x"\nchannels = ["mailto://h?smtp=s&port=0"]',
        "$.responder[0].channels[0]: has a port that is none: it must be 1 to 65535",
    ),
    "a channel's secret that is no address": (
        'kind = "actor"\ndid = "did:x"\nchannels = ["{env:SET}"]',
        "$.responder[0].channels[0]: must be an apprise address",
    ),
    "a channel with a placeholder of another sort": (
        'kind = "actor"\ndid = "did:x"\nchannels = ["json://{envv:SET}@h"]',
        "$.responder[0].channels[0]: unknown placeholder {envv:SET}",
    ),
}


@pytest.mark.parametrize(
    ("json", "problem"),
    [
        ("{", "Input data was truncated"),
        ('{"type": "fox"}', '"fox" is not valid'),
        ("3", "an object"),
    ],
)
def test_a_schema_that_is_none_is_named(errors_of, json, problem):
    """P7, X6: queries that name it would be refused one by one."""
    found = errors_of(f"{GOOD}\n[[schema]]\nname = 'invoice'\njson = '{json}'\n")
    assert len(found) == 1
    assert "$.schema[0].json: is no JSON Schema: " in found[0] and problem in found[0]


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # by a plugin
@pytest.mark.parametrize("case", RESPONDERS)
def test_a_responder_that_nobody_could_ask_is_named(errors_of, case):
    """P8, X6."""
    added, expected = RESPONDERS[case]
    found = errors_of(f'{GOOD}\n[[responder]]\nname = "r"\n{added}\n')
    assert len(found) == 1
    assert expected in found[0]


def test_no_responder_takes_the_name_of_the_boxs_own_models(errors_of):
    """P8: whoever names a model gets that model."""
    (found,) = errors_of(
        f'{GOOD}\n[[responder]]\nname = "model:x"\nkind = "actor"\ndid = "did:x"\n'
    )
    assert "$.responder[0].name: names that begin with model: are the box's own models" in found
