"""How the kernel stops a program at some of its system calls, and shows and changes them there.

x86-64 Linux. A filter (seccomp) that the program cannot take off stops it at the calls of the
table and at no others, so that all others run at full speed.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass

TRACEME, CONTINUE, GETREGS, SETREGS, TO_EXIT = 0, 7, 12, 13, 24
"""``TO_EXIT`` (PTRACE_SYSCALL) goes on until the end of the call that the thread is in."""
SETOPTIONS, GET_SYSCALL_INFO = 0x4200, 0x420E
OPTIONS = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x80 | 0x100000
"""TRACESYSGOOD, TRACEFORK, TRACEVFORK, TRACECLONE, TRACEEXEC, TRACESECCOMP, EXITKILL."""
EVENT_SECCOMP = 7

_SET_NO_NEW_PRIVS, _SET_SECCOMP, _SECCOMP_FILTER = 38, 22, 2
_ALLOW, _TRACE, _NO_SUCH_CALL = 0x7FFF0000, 0x7FF00000, 0x00050000 | errno.ENOSYS
_LOAD, _EQUAL, _ANY_BIT, _AT_LEAST, _RETURN = 0x20, 0x15, 0x45, 0x35, 0x06
_X86_64, _X32 = 0xC000003E, 0x40000000
_NUMBER, _ARCH, _ARGS = 0, 4, 16
"""Where they are in what the filter sees (struct seccomp_data)."""
_MOST_INSTRUCTIONS = 4096

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long
_libc.prctl.argtypes = [ctypes.c_int, *(ctypes.c_ulong,) * 4]

_REGISTERS = (
    *("r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx"),
    *("rsi", "rdi", "orig_rax", "rip", "cs", "eflags", "rsp", "ss", "fs_base", "gs_base"),
    *("ds", "es", "fs", "gs"),
)
_ARGUMENTS = ("rdi", "rsi", "rdx", "r10", "r8", "r9")


class _Registers(ctypes.Structure):
    _fields_ = [(name, ctypes.c_ulonglong) for name in _REGISTERS]


class _Info(ctypes.Structure):
    _fields_ = [
        ("op", ctypes.c_uint8),
        ("pad", ctypes.c_uint8 * 3),
        ("arch", ctypes.c_uint32),
        ("instruction", ctypes.c_uint64),
        ("stack", ctypes.c_uint64),
        ("number", ctypes.c_uint64),
        ("args", ctypes.c_uint64 * 6),
    ]


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


@dataclass(frozen=True, slots=True)
class Watched:
    """A call to stop at: always, or only if one of ``bits`` is set in its argument ``argument``."""

    number: int
    argument: int | None = None
    bits: int = 0


@dataclass(frozen=True, slots=True)
class Info:
    """A system call as a stopped thread is about to make it."""

    number: int
    args: tuple[int, ...]


def ptrace(request: int, pid: int, address: int, data: int) -> int:
    """One ptrace request; raises OSError."""
    result = int(_libc.ptrace(request, pid, address, data))
    if result == -1 and (code := ctypes.get_errno()):
        raise OSError(code, os.strerror(code))
    return result


def trace_me() -> None:
    """In the child, before its exec: the parent traces us."""
    ptrace(TRACEME, 0, 0, 0)


def stop_at(watched: Iterable[Watched], missing: Iterable[int]) -> None:
    """In the child, before its exec: stop at these calls; ``missing`` ones end with ENOSYS.

    So do all calls of the other ABIs of this machine (i386, x32), whose numbers mean other calls.
    """
    program = b"".join(_filter(watched, missing))
    count = len(program) // 8
    if count > _MOST_INSTRUCTIONS:
        raise ValueError(f"{count} instructions are too many for one filter")
    _prctl(_SET_NO_NEW_PRIVS, 1, 0)  # without it only root may set a filter
    loaded = _Program(count, program)
    _prctl(_SET_SECCOMP, _SECCOMP_FILTER, ctypes.addressof(loaded))


def info(pid: int) -> Info:
    """The call that a stopped thread is in; raises ProcessLookupError when it was killed."""
    raw = _Info()
    ptrace(GET_SYSCALL_INFO, pid, ctypes.sizeof(raw), ctypes.addressof(raw))
    return Info(raw.number, tuple(raw.args))


def set_argument(pid: int, index: int, value: int) -> None:
    """Another argument for the call that is about to begin."""
    _change(pid, **{_ARGUMENTS[index]: value})


def skip(pid: int) -> None:
    """Have the kernel do nothing for the call that is about to begin."""
    _change(pid, orig_rax=0xFFFFFFFFFFFFFFFF)


def set_result(pid: int, value: int) -> None:
    """What the call that has just ended returns."""
    _change(pid, rax=value & 0xFFFFFFFFFFFFFFFF)


def memory(pid: int, address: int, size: int) -> bytes:
    """Up to ``size`` bytes of the program from there; none if it has no such memory."""
    try:
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as file:
            file.seek(address)
            return file.read(size)
    except (OSError, OverflowError):
        return b""


def set_memory(pid: int, address: int, value: bytes) -> None:
    """Other bytes in the program's memory; raises OSError."""
    with open(f"/proc/{pid}/mem", "r+b", buffering=0) as file:
        file.seek(address)
        file.write(value)


def _filter(watched: Iterable[Watched], missing: Iterable[int]) -> Iterable[bytes]:
    """The instructions; a jump's two distances are counted from the next instruction."""
    yield _instruction(_LOAD, _ARCH)
    yield _instruction(_EQUAL, _X86_64, 1, 0)
    yield _instruction(_RETURN, _NO_SUCH_CALL)
    yield _instruction(_LOAD, _NUMBER)
    yield _instruction(_AT_LEAST, _X32, 0, 1)
    yield _instruction(_RETURN, _NO_SUCH_CALL)
    for number in missing:
        yield _instruction(_EQUAL, number, 0, 1)
        yield _instruction(_RETURN, _NO_SUCH_CALL)
    for call in watched:
        if call.argument is None:
            yield _instruction(_EQUAL, call.number, 0, 1)
        else:
            yield _instruction(_EQUAL, call.number, 0, 4)
            yield _instruction(_LOAD, _ARGS + 8 * call.argument)
            yield _instruction(_ANY_BIT, call.bits, 1, 0)
            yield _instruction(_RETURN, _ALLOW)
        yield _instruction(_RETURN, _TRACE)
    yield _instruction(_RETURN, _ALLOW)


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _prctl(option: int, first: int, second: int) -> None:
    if _libc.prctl(option, first, second, 0, 0):
        code = ctypes.get_errno()
        raise OSError(code, f"prctl({option}): {os.strerror(code)}")


def _change(pid: int, **values: int) -> None:
    registers = _Registers()
    ptrace(GETREGS, pid, 0, ctypes.addressof(registers))
    for name, value in values.items():
        setattr(registers, name, value)
    ptrace(SETREGS, pid, 0, ctypes.addressof(registers))
