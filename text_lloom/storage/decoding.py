"""Decoding text files; the encoding of a file without a byte order mark is never guessed."""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from typing import Final

from text_lloom.errors import FileProblem

__all__ = ["decode_text"]

_SIGNATURES: Final = (
    (b"PAR1", "a Parquet file; name it .parquet"),
    (b"PK\x03\x04", "a zip archive or an Excel sheet; name it .zip or .xlsx"),
    (b"\x1f\x8b", "gzip-compressed; add .gz to its name"),
    (b"\xd0\xcf\x11\xe0", "an old Excel sheet; name it .xls"),
)
_LIKELY_ENCODINGS: Final = (
    "cp1252",
    "mac_roman",
    "cp1250",
    "cp1251",
    "cp1253",
    "cp1254",
    "cp1255",
    "cp1256",
    "koi8_r",
    "shift_jis",
    "gb18030",
    "big5",
    "euc_kr",
)
_LATIN: Final = ("cp1252", "mac_roman", "cp1250", "cp1254")
_EAST_ASIAN: Final = ("shift_jis", "gb18030", "big5", "euc_kr")
_SYMBOL_IN_WORD: Final = re.compile(r"[^\W\d_]{2}[¡-©¬-³¶-¹¼-¿×÷†‡‰€]").search
_MOST_RANKED: Final = 200_000


def decode_text(content: bytes, *, path: Path, encoding: str | None = None) -> str:
    """The text of a file.

    Args:
        content: The file's content.
        path: The file, for error messages.
        encoding: Its encoding. When not given, the one that a byte order mark names (UTF-8, UTF-16 or
            UTF-32), else UTF-8.

    Raises:
        FileProblem: When the content is empty or not text of that encoding; names the position and the
            encodings that fit.
    """
    if not content.strip():
        raise FileProblem(f"{str(path)!r} is empty.")
    for signature, meaning in _SIGNATURES:
        if content.startswith(signature):
            raise FileProblem(f"{str(path)!r} is not a text file: it looks like {meaning}.")
    name = _marked(content) or "utf-8" if encoding is None else encoding
    try:
        text = content.decode("utf-8-sig" if name.lower().replace("_", "-") in ("utf-8", "utf8") else name)
    except LookupError:
        raise FileProblem(
            f"encoding={encoding!r} is not a text encoding that Python knows. "
            f"Common ones are utf-8, utf-16, cp1252, latin-1, shift_jis and gb18030."
        ) from None
    except UnicodeDecodeError as error:
        raise FileProblem(_wrong_encoding(content, error.start, path, name)) from None
    except UnicodeError as error:
        raise FileProblem(f"{str(path)!r} is not {name} text: {error}. Pass its encoding.") from None
    if "\0" in text[:4] and not name.lower().startswith("utf-16"):
        raise FileProblem(
            f"{str(path)!r} has a NUL after every character, as UTF-16 text read as {name}. "
            f"Pass encoding='utf-16-le' or 'utf-16-be' (on the command line: --encoding utf-16-le)."
        )
    return text


def _marked(content: bytes) -> str | None:
    """The encoding that a byte order mark names."""
    if content.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    return "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else None


def _wrong_encoding(content: bytes, at: int, path: Path, name: str) -> str:
    line = content.count(b"\n", 0, at) + 1
    place = f"position {at} (line {line})"
    message = f"{str(path)!r} is not {name} text: byte 0x{content[at]:02x} at {place} does not belong."
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        readings = ["encoding='utf-16'"]
        example = "utf-16"
    else:
        fitting = _fitting_encodings(content, at)
        readings = [f"encoding={encoding!r} would read {word!r}" for encoding, word in fitting.items()]
        example = next(iter(fitting), "")
    if not readings:
        return f"{message} No common encoding fits; the file may be damaged or not a text file."
    return f"{message} {', '.join(readings)}. Pass the right one (on the command line: --encoding {example})."


def _fitting_encodings(content: bytes, at: int) -> dict[str, str]:
    """Up to four encodings that can read a file, the likeliest first, with a word as each reads it."""
    from charset_normalizer import from_bytes

    texts: dict[str, str] = {}
    words: dict[str, str] = {}
    word = _word_around(content, at)
    for encoding in _LIKELY_ENCODINGS:
        try:
            text, reading = content.decode(encoding), word.decode(encoding)
        except UnicodeDecodeError:
            continue
        if reading.isprintable() and text not in texts.values():
            texts[encoding], words[encoding] = text, reading
    if not texts:
        return {}
    ranked = [
        found.encoding for found in from_bytes(content[:_MOST_RANKED], cp_isolation=list(_LIKELY_ENCODINGS))
    ]
    if not ranked and _SYMBOL_IN_WORD(texts.get("cp1252", "xx¡")):
        ranked = list(_EAST_ASIAN)  # few other bytes can be read in them
    if "cp1252" in texts and (not ranked or ranked[0] in _LATIN) and not _SYMBOL_IN_WORD(texts["cp1252"]):
        ranked.insert(0, "cp1252")  # by far the most frequent one of those that read Latin letters
    in_order = [name for name in dict.fromkeys((*ranked, *texts)) if name in texts]
    chosen: dict[str, str] = {}
    for name in in_order[:4]:
        if words[name] in chosen.values():  # name a word that is read differently
            pairs = zip(texts[name].split(), texts[in_order[0]].split(), strict=False)
            words[name] = next((ours[:24] for ours, first in pairs if ours != first), words[name])
        chosen[name] = words[name]
    return chosen


def _word_around(content: bytes, at: int) -> bytes:
    """The word around a byte, without splitting a multi-byte character at its end."""
    edges = b" \t\r\n,;:\"'.()"
    start = end = at
    while start > 0 and at - start < 12 and content[start - 1] not in edges:
        start -= 1
    while end < len(content) and end - at < 12 and content[end] not in edges:
        end += 1
    return content[start:end]
