"""Channels of people that hold, in a file and over the API (P18)."""

import pytest

from covend.config.channels import FAMILIAR, channel_problem, file_channel_problem

pytestmark = pytest.mark.filterwarnings(
    "ignore:'imghdr' is deprecated:DeprecationWarning"  # what one of apprise's plugins imports
)


def test_apprise_knows_what_it_is_not_asked_for():
    """The list only saves time."""
    from apprise.manager_plugins import NotificationManager

    assert set(NotificationManager().schemas()) >= FAMILIAR


@pytest.mark.parametrize(
    "channel",
    [
        "json://user:70000@host/path:99999",
        "JSONS://[::1]:65535/?x=:0",
        "tgram://123456789:abcdefg_hijklmnop/12315544/",
        "mailto://user:pass@example.org?smtp=mail.example.org&port=587&to=ann@example.org",
        "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
        "pover://user@token",
    ],
)
def test_an_address_that_apprise_could_send_to_holds(channel):
    """P18: also a service's own, and a token with a colon."""
    assert channel_problem(channel) is None


@pytest.mark.parametrize("channel", ["{env:HOOK}", "json://{env:NAME}@h/", "json://h:{env:PORT}/"])
def test_a_variable_that_is_not_set_may_stand_for_what_fits(channel):
    """P18: the file may be checked on another machine."""
    assert file_channel_problem(channel, {}) is None


def test_what_a_variable_stands_for_is_checked_and_not_shown():
    """P18: it is a secret."""
    for channel, value in (("{env:V}", "hunter2"), ("json://h:{env:V}/", "77777")):
        problem = file_channel_problem(channel, {"V": value})
        assert problem and value not in problem
