"""What runs first inside the sandbox: bounds itself, then becomes the program it was sent.

It is read as text and given to a bare Python by ``-c``, so it imports nothing of ours. Standard
input begins with the program, whose length in bytes is an argument; what follows is the program's
own input. The mark on standard output says that all bounds are in place.
"""

import builtins
import os
import resource
import sys

MARK = b"\x06"


def bound(memory_bytes: int, cpu_seconds: int, file_bytes: int) -> None:
    """Resource limits of this process; it cannot raise them again."""
    limits = {
        resource.RLIMIT_AS: (memory_bytes, memory_bytes),
        # At the soft limit the program is told, which kills it unless it does not listen.
        resource.RLIMIT_CPU: (cpu_seconds, cpu_seconds + 1),
        resource.RLIMIT_FSIZE: (file_bytes, file_bytes),
        resource.RLIMIT_NOFILE: (64, 64),
        resource.RLIMIT_CORE: (0, 0),
    }
    for kind, both in limits.items():
        resource.setrlimit(kind, both)


def confine(seccomp_hex: str, readable: list[str]) -> None:
    """Landlock and seccomp, where there are no namespaces: read the libraries, write nothing.

    Raises:
        OSError: the kernel refuses one of them.
    """
    import ctypes
    import struct

    libc = ctypes.CDLL(None, use_errno=True)

    def checked(result: int, name: str) -> int:
        if result < 0:
            raise OSError(ctypes.get_errno(), name)
        return result

    create, add, restrict = 444, 445, 446
    version = checked(libc.syscall(create, None, 0, 1), "landlock")
    # Files: all rights this version knows. Network: TCP. Scopes: abstract sockets and signals.
    files = (1 << {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)) - 1
    network, scopes = 3 if version >= 4 else 0, 3 if version >= 6 else 0
    attributes = struct.pack("=QQQ", files, network, scopes)
    rules = checked(libc.syscall(create, attributes, len(attributes), 0), "landlock")
    for path in readable:
        # execute, read file, read folder; a file has no folder's rights
        rights = 0b1101 if os.path.isdir(path) else 0b101
        place = os.open(path, os.O_PATH)
        rule = struct.pack("=Qi", rights, place)
        checked(libc.syscall(add, rules, 1, rule, 0), path)
        os.close(place)
    program = ctypes.create_string_buffer(bytes.fromhex(seccomp_hex))
    filter_ = struct.pack("@HP", (len(program) - 1) // 8, ctypes.addressof(program))
    checked(libc.prctl(1, 9, 0, 0, 0), "to end with the parent")
    checked(libc.prctl(38, 1, 0, 0, 0), "no new privileges")
    checked(libc.syscall(restrict, rules, 0), "landlock")
    os.close(rules)
    checked(libc.prctl(22, 2, filter_, 0, 0), "seccomp")


def sent(length_bytes: int) -> bytes:
    parts = []
    while length_bytes > 0 and (part := os.read(0, length_bytes)):
        parts.append(part)
        length_bytes -= len(part)
    return b"".join(parts)


def become(program: bytes) -> None:
    """Run the program as ``__main__``; a traceback shows its own frames only."""
    builtins.exit = builtins.quit = sys.exit  # type: ignore[assignment]
    namespace = {"__name__": "__main__", "__builtins__": builtins}
    try:
        exec(compile(program, "program.py", "exec"), namespace)
    except Exception as error:
        import traceback

        frames = error.__traceback__ and error.__traceback__.tb_next
        sys.stdout.flush()
        traceback.print_exception(type(error), error, frames)
        sys.exit(1)


if __name__ == "__main__":
    # memory, CPU seconds, file size, length of the program [, seccomp filter, readable paths ...]
    bounds = [int(argument) for argument in sys.argv[1:5]]
    text = sent(bounds[3])
    bound(*bounds[:3])
    if sys.argv[5:]:
        confine(sys.argv[5], sys.argv[6:])
    sys.argv[:] = ["program.py"]
    os.write(1, MARK)
    become(text)
