"""Reading codebooks in the exchange format REFI-QDA (`.qdc`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from xml.parsers import expat

from text_lloom.errors import FileProblem

__all__ = ["read_refi_codes"]

_NAMESPACE: Final = "urn:QDA-XML:"
_ROOTS: Final = ("CodeBook", "Project")


@dataclass
class _Code:
    name: str
    codable: bool
    description: list[str] = field(default_factory=list)


def read_refi_codes(content: bytes, *, path: Path) -> list[dict[str, object]]:
    """The codes of a codebook.

    Documents with a DOCTYPE are refused, so no entity is ever expanded and no other file is read.

    Args:
        content: The file's content.
        path: The file, for error messages.

    Returns:
        `path` (the names from the outermost code to this one) and `description` of each code that text
        can be coded with, in order.

    Raises:
        FileProblem: When it is not XML, not a codebook, or has a DOCTYPE.
    """
    codes: list[tuple[tuple[str, ...], _Code]] = []
    open_codes: list[_Code] = []
    elements: list[str] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        namespace, _, local = name.rpartition(" ")
        if not elements and (local not in _ROOTS or not namespace.startswith(_NAMESPACE)):
            raise FileProblem(
                f"{str(path)!r} is not a REFI-QDA codebook: its root is {local!r} of {namespace!r}. Export "
                f"the codebook as .qdc, CSV or XLSX."
            )
        elements.append(local)
        if local == "Code":
            code = _Code(attributes.get("name", ""), attributes.get("isCodable", "true") != "false")
            open_codes.append(code)
            codes.append((tuple(code.name for code in open_codes), code))

    def end(_: str) -> None:
        if elements.pop() == "Code":
            open_codes.pop()

    def text(part: str) -> None:
        if elements[-2:] == ["Code", "Description"]:
            open_codes[-1].description.append(part)

    def refuse(*_: object) -> None:
        raise FileProblem(f"{str(path)!r} has a DOCTYPE, which a codebook never needs. It is not read.")

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        raise FileProblem(f"{str(path)!r} is not XML: {error}.") from None
    return [
        {"path": list(names), "description": "".join(code.description)}
        for names, code in codes
        if code.codable
    ]
