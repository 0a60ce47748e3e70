"""What the child may not do: limits of the operating system, taken on before the first file is opened."""

import ctypes
import platform
import resource
import sys

from media.inspection.facts import Limits
from media.inspection.system_calls import MACHINES, filter_program

_FILES = 64
_LINUX = sys.platform.startswith("linux")

# Linux: prctl(2), seccomp(2).
_NO_NEW_PRIVILEGES, _SET_SECCOMP, _FILTER_MODE = 38, 22, 2


def confine(limits: Limits) -> None:
    """Give up memory beyond `limits`, writing to files, core dumps, and what `system_calls` closes.

    That is closed on Linux (x86-64, ARM64); elsewhere the other limits stand alone.
    """
    resource.setrlimit(resource.RLIMIT_AS, (limits.memory_bytes, limits.memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES, _FILES))
    if _LINUX and platform.machine() in MACHINES:
        _filter_system_calls()


def allow_cpu(seconds: int) -> None:
    """Let this process use `seconds` more of CPU time before the system ends it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    spent = int(used.ru_utime + used.ru_stime) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (spent + seconds, resource.RLIM_INFINITY))


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def _filter_system_calls() -> None:
    code = filter_program(platform.machine())
    program = _Program(len(code) // 8, code)
    libc = ctypes.CDLL(None, use_errno=True)
    zero = ctypes.c_ulong(0)
    refused = libc.prctl(_NO_NEW_PRIVILEGES, ctypes.c_ulong(1), zero, zero, zero) or libc.prctl(
        _SET_SECCOMP, ctypes.c_ulong(_FILTER_MODE), ctypes.byref(program), zero, zero
    )
    if refused:
        raise OSError(ctypes.get_errno(), "the system call filter was refused")
