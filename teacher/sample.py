"""The contract: one labelled sample, its members, their meaning, and its version.

    KEY.jpg|jpeg|png|webp   the photograph, in an image shard
    KEY.depth.png           16-bit gray: 0 = unknown, 65535 = sky, else a code of label.json's curve
    KEY.normal.png          8-bit RGB: round((n + 1) * 127.5), (0, 0, 0) = unknown
    KEY.segment.png         8-bit palette, 255 = ignore (16-bit gray above 255 classes, 65535)
    KEY.instance.png        8-bit palette, 0 = none, 255 = ignore (16-bit gray from 255 ids, 65535)
    KEY.confidence.png      8-bit RGB at a quarter of the resolution: depth, normal, segment
    KEY.label.json          schema version, tasks, members, depth curve, classes, provenance

Pure numpy, OpenCV and Pillow: loads no torch. Everything written is a function of its arguments.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from teacher import planes
from teacher.head import SCHEMA_VERSION, Head, decode_head, encode_head
from teacher.members import (
    CONFIDENCE,
    DEPTH,
    INSTANCE,
    LABEL,
    LABEL_SUFFIXES,
    NORMAL,
    PHOTO_SUFFIXES,
    SEGMENT,
    TASKS,
    check_key,
    check_tasks,
    member_name,
    split_member,
    task_suffixes,
)
from teacher.photograph import (
    MAX_PHOTO_PIXELS,
    decode_photograph,
    encode_photograph,
    resize_photograph,
)
from teacher.planes import IGNORE_ID, IGNORE_ID_16, DepthStorage
from teacher.record import Record

__all__ = [
    "CONFIDENCE_STRIDE",
    "IGNORE_ID",
    "IGNORE_ID_16",
    "LABEL_SUFFIXES",
    "MAX_PHOTO_PIXELS",
    "PHOTO_SUFFIXES",
    "SCHEMA_VERSION",
    "TASKS",
    "Labels",
    "Record",
    "check_key",
    "check_tasks",
    "confidence_size",
    "decode_labels",
    "decode_photograph",
    "encode_labels",
    "encode_photograph",
    "member_name",
    "resize_nearest",
    "resize_photograph",
    "split_member",
    "task_suffixes",
]

CONFIDENCE_STRIDE = 4


@dataclass(frozen=True, kw_only=True, eq=False)
class Labels:
    """What is known of one photograph, in camera space, pixel by pixel.

    Raises ValueError when a plane has another shape or dtype than stated here, or when the planes
    and the record disagree about the size.
    """

    depth_m: np.ndarray | None = None
    """(H, W) float32: metres along the optical axis if the kind is "metric", 0 (near) to 1 (far) up
    to an unknown scale and shift if "affine"; NaN = unknown, +inf = at infinity (sky)."""
    depth_kind: str | None = None
    """ "metric" or "affine"; required with depth_m, and never guessed."""
    normal: np.ndarray | None = None
    """(H, W, 3) float32 unit vectors, +x right, +y up, +z towards the camera; zero = unknown."""
    segment: np.ndarray | None = None
    """(H, W) class ids: uint8 with 255 = ignore; uint16 with 65535 = ignore above 255 classes."""
    classes: tuple[str, ...] = ()
    """Names of the classes: the id is the index. Required with segment."""
    instance: np.ndarray | None = None
    """(H, W) uint16 ids of single objects: 0 = none, 65535 = ignore."""
    confidence: np.ndarray | None = None
    """(ceil(H / 4), ceil(W / 4), 3) uint8, order of TASKS; 255 = certain; 0 if a task is absent."""
    record: Record
    """Where the labels came from."""

    def __post_init__(self) -> None:
        if not self.tasks:
            raise ValueError(f"labels: expected at least one of {TASKS}, found none")
        _check_classes(self.classes, needed=self.segment is not None)
        _check_plane("depth_m", self.depth_m, self.size, np.float32)
        _check_plane("normal", self.normal, (*self.size, 3), np.float32)
        _check_plane("segment", self.segment, self.size, class_dtype(len(self.classes)))
        _check_plane("instance", self.instance, self.size, np.uint16)
        _check_plane("confidence", self.confidence, (*confidence_size(self.size), 3), np.uint8)
        if (self.depth_m is None) != (self.depth_kind is None):
            raise ValueError("depth_kind: expected together with depth_m, and only then")
        if self.depth_kind is not None:
            DepthStorage(self.depth_kind)  # refuses an unknown kind

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.record.height_px, self.record.width_px

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that are present, in the order of TASKS."""
        found = (self.depth_m, self.normal, self.segment)
        return tuple(task for task, plane in zip(TASKS, found, strict=True) if plane is not None)

    @property
    def ignore_id(self) -> int:
        """The class id that means "ignore" in `segment`: 255, or 65535 above 255 classes."""
        return IGNORE_ID if class_dtype(len(self.classes)) is np.uint8 else IGNORE_ID_16


def confidence_size(size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the confidence of labels of a size: a quarter of it, rounded up."""
    return -(-size[0] // CONFIDENCE_STRIDE), -(-size[1] // CONFIDENCE_STRIDE)


def class_dtype(count: int) -> type[np.uint8] | type[np.uint16]:
    """The dtype of the ids of this many classes: uint8 up to 255, else uint16."""
    return np.uint8 if count <= IGNORE_ID else np.uint16


def resize_nearest(plane: np.ndarray, height_px: int, width_px: int) -> np.ndarray:
    """Depth, normals or ids at another size: each pixel takes the one under its centre.

    Nothing is averaged, as a blend of two surfaces is a third one: every value, NaN and inf
    included, is one of the input's, from less than a pixel away.

    plane: (H, W, ...) of any dtype. Returns (height_px, width_px, ...); the plane itself if it has
    this size already.
    Raises ValueError when the plane has no pixels or a size is not positive.
    """
    if plane.ndim < 2 or 0 in plane.shape[:2] or min(height_px, width_px) < 1:
        raise ValueError(
            f"expected a plane (H, W, ...) and a size of at least 1 x 1 px, found {plane.shape} and"
            f" {height_px} x {width_px} px"
        )
    if plane.shape[:2] == (height_px, width_px):
        return plane
    rows, columns = (
        (2 * np.arange(wanted) + 1) * found // (2 * wanted)
        for wanted, found in zip((height_px, width_px), plane.shape)
    )
    return plane[rows[:, None], columns]


def encode_labels(labels: Labels) -> dict[str, bytes]:
    """The members of a labelled sample by suffix, in a fixed order; the same bytes every time.

    Inverse: decode_labels; ids and confidence exactly, metric depth from 0.1 to 1000 m within
    7.1e-5 of its value (clipped outside), affine depth within 7.7e-6, normals within 0.4 degrees.
    Raises ValueError when normals are not of unit length or an id has no class.
    """
    members: dict[str, bytes] = {}
    storage = None if labels.depth_kind is None else DepthStorage(labels.depth_kind)
    if labels.depth_m is not None and storage is not None:
        members[DEPTH] = planes.encode_depth(labels.depth_m, storage)
    if labels.normal is not None:
        members[NORMAL] = planes.encode_normals(labels.normal)
    if labels.segment is not None:
        _check_ids(labels)
        members[SEGMENT] = planes.encode_classes(labels.segment)
    if labels.instance is not None:
        members[INSTANCE] = planes.encode_instances(labels.instance)
    if labels.confidence is not None:
        present = np.array([task in labels.tasks for task in TASKS], np.uint8)
        members[CONFIDENCE] = planes.encode_confidence(labels.confidence * present)
    head = Head(
        tasks=labels.tasks,
        members=tuple(members),
        depth=storage,
        classes=labels.classes,
        record=labels.record,
    )
    return {**members, LABEL: encode_head(head)}


def decode_labels(
    members: Mapping[str, bytes],
    *,
    tasks: Collection[str] | None = None,
    instances: bool = True,
    where: str = "",
) -> Labels:
    """Inverse of encode_labels.

    members: suffix -> bytes. tasks: those to decode, by default all that the label has; planes of
    the others may be left out of `members` (see task_suffixes). instances: whether to decode them
    where the task "segment" has them. where: file and key, for messages.
    Raises ValueError naming `where` and the member: another schema version, a missing or unexpected
    member, a damaged file, another size, bit depth or colour type than the contract's.
    """
    try:
        return _decode_labels(members, tasks, instances)
    except ValueError as error:
        raise ValueError(f"{where}: {error}" if where else str(error)) from error


def _decode_labels(
    members: Mapping[str, bytes], tasks: Collection[str] | None, instances: bool
) -> Labels:
    head = decode_head(_member(members, LABEL))
    _check_announced(members, head)
    unwanted = () if instances else (INSTANCE,)
    suffixes = [
        suffix
        for suffix in task_suffixes(_wanted_tasks(head, tasks))
        if suffix in head.members and suffix not in unwanted
    ]
    found = {s: _decode_plane(s, _member(members, s), head) for s in suffixes}
    labels = Labels(
        depth_m=found.get(DEPTH),
        depth_kind=head.depth.kind if head.depth and DEPTH in found else None,
        normal=found.get(NORMAL),
        segment=found.get(SEGMENT),
        classes=head.classes,
        instance=found.get(INSTANCE),
        confidence=found.get(CONFIDENCE),
        record=head.record,
    )
    _check_ids(labels)
    return labels


def _decode_plane(suffix: str, data: bytes, head: Head) -> np.ndarray:
    """The member's array; ValueError names the member."""
    size = (head.record.height_px, head.record.width_px)
    try:
        if suffix == DEPTH and head.depth:
            return planes.decode_depth(data, size, head.depth)
        if suffix == NORMAL:
            return planes.decode_normals(data, size)
        if suffix == SEGMENT:
            return planes.decode_classes(data, size, class_dtype(len(head.classes)))
        if suffix == INSTANCE:
            return planes.decode_instances(data, size)
        return planes.decode_confidence(data, confidence_size(size))
    except ValueError as error:
        raise ValueError(f"{suffix}: {error}") from error


def _member(members: Mapping[str, bytes], suffix: str) -> bytes:
    if suffix not in members:
        raise ValueError(f"{suffix}: missing; found only {sorted(members)}")
    return members[suffix]


def _wanted_tasks(head: Head, tasks: Collection[str] | None) -> tuple[str, ...]:
    if tasks is None:
        return head.tasks
    wanted = check_tasks(tasks)
    if absent := [task for task in wanted if task not in head.tasks]:
        raise ValueError(f"has no {' and no '.join(absent)}; labelled tasks: {head.tasks}")
    return wanted


def _check_announced(members: Mapping[str, bytes], head: Head) -> None:
    known = set(members) & set(LABEL_SUFFIXES)
    if unexpected := sorted(known - {*head.members, LABEL}):
        raise ValueError(f"{unexpected[0]}: not among the members that {LABEL} lists")


def _check_plane(
    name: str, plane: np.ndarray | None, shape: tuple[int, ...], dtype: type[np.generic]
) -> None:
    if plane is not None and (plane.shape != shape or plane.dtype != dtype):
        raise ValueError(
            f"{name}: expected {shape} {np.dtype(dtype)}, found {plane.shape} {plane.dtype}"
        )


def _check_classes(classes: tuple[str, ...], *, needed: bool) -> None:
    if not isinstance(classes, tuple) or not all(isinstance(n, str) and n for n in classes):
        raise ValueError(f"classes: expected a tuple of names, found {classes!r}")
    if len(set(classes)) < len(classes) or len(classes) > IGNORE_ID_16:
        raise ValueError(f"classes: expected at most {IGNORE_ID_16} names, none twice")
    if needed and not classes:
        raise ValueError("classes: expected the names of the classes together with segment")


def _check_ids(labels: Labels) -> None:
    """Raise ValueError when a class id is neither that of a class nor "ignore"."""
    if labels.segment is None:
        return
    highest = np.max(labels.segment, initial=0, where=labels.segment != labels.ignore_id)
    if highest >= len(labels.classes):
        count = len(labels.classes)
        raise ValueError(
            f"segment: expected ids from 0 to {count - 1}, or {labels.ignore_id} for ignore; "
            f"found {highest}"
        )
