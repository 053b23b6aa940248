"""Model files: metadata, and tensors that are seen where they lie in the mapped file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Iterator

from . import _native

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["File", "Tensor", "array_over"]


def array_over(view: _native.View) -> npt.NDArray[Any]:
    """A NumPy array over a native view, without a copy; it keeps the view's memory alive."""
    import numpy

    return numpy.asarray(view)


class Tensor:
    """A tensor of a mapped file. It keeps the mapping alive, and so does every view of it."""

    __slots__ = ("_native",)

    def __init__(self, native: _native.Tensor) -> None:
        self._native = native

    @property
    def name(self) -> str:
        return self._native.name

    @property
    def type(self) -> str:
        """How it is stored, as GGUF tools call it: "F32", "Q4_K"."""
        return self._native.type

    @property
    def shape(self) -> tuple[int, ...]:
        """Elements, the length of a row last; GGUF writes it the other way round."""
        return self._native.shape

    @property
    def offset(self) -> int:
        """Bytes from the start of its file."""
        return self._native.offset

    @property
    def nbytes(self) -> int:
        """Bytes in the file."""
        return self._native.nbytes

    def raw(self) -> npt.NDArray[np.uint8]:
        """Its bytes in the file, [nbytes], read-only, without a copy."""
        return array_over(self._native.raw())

    def numpy(self) -> npt.NDArray[Any]:
        """Its numbers as they lie in the file, of `shape`, read-only, without a copy.

        For F32, F16, F64 and the integer types. Others raise "unsupported": see `raw` and `decode`.
        """
        return array_over(self._native.view())

    def decode(self, first: int = 0, count: int | None = None) -> npt.NDArray[np.float32]:
        """A copy as float32: of `shape`, or rows [first, first + count) as [count][row length].

        Each element is the exact value of its encoding, rounded once (docs/formats/exact-1.md).
        """
        return array_over(self._native.decode(first, count))

    def __repr__(self) -> str:
        return f"<ovir.Tensor {self.name} {self.type} {list(self.shape)}>"


class File:
    """A GGUF file, mapped and checked. Its model need not be one that this build can run."""

    __slots__ = ("_native",)

    def __init__(self, path: str) -> None:
        self._native = _native.File(str(path))

    @classmethod
    def _over(cls, native: _native.File) -> File:
        made = cls.__new__(cls)
        made._native = native
        return made

    @property
    def path(self) -> str:
        return self._native.path

    @property
    def nbytes(self) -> int:
        """Of all files of the model."""
        return self._native.nbytes

    def digest(self) -> str:
        """BLAKE3 of all bytes, 64 hexadecimal digits. Reads the whole file."""
        return self._native.digest()

    def keys(self) -> list[str]:
        """Names of the metadata."""
        return self._native.keys()

    def __getitem__(self, key: str) -> Any:
        """A value of the metadata; lists are copies. Raises OvirError "not_found"."""
        return self._native.value(key)

    def tensors(self) -> Iterator[Tensor]:
        """All tensors in the order of the file."""
        return (Tensor(one) for one in self._native.tensors())

    def tensor(self, name: str) -> Tensor:
        """Raises OvirError "not_found"."""
        return Tensor(self._native.tensor(name))

    def __repr__(self) -> str:
        return f"<ovir.File {self.path}>"
