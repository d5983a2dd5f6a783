"""What is in a hosted root."""

from pathlib import Path

from delivery.hosting import HostedRoot

# A place on another file system, so that no hard link is possible.
OTHER_FILE_SYSTEM = Path("/dev/shm")
# What a killed publish leaves.
HALF = ".tmp-0123456789abcdef-0123456789abcdef"


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    path.chmod(0o600)
    return path


def read(hosted: HostedRoot, path: str) -> bytes:
    with hosted.open(path) as handle:
        content = handle.file.read()
        assert handle.size == len(content)
    return content


def names(hosted: HostedRoot) -> list[str]:
    return sorted(str(path.relative_to(hosted.root)) for path in hosted.root.rglob("*"))


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def leave_temporary(folder: Path) -> Path:
    return write(folder / HALF, b"half")
