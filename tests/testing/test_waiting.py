"""Waiting has a deadline and says what it waited for; the examples in the docstrings hold."""

import doctest
import importlib
import pkgutil
import socket

import pytest

import covend.testing
from covend.testing import eventually, free_port

MODULES = sorted(
    module.name for module in pkgutil.iter_modules(covend.testing.__path__, "covend.testing.")
)


def test_eventually_returns_the_first_true_answer():
    answers = iter([0, None, 7, 8])
    assert eventually(lambda: next(answers)) == 7


def test_eventually_names_what_it_waited_for_and_the_last_answer():
    with pytest.raises(AssertionError, match=r"the moon is full \(last answer: 'half'\)"):
        eventually(lambda: _Falsy("half"), 0.01, "the moon is full")


def test_eventually_lets_an_exception_through():
    with pytest.raises(ZeroDivisionError):
        eventually(lambda: 1 / 0, 5.0)


def test_a_free_port_can_be_listened_on():
    port = free_port()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", port))
        listener.listen()
        assert listener.getsockname()[1] == port


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_the_docstrings_hold(name):
    failed, _tried = doctest.testmod(importlib.import_module(name))
    assert failed == 0


def test_every_public_name_of_covend_testing_is_there_with_a_docstring():
    for name in covend.testing.__all__:
        assert getattr(covend.testing, name).__doc__, name


def test_a_name_that_covend_testing_does_not_have_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'nothing_of_the_kind'"):
        _ = covend.testing.nothing_of_the_kind


class _Falsy(str):
    def __bool__(self):
        return False
