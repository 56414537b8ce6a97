"""The text of a file that a person wrote, whatever editor saved it."""

from __future__ import annotations


def decoded(data: bytes) -> str:
    """The text of a file, without a byte order mark. Raises ValueError, with the remedy, for what
    is not UTF-8."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data[:4]:
        raise ValueError("the encoding is UTF-16 or UTF-32; save the file as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is not valid UTF-8; save the file as UTF-8") from None
