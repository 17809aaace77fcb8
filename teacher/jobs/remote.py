"""Folders behind a URL (s3://bucket/prefix, memory://, ...): list, fetch, and create whole files.

Everything else works on local files. An upload is one call that the store completes or forgets: a
file handle in a with-block would publish what was written when an exception closes it.
"""

import errno
import re
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

CONFLICT = 409
"""HTTP status of a conditional write while another one of the same name is under way."""

CREATE_ATTEMPTS = 6
"""Times that a create is tried while the store answers CONFLICT."""

MOST_LISTINGS = 16
"""Parts of a folder that are listed at a time."""


class RemoteFile(NamedTuple):
    """A file as its folder's listing shows it."""

    size_bytes: int
    stamp: str
    """Changes when the file does: an ETag, or the time of its last change."""


def is_url(place: str | Path) -> bool:
    """Whether a place is a URL; a Path never is, and file:// is a local path in disguise."""
    return isinstance(place, str) and "://" in place and not place.startswith("file://")


def local_path(place: str | Path) -> Path:
    """The path of a place that is no URL."""
    return Path(str(place).removeprefix("file://"))


def require_local(folder: Path) -> None:
    """Raise ValueError for a Path that was made of a URL, which has lost one of its slashes."""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", folder.as_posix()):
        raise ValueError(
            f"{folder.as_posix().replace(':/', '://', 1)}: a URL where only a folder of this "
            "machine will do: copy what lies there, and give the folder of the copy"
        )


class RemoteFolder:
    """The files of one folder behind a URL; no folders below it."""

    def __init__(self, url: str) -> None:
        """Raises ValueError for a protocol that fsspec does not know or that needs a package."""
        from fsspec.core import url_to_fs

        try:
            self._fs, self._root = url_to_fs(url.rstrip("/"))
        except (ImportError, ValueError) as error:
            raise ValueError(f"{url}: {_missing_package(url) or error}") from error
        self.url = url.rstrip("/")

    def list(self) -> dict[str, RemoteFile]:
        """Name -> file, sorted by name; empty when there is no such folder."""
        return self.list_like([""])

    def list_like(self, names: Collection[str]) -> dict[str, RemoteFile]:
        """Those of `list` that begin as these names do, and perhaps others.

        A store shows 1000 files at a time, and each page needs the one before it; so parts of the
        folder are listed side by side.
        """
        with _explained(self.url), ThreadPoolExecutor(MOST_LISTINGS) as pool:
            parts = pool.map(self._list_part, common_stems(names))
            found = {item["name"]: item for part in parts for item in part}
        return {
            path.rpartition("/")[2]: RemoteFile(item["size"], _stamp(item))
            for path, item in sorted(found.items())
        }

    def _list_part(self, stem: str) -> Iterable[dict[str, Any]]:
        found = self._fs.find(self._root, maxdepth=1, prefix=stem, detail=True, refresh=True)
        return found.values()

    def size_bytes(self, name: str) -> int | None:
        """Size of one file, None if it is not there."""
        with _explained(f"{self.url}/{name}"):
            try:
                return self._fs.info(self._path(name), refresh=True)["size"]
            except FileNotFoundError:
                return None

    def read(self, name: str) -> bytes:
        """A small file. Raises FileNotFoundError."""
        with _explained(f"{self.url}/{name}"):
            return self._fs.cat_file(self._path(name))

    def read_all(self, names: Sequence[str]) -> dict[str, bytes]:
        """Small files, fetched side by side."""
        with _explained(self.url):
            found = self._fs.cat([self._path(name) for name in names]) if names else {}
        return {path.rpartition("/")[2]: data for path, data in found.items()}

    def fetch(self, name: str, target: Path) -> None:
        """Copy a file to this machine."""
        with _explained(f"{self.url}/{name}"):
            self._fs.get_file(self._path(name), str(target))

    def write(self, name: str, data: bytes) -> None:
        """Put a small file in the place of what was there."""
        with _explained(f"{self.url}/{name}"):
            self._fs.pipe_file(self._path(name), data)

    def create(self, name: str, content: Path | bytes) -> bool:
        """Put a file, whole or not at all, unless there is one of that name: then return False.

        Of several that create it at once, one succeeds, where the store knows conditional writes.
        Raises OSError when the upload fails; nothing is there then.
        """
        with _explained(f"{self.url}/{name}"):
            for attempt in range(CREATE_ATTEMPTS):
                try:
                    self._put(name, content, mode="create")
                    return True
                except FileExistsError:
                    return False
                except OSError as error:
                    if self._fs.exists(self._path(name)):
                        return False
                    if error.errno == errno.ENOSYS:  # no conditional writes: the last one wins
                        self._put(name, content, mode="overwrite")
                        return True
                    if _status(error) != CONFLICT or attempt + 1 == CREATE_ATTEMPTS:
                        raise
                    time.sleep(0.1 * 2**attempt)
        raise AssertionError("the last attempt returns or raises")

    def _put(self, name: str, content: Path | bytes, mode: str) -> None:
        if isinstance(content, bytes):
            self._fs.pipe_file(self._path(name), content, mode=mode)
        else:
            self._fs.put_file(str(content), self._path(name), mode=mode)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"


@contextmanager
def _explained(url: str) -> Iterator[None]:
    """Name the URL in whatever a store raises: errors of several packages, not all OSErrors."""
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, str(error), url) from error
    except Exception as error:
        code = getattr(error, "errno", None) or errno.EIO
        raise OSError(code, f"{type(error).__name__}: {error}", url) from error


def common_stems(names: Collection[str]) -> list[str]:
    """The longest beginnings of one length that names share, as long as they are few."""
    stems = {""}
    for length in range(1, max(map(len, names), default=0) + 1):
        longer = {name[:length] for name in names}
        if len(longer) > MOST_LISTINGS:
            break
        stems = longer
    return sorted(stems)


def _stamp(item: dict[str, Any]) -> str:
    known = (str(item[field]) for field in ("ETag", "etag", "mtime", "created") if field in item)
    return next(known, "")


def _status(error: OSError) -> int | None:
    """The HTTP status that s3fs translated into this error."""
    response = getattr(error.__cause__, "response", None) or {}
    return response.get("ResponseMetadata", {}).get("HTTPStatusCode")


def _missing_package(url: str) -> str:
    s3 = url.startswith(("s3://", "s3a://"))
    return "needs the package s3fs: pip install 'potstill[s3]'" if s3 else ""
