"""A box file that holds, and the environment it is read in."""

ENVIRON = {"XDG_RUNTIME_DIR": "/run/user/7", "XDG_STATE_HOME": "/state", "SET": "value"}

GOOD = """\
name = "test"
[[device]]
name = "host"
capacity = "8GiB"
[[soulstone]]
name = "chat"
command = ["server", "--port", "{port}"]
endpoint = "http://127.0.0.1:8001"
memory = { host = "2GiB" }
[[coven]]
name = "day"
soulstones = ["chat"]
"""
GOOD_LINES = GOOD.count("\n")
