"""Files encrypted at rest: AES-256-GCM in chunks, so that a file of any size is sealed and opened in little memory.

Put here: the container, the archive of files as received. Put elsewhere: what the vault holds (`identity.py`).

A sealed file is `XJS1`, 8 random bytes, then chunks: 4 bytes length, then ciphertext with its tag. The nonce is the
random bytes and the chunk number; the chunk number, whether it is the last, and a label are authenticated, so that a
chunk can be neither cut off, nor moved, nor taken from another file.
"""

import hashlib
import os
import struct
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MAGIC = b"XJS1"
CHUNK = 1 << 20


class SealBroken(Exception):
    """A sealed file is damaged, cut short, or was sealed with another key."""


class Changed(Exception):
    """A file is no longer what it was when it was read."""


def seal(source: BinaryIO, target: BinaryIO, key: bytes, label: str) -> None:
    """Encrypt a stream. `label` says what it is; opening needs the same one."""
    cipher, salt = AESGCM(key), os.urandom(8)
    target.write(MAGIC + salt)
    block, n = source.read(CHUNK), 0
    while True:
        following = source.read(CHUNK)
        last = not following
        sealed = cipher.encrypt(salt + struct.pack(">I", n), block, f"{label}|{n}|{last}".encode())
        target.write(struct.pack(">I", len(sealed)) + sealed)
        if last:
            return
        block, n = following, n + 1


def unseal(source: BinaryIO, key: bytes, label: str) -> Iterator[bytes]:
    """The clear chunks of a sealed stream. Raises SealBroken rather than give out a byte that is not authentic."""
    cipher, head = AESGCM(key), source.read(12)
    if head[:4] != MAGIC or len(head) != 12:
        raise SealBroken(f"{label}: not a sealed file")
    size, n = source.read(4), 0
    while True:
        sealed = source.read(struct.unpack(">I", size)[0]) if len(size) == 4 else b""
        size = source.read(4)
        try:
            yield cipher.decrypt(head[4:] + struct.pack(">I", n), sealed, f"{label}|{n}|{not size}".encode())
        except InvalidTag:
            raise SealBroken(f"{label}: chunk {n} is damaged, missing, or sealed with another key") from None
        if not size:
            return
        n += 1


def seal_bytes(data: bytes, path: Path, key: bytes, label: str) -> None:
    """Write bytes sealed."""
    with path.open("wb") as f:
        seal(BytesIO(data), f, key, label)


def unseal_bytes(path: Path, key: bytes, label: str) -> bytes:
    """The clear bytes of a sealed file."""
    with path.open("rb") as f:
        return b"".join(unseal(f, key, label))


def archive_path(home: Path, digest: str) -> Path:
    """Where the archive keeps the file with this SHA-256."""
    return home / "archive" / digest[:2] / f"{digest}.enc"


def archive(home: Path, source: Path, digest: str, key: bytes) -> None:
    """Keep a file as it was received, sealed, under its digest; the same file again costs nothing. The caller sees to
    it that it reaches the disk before anything refers to it.

    Raises Changed when the file is no longer the one that was read.
    """
    target = archive_path(home, digest)
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(f".{os.getpid()}.part")
    sha = hashlib.sha256()

    class Hashing:
        def __init__(self, stream: BinaryIO) -> None:
            self.stream = stream

        def read(self, n: int) -> bytes:
            block = self.stream.read(n)
            sha.update(block)
            return block

    try:
        with source.open("rb") as f, partial.open("wb") as out:
            seal(Hashing(f), out, key, digest)
        if sha.hexdigest() != digest:
            raise Changed(f"{source.name} changed while it was being read: leave it alone and run again")
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def read_archived(home: Path, digest: str, key: bytes) -> bytes:
    """The exact bytes of a file as received, by its SHA-256. Raises SealBroken when they are not these bytes."""
    data = unseal_bytes(archive_path(home, digest), key, digest)
    if hashlib.sha256(data).hexdigest() != digest:
        raise SealBroken(f"{digest}: the archived bytes have another digest")
    return data
