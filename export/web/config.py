"""What `potstill web` is asked for."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class WebConfig:
    """Try an exported student in a browser: photographs or the camera, nothing leaves the machine.

    onnxruntime-web is fetched once with npm and kept in the user's cache folder.
    """

    model: Path
    """The ONNX file, of `potstill export`."""
    port: int = 8000
    """Port on this machine (127.0.0.1); 0 takes a free one."""
    runtime: Path | None = None
    """Folder with the files of onnxruntime-web (`dist` of the npm package), where npm is not at
    hand."""
    out: Path | None = None
    """Write the page into this folder instead of serving it, for a web server of your own."""
