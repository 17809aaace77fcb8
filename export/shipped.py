"""What `potstill export` says of its files, and of those that do not ship."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from export.figures import megabytes
from export.session import inspect_model


def read_metadata(file: Path) -> dict[str, Any]:
    """The metadata inside an ONNX file. Raises what export.session.inspect_model raises."""
    return inspect_model(file.read_bytes(), str(file))


def read_refused(paths: Sequence[Path]) -> list[dict[str, str]]:
    """The files that did not ship, "name" and "reason", as the run.json of an export folder tells.

    paths: files and folders; files alone say nothing of others. Raises ValueError when a run.json
    is damaged.
    """
    refused = []
    for path in paths:
        record = path / "run.json"
        if record.is_file():
            try:
                refused += json.loads(record.read_text(encoding="utf-8")).get("refused", [])
            except (ValueError, AttributeError) as error:
                raise ValueError(f"{record}: not the run.json of an export ({error})") from error
    return refused


def describe_files(comparison: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The shipped files for people: "title", "note" and "facts", pairs of a name and a text."""
    return [
        {
            "title": row["title"],
            "note": Path(row["path"]).name,
            "facts": [
                ("sha256", row["sha256"]),
                ("size", megabytes(row["size_bytes"])),
                ("for", row["metadata"].get("runs_on") or "any device"),
                ("parity", parity_words(row["metadata"].get("parity"))),
            ],
        }
        for row in comparison["labellers"].values()
        if "metadata" in row
    ]


def parity_words(parity: Mapping[str, Any] | None) -> str:
    """What the export found when it compared the file with the form above it, in words."""
    if not parity:
        return "not recorded in the file"
    verdict = "agrees" if parity["passed"] else "DOES NOT agree"
    above = str(parity.get("compared_with", "pytorch")).replace("_", " ")
    worst = ", ".join(f"{name} {found['worst']:.0e}" for name, found in parity["outputs"].items())
    return (
        f"{verdict} with {above} on {parity['photographs']} photographs; largest difference of a "
        f"pixel, as a share of the range: {worst}"
    )
