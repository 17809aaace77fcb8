"""What the contract of a sample refuses, and what it says then."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from samples import edit_head, make_labels, make_record

from teacher.planes import DepthStorage, class_colors
from teacher.sample import LABEL_SUFFIXES, Labels, decode_labels, encode_labels

METRIC = DepthStorage("metric")


# What Labels and encode_labels refuse


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"depth_m": np.zeros((12, 16), np.float32)},
            r"depth_m: expected \(12, 17\) float32, found",
        ),
        ({"depth_m": np.zeros((12, 17))}, r"depth_m: .*found \(12, 17\) float64"),
        ({"depth_kind": None}, "depth_kind: expected together with depth_m"),
        ({"depth_m": None}, "depth_kind: expected together with depth_m"),
        ({"depth_kind": "disparity"}, "depth kind: expected one of .*found 'disparity'"),
        ({"normal": np.zeros((3, 12, 17), np.float32)}, "normal: expected"),
        ({"segment": np.zeros((12, 17), np.uint16)}, "segment: expected .* uint8, found .* uint16"),
        ({"segment": np.zeros((12, 17), np.int64)}, "segment: expected"),
        ({"classes": ()}, "classes: expected the names"),
        ({"classes": ("a", "a", "b")}, "classes: .*none twice"),
        ({"classes": ("a", "")}, "classes: expected a tuple of names"),
        ({"classes": ["a", "b", "c"]}, "classes: expected a tuple of names"),
        ({"instance": np.zeros((12, 17), np.uint8)}, "instance: expected .* uint16"),
        ({"confidence": np.zeros((12, 17, 3), np.uint8)}, r"confidence: expected \(3, 5, 3\)"),
    ],
)
def test_labels_refuse_planes_of_another_form(fields, message):
    with pytest.raises(ValueError, match=message):
        make_labels(**fields)


def test_labels_without_a_task_are_refused():
    with pytest.raises(ValueError, match="expected at least one of"):
        Labels(record=make_record(), instance=np.zeros((12, 17), np.uint16))


@pytest.mark.parametrize("vector", [(0, 0, 0.5), (1, 1, 1), (np.nan, 0, 1), (np.inf, 0, 0)])
def test_normals_that_are_not_of_unit_length_are_refused(vector):
    normal = np.zeros((12, 17, 3), np.float32)
    normal[3, 4] = vector
    with pytest.raises(ValueError, match=r"length 1, or 0 where unknown.*at row 3, column 4"):
        encode_labels(make_labels(normal=normal))


@pytest.mark.parametrize("found", [3, 254])
def test_an_id_without_a_class_is_refused(found: int):
    segment = np.full((12, 17), found, np.uint8)
    with pytest.raises(ValueError, match=rf"ids from 0 to 2, or 255 for ignore; found {found}"):
        encode_labels(make_labels(segment=segment))


# What decode_labels refuses


@pytest.mark.parametrize("suffix", LABEL_SUFFIXES)
def test_a_lost_member_is_noticed(suffix: str):
    members = encode_labels(make_labels())
    del members[suffix]
    with pytest.raises(ValueError, match=rf"^labels/0\.tar: k: {suffix}: missing; found only"):
        decode_labels(members, where="labels/0.tar: k")


def test_a_member_that_label_json_does_not_list_is_refused():
    members = encode_labels(make_labels(normal=None))
    members["normal.png"] = encode_labels(make_labels())["normal.png"]
    with pytest.raises(ValueError, match=r"normal\.png: not among the members that label\.json"):
        decode_labels(members)


@pytest.mark.parametrize("suffix", LABEL_SUFFIXES[:-1])
def test_a_plane_that_is_cut_anywhere_is_refused(suffix: str):
    members = encode_labels(make_labels())
    data = members[suffix]
    for length in range(0, len(data), max(1, len(data) // 40)):
        with pytest.raises(ValueError, match=rf"^{suffix}: .*(truncated|PNG file, found)"):
            decode_labels({**members, suffix: data[:length]})


@pytest.mark.parametrize("suffix", LABEL_SUFFIXES[:-1])
@given(data=st.data())
@settings(max_examples=40)
def test_a_plane_with_a_flipped_bit_is_refused(suffix: str, data: st.DataObject):
    members = encode_labels(make_labels())
    damaged = bytearray(members[suffix])
    place = data.draw(st.integers(0, len(damaged) - 1))
    damaged[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(ValueError, match=rf"^{suffix}: "):
        decode_labels({**members, suffix: bytes(damaged)})


def png(bits: int, color: int, pixels: bytes, extra: bytes = b"") -> bytes:
    """A PNG file of 17 x 12 pixels whose checksums hold, whatever its pixel data are."""
    header = struct.pack(">IIBBBBB", 17, 12, bits, color, 0, 0, 0)
    ends = chunk(b"IHDR", header) + extra, chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(ends)


def chunk(kind: bytes, data: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + checksum


@pytest.mark.parametrize("pixels", [b"", b"not zlib", zlib.compress(bytes(20)), b"\0" * 99])
@pytest.mark.parametrize(("suffix", "bits", "color"), [("depth.png", 16, 0), ("segment.png", 8, 3)])
def test_pixels_that_do_not_decode_are_refused(suffix, bits, color, pixels):
    extra = chunk(b"PLTE", bytes(768)) if color == 3 else b""
    members = encode_labels(make_labels()) | {suffix: png(bits, color, pixels, extra)}
    with pytest.raises(ValueError, match=rf"^{suffix}: the PNG file's pixels cannot be decoded"):
        decode_labels(members)


@pytest.mark.parametrize(
    ("suffix", "mode", "message"),
    [
        ("depth.png", "L", "expected a PNG of 16-bit gray, found 8 bits, colour type 0"),
        ("depth.png", "RGB", "expected a PNG of 16-bit gray, found 8-bit RGB"),
        ("normal.png", "RGBA", "expected a PNG of 8-bit RGB, found 8 bits, colour type 6"),
        ("normal.png", "I;16", "expected a PNG of 8-bit RGB, found 16-bit gray"),
        ("segment.png", "L", "expected a PNG of 8-bit palette, found 8 bits, colour type 0"),
        ("segment.png", "I;16", "expected a PNG of 8-bit palette, found 16-bit gray"),
        ("instance.png", "RGB", "expected a PNG of 16-bit gray or 8-bit palette, found 8-bit RGB"),
        ("confidence.png", "P", "expected a PNG of 8-bit RGB, found 8-bit palette"),
    ],
)
def test_a_plane_of_another_form_is_refused(suffix: str, mode: str, message: str):
    file = io.BytesIO()
    size = (5, 3) if suffix == "confidence.png" else (17, 12)
    image = Image.new(mode, size)
    if mode == "P":
        image.putpalette(class_colors())
    image.save(file, "PNG")
    with pytest.raises(ValueError, match=f"^{suffix}: {message}"):
        decode_labels(encode_labels(make_labels()) | {suffix: file.getvalue()})


def test_a_plane_of_another_size_is_refused():
    small = make_labels(record=make_record(width_px=16))
    members = encode_labels(make_labels()) | {"depth.png": encode_labels(small)["depth.png"]}
    with pytest.raises(ValueError, match=r"expected 17 x 12 pixels \(width x height\), found 16 x"):
        decode_labels(members)


def test_normals_and_ids_are_checked_when_read():
    members = encode_labels(make_labels())
    file = io.BytesIO()
    Image.new("RGB", (17, 12), (128, 128, 128)).save(file, "PNG")
    with pytest.raises(ValueError, match=r"^normal\.png: normals: expected vectors of length 1"):
        decode_labels(members | {"normal.png": file.getvalue()})
    with pytest.raises(ValueError, match=r"segment: expected ids from 0 to 0, .* found 2"):
        decode_labels(edit_head(members, classes=["only"]))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"schema": 2}, "expected schema version 1, found 2: install a newer potstill"),
        ({"schema": None}, "expected schema version 1, found None"),
        ({"schema": "1"}, "expected schema version 1, found '1'"),
        ({"schema": True}, "expected schema version 1, found True"),
        ({"colour": 1}, r"unknown fields \['colour'\]"),
        ({"photo_sha256": None}, r"missing fields \['photo_sha256'\]"),
        ({"tasks": "depth"}, "tasks: expected a list of texts, found 'depth'"),
        ({"tasks": ["segment", "normal", "depth"]}, "tasks: expected the order"),
        ({"tasks": ["depth", "edges"]}, "tasks: expected some of"),
        ({"tasks": ["depth", "normal"]}, "members: expected"),
        ({"members": ["depth.png"]}, "members: expected"),
        ({"members": [*LABEL_SUFFIXES[:-1], "x.pkl"]}, "members: expected"),
        ({"depth": None}, "depth: expected kind and curve"),
        ({"depth": {"kind": "affine"}}, "depth: expected .*'curve': 'linear'"),
        ({"depth": {"kind": "metric"}}, "depth: expected kind, curve and range"),
        ({"depth": METRIC.to_json() | {"curve": "linear"}}, "depth: expected .*'curve': 'log'"),
        ({"depth": METRIC.to_json() | {"near_m": -1}}, "depth range: expected 0 < near < far"),
        ({"depth": METRIC.to_json() | {"far_m": "9"}}, "depth: expected kind, curve and range"),
        ({"depth": ["metric"]}, "depth: expected kind, curve and range"),
        ({"classes": [1]}, "classes: expected a list of texts"),
        ({"width_px": 17.0}, "width_px: expected an integer"),
        ({"width_px": True}, "width_px: expected an integer"),
        ({"height_px": 0}, "height_px: expected an integer from 1"),
        ({"width_px": 2**30}, "width_px, height_px: .* is more than"),
        ({"photo_sha256": "00"}, "photo_sha256: expected 64 hex digits, found '00'"),
        ({"resize": "crop"}, "resize: expected one of .*'stretch'.*, found 'crop'"),
        ({"teacher": "flux"}, "teacher: expected a mapping"),
        ({"teacher": {"layout": "x"}}, r"teacher\.path_or_hub_id: expected a text, found None"),
        ({"teacher": {"path_or_hub_id": "x", "n": 0.5}}, r"teacher\.n: expected text, integer"),
        ({"prompts": {"edges": "x"}}, "prompts: expected keys among .*found 'edges'"),
        ({"prompts": {"depth": 1}}, r"prompts\.depth: expected a text, found 1"),
        ({"steps": 0}, "steps: expected an integer from 1"),
        ({"seed": 2**64}, "seed: expected an integer from 0 to 18446744073709551615"),
        ({"seed": -1}, "seed: expected an integer from 0"),
        ({"dtype": ""}, "dtype: expected a text"),
        ({"palette": [1]}, "palette: expected a mapping or null"),
        ({"intrinsics": [1, 2, 3]}, "intrinsics: expected fx, fy, cx, cy as four numbers"),
        ({"intrinsics": [0, 2, 3, 4]}, "intrinsics: expected fx, fy > 0"),
        ({"versions": {"torch": None}}, r"versions\.torch: expected a text"),
    ],
)
def test_label_json_with_a_wrong_field_is_refused(fields, message):
    members = edit_head(encode_labels(make_labels()), **fields)
    with pytest.raises(ValueError, match=rf"^l\.tar: k: label\.json: .*{message}") as caught:
        decode_labels(members, where="l.tar: k")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"schema": NaN}', b"{}}"]
)
def test_label_json_that_is_no_object_is_refused(data: bytes):
    members = encode_labels(make_labels()) | {"label.json": data}
    with pytest.raises(ValueError, match=r"^l\.tar: k: label\.json: ") as caught:
        decode_labels(members, where="l.tar: k")
    assert "\n" not in str(caught.value)


# The record


def test_the_five_facts_about_a_teacher_are_always_stated():
    teacher = make_record(teacher={"path_or_hub_id": "x", "adapter": "y"}).teacher
    assert list(teacher) == [
        "path_or_hub_id",
        "revision",
        "weights_sha256",
        "licence",
        "layout",
        "adapter",
    ]
    assert teacher["licence"] is None


@pytest.mark.parametrize("codec", [{"gamma": float("nan")}, {"colors": np.zeros(3)}])
def test_a_record_refuses_what_json_cannot_hold(codec):
    with pytest.raises(ValueError, match="depth_codec: does not fit into JSON"):
        make_record(depth_codec=codec)
