"""What the child may not do: limits of the operating system, taken on before the first file is opened."""

import ctypes
import errno
import platform
import resource
import struct
import sys

import msgspec

from media.inspection.facts import Limits

_FILES = 64
_LINUX = sys.platform.startswith("linux")

# Linux: prctl(2), seccomp(2), clone(2), <linux/filter.h>.
_NO_NEW_PRIVILEGES, _SET_SECCOMP, _FILTER_MODE = 38, 22, 2
_LOAD, _EQUAL, _AT_LEAST, _HAS_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _NOT_PERMITTED, _NOT_THERE = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS
_AT_SYSCALL, _AT_MACHINE, _AT_FIRST_ARGUMENT = 0, 4, 16
_SAME_PROCESS = 0x00010000
_OTHER_NUMBERING = 0x40000000
_CLONE3 = 435


class _Machine(msgspec.Struct, frozen=True):
    """A machine's audit number, its clone call, and the calls that are closed.

    Closed: socket, socketpair, connect, bind, execve, execveat, fork, vfork, ptrace, io_uring_setup.
    """

    audit: int
    clone: int
    closed: tuple[int, ...]


_MACHINES = {
    "x86_64": _Machine(0xC000003E, 56, (41, 53, 42, 49, 59, 322, 57, 58, 101, 425)),
    "aarch64": _Machine(0xC00000B7, 220, (198, 199, 203, 200, 221, 281, 117, 425)),
}


def confine(limits: Limits) -> None:
    """Give up memory beyond `limits`, writing to files, core dumps, the network and other programs.

    The network and other programs are closed by a system call filter on Linux (x86-64, ARM64); elsewhere the
    other limits stand alone.
    """
    resource.setrlimit(resource.RLIMIT_AS, (limits.memory_bytes, limits.memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES, _FILES))
    if _LINUX and platform.machine() in _MACHINES:
        _filter_system_calls()


def allow_cpu(seconds: int) -> None:
    """Let this process use `seconds` more of CPU time before the system ends it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    spent = int(used.ru_utime + used.ru_stime) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (spent + seconds, resource.RLIM_INFINITY))


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def _filter_system_calls() -> None:
    steps = _steps(_MACHINES[platform.machine()])
    code = b"".join(struct.pack("HBBI", *step) for step in steps)
    program = _Program(len(steps), code)
    libc = ctypes.CDLL(None, use_errno=True)
    zero = ctypes.c_ulong(0)
    refused = libc.prctl(_NO_NEW_PRIVILEGES, ctypes.c_ulong(1), zero, zero, zero) or libc.prctl(
        _SET_SECCOMP, ctypes.c_ulong(_FILTER_MODE), ctypes.byref(program), zero, zero
    )
    if refused:
        raise OSError(ctypes.get_errno(), "the system call filter was refused")


def _steps(machine: _Machine) -> list[tuple[int, int, int, int]]:
    """The filter: (operation, steps to skip where true, where false, operand)."""
    closed = len(machine.closed)
    # Where in the list the branches begin.
    deny, threads, missing = 11 + closed, 7 + closed, 10 + closed
    return [
        (_LOAD, 0, 0, _AT_MACHINE),
        # A program of another machine's calls, or of other numbers, would slip through.
        (_EQUAL, 0, deny - 2, machine.audit),
        (_LOAD, 0, 0, _AT_SYSCALL),
        (_AT_LEAST, deny - 4, 0, _OTHER_NUMBERING),
        # The C library makes threads by clone where there is no clone3, whose flags a filter cannot see.
        (_EQUAL, missing - 5, 0, _CLONE3),
        (_EQUAL, threads - 6, 0, machine.clone),
        *((_EQUAL, deny - 7 - index, 0, call) for index, call in enumerate(machine.closed)),
        (_RETURN, 0, 0, _ALLOW),
        (_LOAD, 0, 0, _AT_FIRST_ARGUMENT),
        (_HAS_BIT, 0, deny - threads - 2, _SAME_PROCESS),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _NOT_THERE),
        (_RETURN, 0, 0, _NOT_PERMITTED),
    ]
