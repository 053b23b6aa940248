"""The error that the package raises."""

from __future__ import annotations

__all__ = ["OvirError"]


class OvirError(Exception):
    """What could not be done: `code` for programs, the message for people.

    Codes are those of OVIR's JSON errors, such as "not_found", "over_limit", "malformed", "busy".
    """

    code: str
    message: str

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.message} ({self.code})"
