"""What the child may not do: limits of the operating system, taken on before the first file is opened."""

import ctypes
import platform
import resource
import struct
import sys

from media.inspection.facts import Limits

_FILES = 64
_LINUX = sys.platform.startswith("linux")

# Linux: prctl(2), seccomp(2), <linux/filter.h>.
_NO_NEW_PRIVILEGES, _SET_SECCOMP, _FILTER_MODE = 38, 22, 2
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _DENY = 0x7FFF0000, 0x00050000 | 1  # EPERM
_AT_SYSCALL, _AT_MACHINE = 0, 4
# Of each machine: its audit number, and socket, socketpair, connect, bind, execve, execveat, fork, vfork, ptrace,
# io_uring_setup. Threads are made by clone, which stays.
_FORBIDDEN = {
    "x86_64": (0xC000003E, (41, 53, 42, 49, 59, 322, 57, 58, 101, 425)),
    "aarch64": (0xC00000B7, (198, 199, 203, 200, 221, 281, 117, 425)),
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
    if _LINUX and platform.machine() in _FORBIDDEN:
        _filter_system_calls()


def allow_cpu(seconds: int) -> None:
    """Let this process use `seconds` more of CPU time before the system ends it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    spent = int(used.ru_utime + used.ru_stime) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (spent + seconds, resource.RLIM_INFINITY))


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def _filter_system_calls() -> None:
    machine, calls = _FORBIDDEN[platform.machine()]
    steps = [
        (_LOAD, 0, 0, _AT_MACHINE),
        # A program of another machine's calls would slip through by their numbers.
        (_EQUAL, 0, len(calls) + 2, machine),
        (_LOAD, 0, 0, _AT_SYSCALL),
        *((_EQUAL, len(calls) - index, 0, call) for index, call in enumerate(calls)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _DENY),
    ]
    code = b"".join(struct.pack("HBBI", *step) for step in steps)
    program = _Program(len(steps), code)
    libc = ctypes.CDLL(None, use_errno=True)
    zero = ctypes.c_ulong(0)
    refused = libc.prctl(_NO_NEW_PRIVILEGES, ctypes.c_ulong(1), zero, zero, zero) or libc.prctl(
        _SET_SECCOMP, ctypes.c_ulong(_FILTER_MODE), ctypes.byref(program), zero, zero
    )
    if refused:
        raise OSError(ctypes.get_errno(), "the system call filter was refused")
