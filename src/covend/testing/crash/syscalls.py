"""The system calls that count: those that change what is left when the program dies.

Files and what is in them, directories, rights, times and attributes, and what was said to others.
The numbers are those of x86-64 Linux. What a call does not change does not count: an ``open`` that
neither creates nor empties a file is none.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from covend.testing.crash.ptrace import Watched, memory, set_argument, set_memory


@dataclass(frozen=True, slots=True)
class Place:
    """The arguments that name a file: a descriptor, a path, or a path from a descriptor's folder.

    ``address``: a socket's address, of which a unix socket's path counts. ``mapped``: memory that
    a file is mapped to.
    """

    fd: int | None = None
    path: int | None = None
    address: int | None = None
    mapped: int | None = None


@dataclass(frozen=True, slots=True)
class Syscall:
    """One row: what a call is about, and what can be done to it.

    ``grows``: it may need room on the disk. ``syncs``: it waits for the disk. ``length``: the
    argument with the number of bytes. ``vector``: the argument with the list of buffers, before
    the one with its length. ``flags``: the argument that says how a file is opened.
    """

    name: str
    places: tuple[Place, ...]
    kind: Literal["changes", "grows", "syncs"] = "changes"
    length: int | None = None
    vector: int | None = None
    flags: int | None = None


_FD, _PATH, _AT = Place(fd=0), Place(path=0), Place(fd=0, path=1)
_SECOND_PATH, _TO = Place(path=1), Place(fd=2, path=3)

TABLE = {
    # the content of files, and what others are told
    1: Syscall("write", (_FD,), "grows", length=2),
    16: Syscall("ioctl", (_FD,), "grows"),
    18: Syscall("pwrite64", (_FD,), "grows", length=2),
    20: Syscall("writev", (_FD,), "grows", vector=1),
    40: Syscall("sendfile", (_FD,), "grows", length=3),
    44: Syscall("sendto", (_FD,), length=2),
    46: Syscall("sendmsg", (_FD,)),
    76: Syscall("truncate", (_PATH,)),
    77: Syscall("ftruncate", (_FD,)),
    275: Syscall("splice", (Place(fd=2),), "grows", length=4),
    285: Syscall("fallocate", (_FD,), "grows"),
    296: Syscall("pwritev", (_FD,), "grows", vector=1),
    307: Syscall("sendmmsg", (_FD,)),
    326: Syscall("copy_file_range", (Place(fd=2),), "grows", length=4),
    328: Syscall("pwritev2", (_FD,), "grows", vector=1),
    # what the disk has
    26: Syscall("msync", (Place(mapped=0),), "syncs"),
    74: Syscall("fsync", (_FD,), "syncs"),
    75: Syscall("fdatasync", (_FD,), "syncs"),
    162: Syscall("sync", (), "syncs"),
    277: Syscall("sync_file_range", (_FD,), "syncs"),
    306: Syscall("syncfs", (_FD,), "syncs"),
    # names
    2: Syscall("open", (_PATH,), "grows", flags=1),
    49: Syscall("bind", (Place(address=1),), "grows"),
    82: Syscall("rename", (_PATH, _SECOND_PATH)),
    83: Syscall("mkdir", (_PATH,), "grows"),
    84: Syscall("rmdir", (_PATH,)),
    85: Syscall("creat", (_PATH,), "grows"),
    86: Syscall("link", (_SECOND_PATH,), "grows"),
    87: Syscall("unlink", (_PATH,)),
    88: Syscall("symlink", (_SECOND_PATH,), "grows"),
    133: Syscall("mknod", (_PATH,), "grows"),
    257: Syscall("openat", (_AT,), "grows", flags=2),
    258: Syscall("mkdirat", (_AT,), "grows"),
    259: Syscall("mknodat", (_AT,), "grows"),
    263: Syscall("unlinkat", (_AT,)),
    264: Syscall("renameat", (_AT, _TO)),
    265: Syscall("linkat", (_TO,), "grows"),
    266: Syscall("symlinkat", (Place(fd=1, path=2),), "grows"),
    316: Syscall("renameat2", (_AT, _TO)),
    437: Syscall("openat2", (_AT,), "grows"),
    # rights, owners, times and attributes
    90: Syscall("chmod", (_PATH,)),
    91: Syscall("fchmod", (_FD,)),
    92: Syscall("chown", (_PATH,)),
    93: Syscall("fchown", (_FD,)),
    94: Syscall("lchown", (_PATH,)),
    132: Syscall("utime", (_PATH,)),
    188: Syscall("setxattr", (_PATH,), "grows"),
    189: Syscall("lsetxattr", (_PATH,), "grows"),
    190: Syscall("fsetxattr", (_FD,), "grows"),
    197: Syscall("removexattr", (_PATH,)),
    198: Syscall("lremovexattr", (_PATH,)),
    199: Syscall("fremovexattr", (_FD,)),
    235: Syscall("utimes", (_PATH,)),
    260: Syscall("fchownat", (_AT,)),
    261: Syscall("futimesat", (_AT,)),
    268: Syscall("fchmodat", (_AT,)),
    280: Syscall("utimensat", (_AT,)),
    452: Syscall("fchmodat2", (_AT,)),
    463: Syscall("setxattrat", (_AT,), "grows"),
    466: Syscall("removexattrat", (_AT,)),
}

MISSING = {206: "io_setup", 425: "io_uring_setup"}
"""Ways to write that no system call shows. They end with ENOSYS, as on a kernel without them, so
that a program takes its other way, which is seen."""

SOCKETS = frozenset({"tcp", "udp"})
"""What a call is about when it is said to others."""

_OPENS = frozenset({"open", "openat", "openat2", "creat"})
_CREATES_OR_EMPTIES = os.O_CREAT | os.O_TRUNC
_CLONES = frozenset({0x40049409, 0x4020940D})
"""FICLONE and FICLONERANGE: the only ioctls that count."""
_PUNCH_HOLE = 0x02
_CWD = 0xFFFFFF9C
_UNIX = 1
_ADDRESS_MAX, _PATH_MAX = 110, 4096
_BUFFER, _MOST_BUFFERS = struct.Struct("=QQ"), 1024


def watched() -> Iterator[Watched]:
    """Every call of the table, for the filter: an ``open`` only if it may change something."""
    for number, call in TABLE.items():
        yield Watched(number, call.flags, _CREATES_OR_EMPTIES if call.flags is not None else 0)


def subject(
    pid: int, call: Syscall, args: Sequence[int], folders: Sequence[str], sockets: bool
) -> str | None:
    """What a call is about: a file or folder, ``tcp``, ``udp``, or None if it counts not."""
    if call.name == "sync":
        return "every file" if folders else None
    if call.name == "ioctl" and args[1] & 0xFFFFFFFF not in _CLONES:
        return None
    for place in call.places:
        for name in _names(pid, place, args):
            if name.startswith("socket:"):
                return _protocol(pid, _fd(place, args)) if sockets else None
            if _below(name, folders):
                return name if _changes(pid, call, args, name) else None
    return None


def takes_room(call: Syscall, args: Sequence[int], what: str) -> bool:
    """Whether a disk without room would refuse it."""
    if call.kind != "grows" or what in SOCKETS:
        return False
    if call.name == "fallocate":
        return not args[1] & _PUNCH_HOLE
    return call.name not in _OPENS or not os.path.exists(what)


def tear(pid: int, call: Syscall, args: Sequence[int]) -> bool:
    """Make the write that is about to begin half as long; False if it cannot be halved.

    Of a list of buffers, the last that is still written is made shorter in the program's memory.
    """
    if call.length is not None:
        half = args[call.length] // 2
        if half:
            set_argument(pid, call.length, half)
        return half > 0
    if call.vector is None:
        return False
    start, count = args[call.vector], min(args[call.vector + 1], _MOST_BUFFERS)
    raw = memory(pid, start, count * _BUFFER.size)
    sizes = [size for _, size in _BUFFER.iter_unpack(raw[: len(raw) // 16 * 16])]
    rest = sum(sizes) // 2
    for index, size in enumerate(sizes):
        if 0 < rest <= size:
            set_memory(pid, start + index * _BUFFER.size + 8, struct.pack("=Q", rest))
            set_argument(pid, call.vector + 1, index + 1)
            return True
        rest -= size
    return False


def _names(pid: int, place: Place, args: Sequence[int]) -> Iterator[str]:
    """The file that the arguments name: as it is called in its folder, and what a link leads to."""
    if place.mapped is not None:
        yield _mapped(pid, args[place.mapped])
    elif place.address is not None:
        raw = memory(pid, args[place.address], _ADDRESS_MAX)
        if int.from_bytes(raw[:2], "little") == _UNIX and (text := _until_nul(raw[2:])):
            yield from _paths(pid, f"/proc/{pid}/cwd", text)
    elif place.path is None:
        yield _link(f"/proc/{pid}/fd/{_fd(place, args)}")
    else:
        at_cwd = place.fd is None or _fd(place, args) == _CWD
        folder = f"/proc/{pid}/cwd" if at_cwd else f"/proc/{pid}/fd/{_fd(place, args)}"
        text = _until_nul(memory(pid, args[place.path], _PATH_MAX))
        if text:
            yield from _paths(pid, folder, text)
        elif not at_cwd:
            yield _link(folder)  # without a path it is the descriptor's own file


def _paths(pid: int, folder: str, text: str) -> Iterator[str]:
    if text.startswith("/proc/self/"):
        text = f"/proc/{pid}/{text.removeprefix('/proc/self/')}"
    path = os.path.join(_link(folder), text.rstrip("/") or "/")
    above, name = os.path.split(path)
    if name not in ("", ".", ".."):
        yield os.path.join(os.path.realpath(above), name)
    yield os.path.realpath(path)


def _changes(pid: int, call: Syscall, args: Sequence[int], path: str) -> bool:
    """Whether it changes something: an open that neither creates nor empties a file does not."""
    if call.name not in _OPENS:
        return True
    flags = _CREATES_OR_EMPTIES
    if call.flags is not None:
        flags = args[call.flags]
    elif call.name == "openat2":
        flags = int.from_bytes(memory(pid, args[2], 8), "little")
    try:
        found = os.stat(path)
    except OSError:
        return bool(flags & os.O_CREAT)
    return bool(flags & os.O_TRUNC) and stat.S_ISREG(found.st_mode) and found.st_size > 0


def _below(path: str, folders: Sequence[str]) -> bool:
    return any(path == folder or path.startswith(folder + "/") for folder in folders)


def _fd(place: Place, args: Sequence[int]) -> int:
    return args[place.fd or 0] & 0xFFFFFFFF


def _until_nul(raw: bytes) -> str:
    return os.fsdecode(raw.split(b"\0", 1)[0])


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""  # closed by another thread, or the process is gone


def _mapped(pid: int, address: int) -> str:
    """The file that is mapped there."""
    try:
        with open(f"/proc/{pid}/maps") as lines:
            for line in lines:
                start, _, end = line.split(maxsplit=1)[0].partition("-")
                if int(start, 16) <= address < int(end, 16):
                    return "".join(line.rstrip("\n").split(maxsplit=5)[5:])
    except OSError:
        return ""
    return ""


def _protocol(pid: int, fd: int) -> str | None:
    """``tcp`` or ``udp``; None for a socket that says nothing to others, as a unix socket."""
    try:
        name = os.getxattr(f"/proc/{pid}/fd/{fd}", "system.sockprotoname").decode()
    except OSError:
        return None
    return next((known for known in sorted(SOCKETS) if known.upper() in name), None)
