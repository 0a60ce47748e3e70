"""The system calls that are closed to the child, as a filter for the Linux kernel (seccomp(2), <linux/filter.h>).

Closed is what reaches beyond reading files, computing and answering: the network, other programs and processes,
signals, and everything that makes, changes, moves or removes a file. Files can be opened for reading only.
"""

import errno
import struct

import msgspec

# fmt: off
_CLOSED: dict[str, tuple[int | None, int | None]] = {
    # The network, other programs and processes.
    "socket": (41, 198), "socketpair": (53, 199), "connect": (42, 203), "bind": (49, 200), "listen": (50, 201),
    "accept": (43, 202), "accept4": (288, 242), "execve": (59, 221), "execveat": (322, 281), "fork": (57, None),
    "vfork": (58, None), "unshare": (272, 97), "setns": (308, 268), "bpf": (321, 280), "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    # Others' memory, signals, and others' share of the machine.
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240), "setpriority": (141, 140), "sched_setaffinity": (203, 122),
    "sched_setparam": (142, 118), "sched_setscheduler": (144, 119), "sched_setattr": (314, 274),
    "ioprio_set": (251, 30), "migrate_pages": (256, 238), "move_pages": (279, 239),
    # Making, changing, moving and removing files.
    "creat": (85, None), "mkdir": (83, None), "mkdirat": (258, 34), "mknod": (133, None), "mknodat": (259, 33),
    "rmdir": (84, None), "unlink": (87, None), "unlinkat": (263, 35), "rename": (82, None), "renameat": (264, 38),
    "renameat2": (316, 276), "link": (86, None), "linkat": (265, 37), "symlink": (88, None), "symlinkat": (266, 36),
    "truncate": (76, 45), "ftruncate": (77, 46), "fallocate": (285, 47), "copy_file_range": (326, 285),
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "chown": (92, None), "fchown": (93, 55),
    "lchown": (94, None), "fchownat": (260, 54), "utime": (132, None), "utimes": (235, None),
    "futimesat": (261, None), "utimensat": (280, 88), "setxattr": (188, 5), "lsetxattr": (189, 6),
    "fsetxattr": (190, 7), "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
    "ioctl": (16, 29), "open_by_handle_at": (304, 265), "mount": (165, 40), "umount2": (166, 39),
    "pivot_root": (155, 41), "chroot": (161, 51),
}
# fmt: on
_YOUNGER = 424
"""From here on both machines number alike: clone3, openat2, io_uring and all that came after 2019. To the C library
they are not there, and it takes the older ones."""


class _Machine(msgspec.Struct, frozen=True):
    """A machine's audit number, its column above, and its calls that are looked into."""

    audit: int
    column: int
    clone: int
    fcntl: int
    prlimit: int
    openat: int
    open: int | None = None


MACHINES = {
    "x86_64": _Machine(0xC000003E, 0, clone=56, fcntl=72, prlimit=302, openat=257, open=2),
    "aarch64": _Machine(0xC00000B7, 1, clone=220, fcntl=25, prlimit=261, openat=56),
}

_LOAD, _EQUAL, _AT_LEAST, _HAS_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _NOT_PERMITTED, _NOT_THERE = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS
_AT_SYSCALL, _AT_MACHINE, _AT_ARGUMENTS = 0, 4, 16
_SAME_PROCESS = 0x00010000
# O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_APPEND, O_TMPFILE: alike on both machines.
_WRITING = 0o1 | 0o2 | 0o100 | 0o1000 | 0o2000 | 0o20000000
# F_SETOWN, F_SETSIG, F_SETOWN_EX: they have the kernel send signals to others.
_OWNERS = (8, 10, 15)


class _Step(msgspec.Struct, frozen=True):
    """One instruction; `true` and `false` name the block to go to, None: the next instruction."""

    operation: int
    operand: int
    true: str | None = None
    false: str | None = None


def filter_program(machine: str) -> bytes:
    """The filter for one of MACHINES: 8 bytes an instruction."""
    blocks = _blocks(MACHINES[machine])
    starts: dict[str, int] = {}
    steps: list[_Step] = []
    for name, block in blocks.items():
        starts[name] = len(steps)
        steps += block
    return b"".join(_packed(at, step, starts) for at, step in enumerate(steps))


def _packed(at: int, step: _Step, starts: dict[str, int]) -> bytes:
    true, false = (0 if name is None else starts[name] - at - 1 for name in (step.true, step.false))
    return struct.pack("HBBI", step.operation, true, false, step.operand)


def _blocks(machine: _Machine) -> dict[str, list[_Step]]:
    closed = (numbers[machine.column] for numbers in _CLOSED.values())
    return {
        "start": [
            # A program of another machine's calls would slip through.
            _Step(_LOAD, _AT_MACHINE),
            _Step(_EQUAL, machine.audit, false="deny"),
            _Step(_LOAD, _AT_SYSCALL),
            _Step(_AT_LEAST, _YOUNGER, true="missing"),
            _Step(_EQUAL, machine.openat, true="openat"),
            *([] if machine.open is None else [_Step(_EQUAL, machine.open, true="open")]),
            _Step(_EQUAL, machine.clone, true="clone"),
            _Step(_EQUAL, machine.fcntl, true="fcntl"),
            _Step(_EQUAL, machine.prlimit, true="prlimit"),
            *(_Step(_EQUAL, call, true="deny") for call in closed if call is not None),
            _Step(_RETURN, _ALLOW),
        ],
        "openat": [_argument(2), _Step(_HAS_BIT, _WRITING, true="deny", false="allow")],
        "open": [_argument(1), _Step(_HAS_BIT, _WRITING, true="deny", false="allow")],
        # Threads, but no processes.
        "clone": [_argument(0), _Step(_HAS_BIT, _SAME_PROCESS, true="allow", false="deny")],
        "fcntl": [
            _argument(1),
            *(_Step(_EQUAL, command, true="deny") for command in _OWNERS),
            _Step(_RETURN, _ALLOW),
        ],
        # Limits of its own, which only go down.
        "prlimit": [_argument(0), _Step(_EQUAL, 0, true="allow", false="deny")],
        "allow": [_Step(_RETURN, _ALLOW)],
        "missing": [_Step(_RETURN, _NOT_THERE)],
        "deny": [_Step(_RETURN, _NOT_PERMITTED)],
    }


def _argument(index: int) -> _Step:
    """Load the lower half of an argument of the call."""
    return _Step(_LOAD, _AT_ARGUMENTS + 8 * index)
