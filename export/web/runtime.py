"""onnxruntime-web: fetched once with npm, checked, and kept in the user's cache. Never a CDN."""

import base64
import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

VERSION = "1.30.0"
SHA512 = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
"""Of the npm package, as npm itself notes it in lock files (base64)."""
FILES = (
    "ort.wasm.bundle.min.mjs",
    "ort-wasm-simd-threaded.wasm",
    "ort.webgpu.bundle.min.mjs",
    "ort-wasm-simd-threaded.asyncify.wasm",
)
"""The first pair runs on the processor, the second on the GPU; a page loads one of them."""


def find_runtime(folder: Path | None = None) -> Path:
    """The folder that holds FILES: the given one, or the cache, which npm fills when it is empty.

    Raises ValueError or FileNotFoundError in one line when the files cannot be had.
    """
    if folder is not None:
        missing = [name for name in FILES if not (folder / name).is_file()]
        if missing:
            raise FileNotFoundError(
                f"{folder}: lacks {missing[0]}; expected the folder `dist` of the npm package "
                f"onnxruntime-web {VERSION}"
            )
        return folder
    cache = cache_folder()
    if not all((cache / name).is_file() for name in FILES):
        fetch_runtime(cache)
    return cache


def cache_folder() -> Path:
    """Where the files are kept between calls."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "potstill" / f"onnxruntime-web-{VERSION}"


def fetch_runtime(folder: Path) -> None:
    """Fetch the npm package, and keep FILES of it in `folder`."""
    npm = shutil.which("npm")
    if npm is None:
        raise FileNotFoundError(
            f"onnxruntime-web {VERSION}: not in {folder}, and there is no npm to fetch it; install "
            "Node.js, or give --runtime the folder `dist` of the npm package"
        )
    print(f"fetching onnxruntime-web {VERSION} with npm, once, into {folder}", flush=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        package = _pack(npm, Path(scratch))
        _check(package)
        chosen = Path(scratch) / "chosen"
        _extract(package, chosen)
        shutil.rmtree(folder, ignore_errors=True)
        chosen.rename(folder)


def _pack(npm: str, scratch: Path) -> Path:
    """The package as one file; npm runs no script of it."""
    command = [npm, "pack", f"onnxruntime-web@{VERSION}", "--ignore-scripts", "--silent"]
    done = subprocess.run(command, cwd=scratch, capture_output=True, text=True)
    packages = list(scratch.glob("*.tgz"))
    if done.returncode or not packages:
        reason = " ".join(done.stderr.split())[-200:] or f"exit code {done.returncode}"
        raise ValueError(f"onnxruntime-web {VERSION}: npm could not fetch it: {reason}")
    return packages[0]


def _check(package: Path) -> None:
    digest = hashlib.sha512(package.read_bytes()).digest()
    if base64.b64encode(digest).decode() != SHA512:
        raise ValueError(f"onnxruntime-web {VERSION}: npm delivered another package than expected")


def _extract(package: Path, folder: Path) -> None:
    folder.mkdir()
    with tarfile.open(package) as archive:
        for name in FILES:
            member = archive.extractfile(f"package/dist/{name}")
            assert member is not None
            (folder / name).write_bytes(member.read())
