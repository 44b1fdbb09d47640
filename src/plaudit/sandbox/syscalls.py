"""The system calls a confined program may not make, as a seccomp filter (classic BPF).

The filter is the second wall: namespaces (or landlock) hide what is outside, and this keeps a
program to one process and away from the parts of the kernel that a calculation never needs.
"""

from __future__ import annotations

import errno
import platform
import struct

# Numbers on x86-64 and on ARM64, from Linux's tables; None where there is no such call.
_Numbers = dict[str, tuple[int | None, int | None]]

NEVER: _Numbers = {
    # other processes
    "fork": (57, None), "vfork": (58, None), "ptrace": (101, 117),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424),
    "process_madvise": (440, 440), "setsid": (112, 157), "setpgid": (109, 154),
    # the network; socketpair stays, which asyncio talks to itself with
    "socket": (41, 198), "connect": (42, 203), "bind": (49, 200),
    # mounts, namespaces, files by handle
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "unshare": (272, 97), "setns": (308, 268), "open_tree": (428, 428), "move_mount": (429, 429),
    "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442), "mknod": (133, None), "mknodat": (259, 33),
    "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265),
    # memory that RLIMIT_AS does not count
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194),
    "shmat": (30, 196), "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180),
    # wide doors into the kernel
    "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218), "bpf": (321, 280),
    "perf_event_open": (298, 241), "userfaultfd": (323, 282), "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "fanotify_init": (300, 262),
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "modify_ldt": (154, None),
    "iopl": (172, None), "ioperm": (173, None), "personality": (135, 92),
    # the machine's settings
    "reboot": (169, 142), "swapon": (167, 224), "swapoff": (168, 225), "acct": (163, 89),
    "quotactl": (179, 60), "syslog": (103, 116), "settimeofday": (164, 170),
    "clock_settime": (227, 112), "clock_adjtime": (305, 266), "adjtimex": (159, 171),
    "sethostname": (170, 161), "setdomainname": (171, 162), "vhangup": (153, 58),
    "setuid": (105, 146), "setgid": (106, 144), "setreuid": (113, 145), "setregid": (114, 143),
    "setresuid": (117, 147), "setresgid": (119, 149), "setgroups": (116, 159),
    "setpriority": (141, 140), "ioprio_set": (251, 30), "sched_setscheduler": (144, 119),
    "sched_setattr": (314, 274), "migrate_pages": (256, 238), "move_pages": (279, 239),
}  # fmt: skip

# Where no namespaces hide the other processes and the files' owners, modes and times.
NEVER_WITHOUT_NAMESPACES: _Numbers = {
    "execve": (59, 221), "execveat": (322, 281), "kill": (62, 129), "tkill": (200, 130),
    "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    "setrlimit": (160, 164), "prlimit64": (302, 261), "chmod": (90, None), "fchmod": (91, 52),
    "fchmodat": (268, 53), "fchmodat2": (452, 452), "chown": (92, None), "fchown": (93, 55),
    "lchown": (94, None), "fchownat": (260, 54), "utime": (132, None), "utimes": (235, None),
    "futimesat": (261, None), "utimensat": (280, 88), "setxattr": (188, 5), "lsetxattr": (189, 6),
    "fsetxattr": (190, 7), "removexattr": (197, 14), "lremovexattr": (198, 15),
    "fremovexattr": (199, 16), "sendto": (44, 206), "sendmsg": (46, 211), "sendmmsg": (307, 269),
}  # fmt: skip

_CLONE, _CLONE3 = (56, 220), (435, 435)
_CLONE_THREAD = 0x10000
_X32 = 0x40000000
_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}

# Offsets in struct seccomp_data, and the opcodes used.
_NR, _ARCH, _ARGUMENT_0 = 0, 4, 16
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL = 0x7FFF0000, 0x80000000


def is_supported() -> bool:
    """Whether the filter can be written for this machine's processor."""
    return platform.system() == "Linux" and platform.machine() in _ARCHITECTURES


def seccomp_filter(*, namespaces: bool) -> bytes:
    """The filter as an array of ``struct sock_filter``.

    A forbidden call fails with EPERM; ``clone`` may make threads only, and ``clone3``, whose flags
    a filter cannot read, fails with ENOSYS, after which the C library falls back to ``clone``.

    Args:
        namespaces: the program has namespaces of its own; if not, more calls are forbidden.
    """
    column, architecture = _ARCHITECTURES[platform.machine()]
    forbidden = NEVER if namespaces else NEVER | NEVER_WITHOUT_NAMESPACES
    numbers = [found[column] for found in forbidden.values()]
    program = [
        (_LOAD, 0, 0, _ARCH),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NR),
        *_unless((_AT_LEAST, _X32), errno.EPERM),
        *_unless((_EQUAL, _CLONE3[column]), errno.ENOSYS),
    ]
    for number in numbers:
        program += _unless((_EQUAL, number), errno.EPERM) if number is not None else []
    program += [
        (_EQUAL, 0, 3, _CLONE[column]),
        (_LOAD, 0, 0, _ARGUMENT_0),
        (_ANY_BIT, 1, 0, _CLONE_THREAD),
        _refusal(errno.EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def _unless(test: tuple[int, int], error: int) -> list[tuple[int, int, int, int]]:
    """Refuse the call if the test is met, else go on."""
    return [(test[0], 0, 1, test[1]), _refusal(error)]


def _refusal(error: int) -> tuple[int, int, int, int]:
    return (_RETURN, 0, 0, 0x00050000 | error)
