"""Decoding of text files, in the encodings that editors write."""

from __future__ import annotations


class NotUtf8(ValueError):
    """A file is in another encoding: what was ``found``, and the remedy in ``fix``."""

    def __init__(self, found: str) -> None:
        self.found = found
        self.fix = "save the file as UTF-8"
        super().__init__(f"{found}; {self.fix}")


def decoded(data: bytes) -> str:
    """The text of a file, without a byte order mark. Raises NotUtf8."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data[:4]:
        raise NotUtf8("the encoding is UTF-16 or UTF-32")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NotUtf8(f"byte {error.start} is not valid UTF-8") from None
