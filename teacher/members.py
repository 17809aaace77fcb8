"""Names in a shard: tasks, the suffixes of a sample's members, and keys."""

from collections.abc import Collection

TASKS = ("depth", "normal", "segment")
PHOTO_SUFFIXES = ("jpg", "jpeg", "png", "webp")
DEPTH, NORMAL, SEGMENT = "depth.png", "normal.png", "segment.png"
INSTANCE, CONFIDENCE, LABEL = "instance.png", "confidence.png", "label.json"
LABEL_SUFFIXES = (DEPTH, NORMAL, SEGMENT, INSTANCE, CONFIDENCE, LABEL)
TASK_SUFFIXES = {"depth": (DEPTH,), "normal": (NORMAL,), "segment": (SEGMENT, INSTANCE)}
MAX_KEY_BYTES = 80
"""A tar header has 100 bytes for KEY.confidence.png."""


def check_key(key: str) -> None:
    """Raise ValueError unless the key is 1 to 80 bytes of printable text without `.`, `/`, `\\`.

    A dot would end the key where webdataset reads it; a slash would let a key leave its folder.
    """
    if not key or not key.isprintable() or set("./\\") & set(key):
        raise ValueError(f"key {key!r}: expected printable text without a dot or a slash")
    if len(key.encode()) > MAX_KEY_BYTES:
        raise ValueError(f"key {key!r}: expected at most {MAX_KEY_BYTES} bytes")


def plain_key(name: str) -> str:
    """The name with `_` in place of each character that a key must not contain."""
    return "".join(c if c.isprintable() and c not in "./\\" else "_" for c in name)


def member_name(key: str, suffix: str) -> str:
    """The name of a member in a shard: KEY.SUFFIX."""
    check_key(key)
    return f"{key}.{suffix}"


def split_member(name: str) -> tuple[str, str]:
    """Key and suffix (in lower case) of a member's name: the key ends at the first dot.

    Inverse: member_name. Raises ValueError when the name has no suffix or no proper key.
    """
    key, dot, suffix = name.partition(".")
    if not dot or not suffix:
        raise ValueError(f"member {name!r}: expected a name of the form KEY.SUFFIX")
    check_key(key)
    return key, suffix.lower()


def check_tasks(tasks: Collection[str]) -> tuple[str, ...]:
    """The tasks in the order of TASKS. Raises ValueError naming the unknown ones, or if empty."""
    if isinstance(tasks, str) or not tasks or set(tasks) - set(TASKS):
        raise ValueError(f"tasks: expected some of {TASKS}, found {tasks!r}")
    return tuple(task for task in TASKS if task in tasks)


def task_suffixes(tasks: Collection[str]) -> tuple[str, ...]:
    """The members that are read to decode these tasks, in the order of LABEL_SUFFIXES."""
    planes = [suffix for task in check_tasks(tasks) for suffix in TASK_SUFFIXES[task]]
    return (*planes, CONFIDENCE, LABEL)
