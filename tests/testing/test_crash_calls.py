"""Each system call that changes what survives a crash is a gap, and no call that does not."""

import errno
import os
import subprocess
import sys

import pytest

from covend.testing.crash import Fault, Target, crash, traceable
from covend.testing.crash.syscalls import TABLE

pytestmark = pytest.mark.skipif(bool(traceable()), reason=traceable() or "-")

BEGIN = """
import ctypes, mmap, os, socket, struct, sys
folder, outside = sys.argv[1:]
os.chdir(folder)
libc = ctypes.CDLL(None, use_errno=True)
AT_CWD = -100
def syscall(number, *args):
    libc.syscall(number, *(ctypes.c_long(a) if isinstance(a, int) else a for a in args))
    return ctypes.get_errno()
"""


@pytest.fixture
def seen(tmp_path):
    """What the kit sees of a piece of a program that runs in its folder, as (name, file) pairs."""
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()

    def of(code):
        argv = [sys.executable, "-c", BEGIN + code, str(inside), str(outside)]
        run = crash(Target(argv, folders=[inside]), Fault("none"))
        assert run.status == 0, run.output
        of.output = run.output
        return [(call.name, call.what.removeprefix(f"{inside}/")) for call in run.calls]

    of.inside, of.outside = inside, outside
    return of


def test_every_way_python_has_to_change_a_file_or_a_folder_is_seen(seen):
    steps = {
        'os.mkdir("folder")': ("mkdir", "folder"),
        'fd = os.open("a", os.O_CREAT | os.O_RDWR)': ("openat", "a"),
        "os.posix_fallocate(fd, 0, 100)": ("fallocate", "a"),
        'os.write(fd, b"1" * 100)': ("write", "a"),
        'os.writev(fd, [b"2", b"3"])': ("writev", "a"),
        'os.pwrite(fd, b"4", 5)': ("pwrite64", "a"),
        'os.pwritev(fd, [b"6"], 7, os.RWF_DSYNC)': ("pwritev2", "a"),
        'other = os.open("b", os.O_CREAT | os.O_RDWR)': ("openat", "b"),
        "os.copy_file_range(fd, other, 50, 0, 0)": ("copy_file_range", "b"),
        "os.sendfile(other, fd, 0, 50)": ("sendfile", "b"),
        'm = mmap.mmap(other, 50); m[:5] = b"hello"; m.flush()': ("msync", "b"),
        "os.fsync(fd)": ("fsync", "a"),
        "os.fdatasync(fd)": ("fdatasync", "a"),
        "os.sync()": ("sync", "every file"),
        "os.ftruncate(fd, 8)": ("ftruncate", "a"),
        'os.truncate("a", 5)': ("truncate", "a"),
        'os.close(os.open("a", os.O_WRONLY | os.O_TRUNC))': ("openat", "a"),
        'os.link("a", "c")': ("link", "c"),
        'os.symlink("a", "d")': ("symlink", "d"),
        'os.chmod("a", 0o600)': ("chmod", "a"),
        "os.fchmod(fd, 0o644)": ("fchmod", "a"),
        'os.chown("a", -1, -1)': ("chown", "a"),
        "os.fchown(fd, -1, -1)": ("fchown", "a"),
        'os.utime("a", (1, 1))': ("utimensat", "a"),
        "os.utime(fd, (1, 1))": ("utimensat", "a"),
        'os.rename("a", "folder/a")': ("rename", "folder/a"),
        'os.unlink("c")': ("unlink", "c"),
        'os.unlink("folder/a")': ("unlink", "folder/a"),
        'os.rmdir("folder")': ("rmdir", "folder"),
        'os.mkfifo("pipe")': ("mknodat", "pipe"),
        'socket.socket(socket.AF_UNIX).bind("socket")': ("bind", "socket"),
    }
    found = seen("\n".join(steps))
    expected = list(steps.values())
    expected[expected.index(("rename", "folder/a"))] = ("rename", "a")  # its first name is told
    assert found == expected


CALLS = """
bind chmod chown copy_file_range creat fallocate fchmod fchmodat fchmodat2 fchown fchownat
fdatasync fremovexattr fsetxattr fsync ftruncate futimesat ioctl lchown link linkat
lremovexattr lsetxattr mkdir mkdirat mknod mknodat msync open openat openat2 pwrite64
pwritev pwritev2 removexattr removexattrat rename renameat renameat2 rmdir sendfile sendmmsg
sendmsg sendto setxattr setxattrat splice symlink symlinkat sync sync_file_range syncfs
truncate unlink unlinkat utime utimensat utimes write writev
"""
ARGUMENTS = {
    "at": "AT_CWD, p, 0, 0",
    "fd": "fd, 0, 0, 0",
    "path": "p, 0, 0, 0",
}
BY_HAND = {
    "bind": "-1, struct.pack('=H', 1) + b'file', 6",
    "creat": "p, 0o600",
    "ioctl": "fd, 0x40049409, fd",
    "link": "b'other', p",
    "linkat": "AT_CWD, b'other', AT_CWD, p, 0",
    "msync": "mapped, 100, 4",
    "open": "p, os.O_TRUNC | os.O_WRONLY",
    "openat": "AT_CWD, p, os.O_TRUNC | os.O_WRONLY",
    "openat2": "AT_CWD, p, struct.pack('=QQQ', os.O_TRUNC | os.O_WRONLY, 0, 0), 24",
    "rename": "b'/none', p",
    "renameat": "AT_CWD, b'/none', AT_CWD, p",
    "renameat2": "AT_CWD, b'/none', AT_CWD, p, 0",
    "splice": "fd, 0, fd, 0, 0, 0",
    "copy_file_range": "fd, 0, fd, 0, 0, 0",
    "symlink": "b'other', p",
    "symlinkat": "b'other', AT_CWD, p",
    "sync": "",
}


def arguments(call):
    """What to call it with, so that it is about the file and changes as little as can be."""
    place = call.places[0] if call.places else None
    if call.name in BY_HAND:
        return BY_HAND[call.name]
    if place.path == 0:
        return ARGUMENTS["path"]
    return ARGUMENTS["fd" if place.path is None else "at"]


def test_every_row_of_the_table_is_seen(seen):
    """Also those that libraries call by number, on a kernel that may not have them."""
    lines = [
        "p = b'file'",
        "libc.mmap.restype = ctypes.c_void_p",
        "make = \"open('file', 'wb').write(b'content'); fd = os.open('file', os.O_RDWR)\"",
        "exec(make)",
        "mapped = libc.mmap(0, 100, 1, 1, fd, 0)",
    ]
    for number, call in TABLE.items():
        lines.append(f"syscall({number}, {arguments(call)})")
        lines.append("exec(make)")
    made = {("openat", "file"), ("write", "file")}
    expected = {
        (call.name, "every file" if call.name == "sync" else "file") for call in TABLE.values()
    }
    assert sorted(call.name for call in TABLE.values()) == CALLS.split()
    assert set(seen("\n".join(lines))) == expected | made


@pytest.mark.parametrize("number", [206, 425])
def test_what_no_system_call_would_show_is_not_there(seen, number):
    """io_uring and libaio: the program is told that its kernel has none, and writes as others."""
    assert seen(f"print(syscall({number}, 0, 0))") == []
    assert int(seen.output) == errno.ENOSYS


I386_GETPID = """
code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
code.write(bytes.fromhex("b814000000cd80c3"))  # mov eax, 20; int 0x80; ret
here = ctypes.addressof(ctypes.c_char.from_buffer(code))
print(ctypes.CFUNCTYPE(ctypes.c_int)(here)())
"""


def test_the_calls_of_another_abi_whose_numbers_mean_other_calls_are_not_there(seen):
    argv = [sys.executable, "-c", BEGIN + I386_GETPID, str(seen.inside), str(seen.outside)]
    undisturbed = subprocess.run(argv, capture_output=True, check=False)
    if undisturbed.returncode or int(undisturbed.stdout) < 0:
        pytest.skip("this kernel has no i386 calls anyway")
    assert seen(I386_GETPID) == []
    assert int(seen.output) == -errno.ENOSYS


def test_what_changes_nothing_or_elsewhere_does_not_count(seen):
    (seen.inside / "here").write_text("here")
    (seen.inside / "empty").touch()
    quiet = """
open("here").read()
open("here", "a").close()
open("empty", "w").close()
try:
    open("here", "x")
except FileExistsError:
    pass
try:
    open("none")
except FileNotFoundError:
    pass
os.open(".", os.O_TMPFILE | os.O_RDWR)
os.isatty(os.open("here", os.O_RDONLY))
elsewhere = os.open(outside, os.O_RDONLY)
os.mkdir("folder", dir_fd=elsewhere)
os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=elsewhere))
os.rename("file", "renamed", src_dir_fd=elsewhere, dst_dir_fd=elsewhere)
open(outside + "/file", "w").write("x")
socket.socket(socket.AF_UNIX).bind("\\0abstract")
os.write(os.memfd_create("memory"), b"x")
os.write(1, b"log")
"""
    assert seen(quiet) == []


def test_a_file_is_found_under_whatever_name_it_is_called(seen):
    (seen.outside / "way").symlink_to(seen.inside)
    (seen.inside / "file").write_text("file")
    code = """
os.mkdir(outside + "/way/by-link")
os.mkdir("../inside/by-dots/")
here = os.open(".", os.O_RDONLY)
os.chdir("/")
os.mkdir("by-descriptor", dir_fd=here)
os.fsync(here)
fd = os.open(folder + "/file", os.O_RDONLY)
os.chmod(f"/proc/self/fd/{fd}", 0o600)
os.rename(outside + "/way/file", outside + "/file")
os.rename(outside + "/file", outside + "/way/file")
"""
    assert seen(code) == [
        ("mkdir", "by-link"),
        ("mkdir", "by-dots"),
        ("mkdirat", "by-descriptor"),
        ("fsync", str(seen.inside)),
        ("chmod", "file"),
        ("rename", "file"),
        ("rename", "file"),
    ]


def test_a_program_is_killed_between_a_files_creation_and_its_first_byte(tmp_path):
    code = "import sys; open(sys.argv[1], 'w').write('content')"
    target = Target([sys.executable, "-c", code, str(tmp_path / "file")], [tmp_path])
    assert crash(target, Fault("kill_after", 1)).struck
    assert (tmp_path / "file").read_text() == ""
    os.unlink(tmp_path / "file")
    assert crash(target, Fault("kill", 1)).struck
    assert list(tmp_path.iterdir()) == []
