"""Calls that a command answers: a process for each, with JSON on its input (P8)."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Mapping
from typing import Any

from covend.actors.calls import replies
from covend.actors.calls.pipes import TooMuch, begin, kill_session, talk
from covend.actors.calls.replies import answered, failed, too_much
from covend.patterns.answers.understanding import Raw


class Program:
    """A command with JSON on its input; its output is the answer once it ends well.

    It leads a session of its own, which is killed when its time is over or it is given up, and
    does not outlive this process, however that ends (S16). A daemon thread waits for it; ``done``
    is called there, unless it was given up.
    """

    def __init__(
        self,
        command: tuple[str, ...],
        body: Mapping[str, Any],
        seconds: float,
        done: Callable[[Raw], None],
    ) -> None:
        self._command = command
        self._input = json.dumps(body).encode()
        self._seconds = seconds
        self._done = done
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._given_up = False
        threading.Thread(target=self._run, name=f"program-{command[0]}", daemon=True).start()

    def cancel(self) -> None:
        """Give it up: nothing is heard of it any more. Any thread."""
        with self._lock:
            self._given_up = True
            if self._process is not None:
                kill_session(self._process.pid)

    def _run(self) -> None:
        try:
            with self._lock:
                if self._given_up:
                    return
                process = self._process = begin(self._command)
        except OSError as error:
            raw = failed(error, transport=False)
        else:
            raw = self._answer(process)
        if not self._given_up:
            self._done(raw)

    def _answer(self, process: subprocess.Popen[bytes]) -> Raw:
        """What it says; from here on it has the work, and may bill it however it ends (P13)."""
        name = self._command[0]
        with process:
            try:
                said = talk(process, self._input, self._seconds, replies.MAX_ANSWER_BYTES)
            except TimeoutError:
                return _no_answer(f"{name} did not end within {self._seconds:.1f} s")
            except TooMuch:
                return too_much(replies.MAX_ANSWER_BYTES)
            except OSError as error:
                return failed(error, transport=False, billable=True)
            finally:
                with self._lock:
                    kill_session(process.pid)  # it, or whatever it left running
                    self._process = None  # once it is waited for, its number may be another's
        if process.returncode:
            text = said.complaint.decode(errors="replace").strip()[-500:]
            return _no_answer(f"{name} ended with {process.returncode}: {text}")
        return answered(said.output)


def _no_answer(why: str) -> Raw:
    return Raw(failure=why, transport=False, billable=True)
