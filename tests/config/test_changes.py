"""G10: a reload touches only what changed, and names what needs a restart."""

import pytest

from covend.config import Changes, Delta, diff

from .documents import GOOD

MORE = """\
[[soulstone]]
name = "b"
command = ["x"]
endpoint = "http://127.0.0.1:2"
memory = { host = 1 }
[[coven]]
name = "b"
soulstones = ["b"]
"""


def test_the_same_file_read_twice_changes_nothing(box_of):
    changes = diff(box_of(GOOD + MORE), box_of("# a comment\n" + GOOD + MORE))
    assert changes == Changes()
    assert not changes


def test_parts_that_come_and_go_are_named(box_of):
    """G10."""
    old, new = box_of(), box_of(GOOD + MORE)
    assert diff(old, new) == Changes(soulstone=Delta(added=("b",)), coven=Delta(added=("b",)))
    assert diff(new, old) == Changes(soulstone=Delta(removed=("b",)), coven=Delta(removed=("b",)))


def test_a_changed_soulstone_leaves_the_others_alone(box_of):
    """G10: one new argument restarts one soulstone."""
    changed = box_of((GOOD + MORE).replace('"x"', '"y"'))
    assert diff(box_of(GOOD + MORE), changed) == Changes(soulstone=Delta(changed=("b",)))


def test_a_placeholder_with_another_value_is_a_change(box_of):
    text = GOOD.replace("{port}", "{env:SET}")
    assert diff(box_of(text), box_of(text, SET="other")).soulstone.changed == ("chat",)


@pytest.mark.parametrize(
    ("added", "sections", "restart"),
    [
        ("[whim]\nkappa = 3", ("whim",), ()),
        ("[gate]\nwaiting_room = 3", ("gate",), ()),
        ('[gate]\ntls_cert = "a"\ntls_key = "b"', (), ("$.gate.tls_cert", "$.gate.tls_key")),
        ("[oculus]\nsample_seconds = 3", (), ("$.oculus",)),
        ('[[device]]\nname = "g"\nkind = "nvidia"', (), ("$.device",)),
    ],
)
def test_what_needs_a_restart_is_told_from_what_does_not(box_of, added, sections, restart):
    """G10."""
    assert diff(box_of(), box_of(GOOD + added)) == Changes(sections=sections, restart=restart)


def test_another_port_needs_a_restart(box_of):
    assert diff(box_of(), box_of('listen = "127.0.0.1:1"\n' + GOOD)).restart == ("$.listen",)
