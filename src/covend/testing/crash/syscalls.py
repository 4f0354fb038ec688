"""The system calls that count, and how ptrace shows and changes them on x86_64 Linux."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from dataclasses import dataclass

TRACEME, GETREGS, SETREGS, SYSCALL = 0, 12, 13, 24
SETOPTIONS, GET_SYSCALL_INFO = 0x4200, 0x420E
EVENT_EXEC = 4
ENTRY = 1

NAMES = {
    1: "write",
    18: "pwrite64",
    20: "writev",
    44: "sendto",
    46: "sendmsg",
    74: "fsync",
    75: "fdatasync",
    77: "ftruncate",
    82: "rename",
    84: "rmdir",
    87: "unlink",
    263: "unlinkat",
    264: "renameat",
    296: "pwritev",
    316: "renameat2",
}
"""Calls that change what is outside the process: durable files, and what others were told."""

WRITES = frozenset({"write", "pwrite64"})
"""Whose third argument is a length that can be halved."""
GROWS = frozenset({"write", "pwrite64", "writev", "pwritev", "ftruncate"})
SYNCS = frozenset({"fsync", "fdatasync"})
PATHS = {"rename": 0, "unlink": 0, "rmdir": 0, "renameat": 1, "renameat2": 1, "unlinkat": 1}
"""By call, which argument is a path."""
_PATH_MAX = 4096

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


_REGISTERS = (
    *("r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx"),
    *("rsi", "rdi", "orig_rax", "rip", "cs", "eflags", "rsp", "ss", "fs_base", "gs_base"),
    *("ds", "es", "fs", "gs"),
)


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


@dataclass(frozen=True, slots=True)
class Info:
    """A system call as a stopped thread is about to make it, or has made it."""

    op: int
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


def info(pid: int) -> Info:
    """The call that a stopped thread is in; raises ProcessLookupError when it was killed."""
    raw = _Info()
    ptrace(GET_SYSCALL_INFO, pid, ctypes.sizeof(raw), ctypes.addressof(raw))
    return Info(raw.op, raw.number, tuple(raw.args))


def set_length(pid: int, length: int) -> None:
    """Make the write that is about to begin shorter."""
    _change(pid, rdx=length)


def skip(pid: int) -> None:
    """Have the kernel do nothing for the call that is about to begin."""
    _change(pid, orig_rax=0xFFFFFFFFFFFFFFFF)


def set_result(pid: int, value: int) -> None:
    """What the call that has just ended returns."""
    _change(pid, rax=value & 0xFFFFFFFFFFFFFFFF)


def subject(
    pid: int, name: str, args: Sequence[int], folders: Sequence[str], sockets: bool
) -> str | None:
    """What a call is about: a file below one of the folders, ``tcp``, or None if it counts not."""
    if name in PATHS:
        path = os.path.join(_link(f"/proc/{pid}/cwd"), _text(pid, args[PATHS[name]]))
        return path if _below(path, folders) else None
    link = _link(f"/proc/{pid}/fd/{args[0]}")
    if link.startswith("socket:"):
        return "tcp" if sockets and _is_tcp(pid, link) else None
    return link if _below(link, folders) else None


def _change(pid: int, **values: int) -> None:
    registers = _Registers()
    ptrace(GETREGS, pid, 0, ctypes.addressof(registers))
    for name, value in values.items():
        setattr(registers, name, value)
    ptrace(SETREGS, pid, 0, ctypes.addressof(registers))


def _below(path: str, folders: Sequence[str]) -> bool:
    return any(path.startswith(folder + "/") for folder in folders)


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""  # closed by another thread, or the process is gone


def _text(pid: int, address: int) -> str:
    """The path at an address of the program."""
    try:
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            memory.seek(address)
            return os.fsdecode(memory.read(_PATH_MAX).split(b"\0", 1)[0])
    except OSError:
        return ""


def _is_tcp(pid: int, link: str) -> bool:
    inode = link[len("socket:[") : -1]
    for table in ("tcp", "tcp6"):
        try:
            with open(f"/proc/{pid}/net/{table}") as lines:
                if any(inode in line.split()[9:10] for line in lines):
                    return True
        except OSError:
            continue
    return False
