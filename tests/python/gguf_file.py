"""GGUF files with a few tensors, written byte by byte."""

import pathlib
import struct

F32, F16, Q8_0, I32 = 0, 1, 8, 26
ALIGNMENT = 64


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def write(path: pathlib.Path, tensors: list[tuple[str, tuple[int, ...], int, bytes]]) -> None:
    """`tensors`: name, shape (row length last), GGUF's number of the type, bytes."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), 1)
    head += _text("general.alignment") + struct.pack("<II", 4, ALIGNMENT)
    offset, places = 0, []
    for _, _, _, data in tensors:
        places.append(offset)
        offset += -(-len(data) // ALIGNMENT) * ALIGNMENT
    for (name, shape, kind, _), at in zip(tensors, places):
        head += _text(name) + struct.pack("<I", len(shape))
        head += b"".join(struct.pack("<Q", n) for n in reversed(shape)) + struct.pack("<IQ", kind, at)
    with open(path, "wb") as file:
        file.write(head + b"\0" * (-len(head) % ALIGNMENT))
        for _, _, _, data in tensors:
            file.write(data + b"\0" * (-len(data) % ALIGNMENT))
