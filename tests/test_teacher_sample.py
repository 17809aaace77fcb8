"""The contract of a sample: round trips, bytes, refusals, and readers other than ours."""

import io
import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
import webdataset
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from samples import (
    CLASSES,
    angle_deg,
    edit_head,
    make_label_members,
    make_labels,
    make_photograph,
    make_record,
    random_normals,
)

from teacher.planes import DepthStorage, class_colors, instance_colors
from teacher.sample import (
    CONFIDENCE_STRIDE,
    LABEL_SUFFIXES,
    TASKS,
    Labels,
    confidence_size,
    decode_labels,
    encode_labels,
    task_suffixes,
)
from teacher.shards import ShardWriter

SIZE = st.tuples(st.integers(1, 13), st.integers(1, 13))
RELATIVE_ERROR = 7.1e-5
METRIC = DepthStorage("metric")


def with_size(size: tuple[int, int], **planes) -> Labels:
    """Labels of a size, without any planes but these."""
    record = make_record(height_px=size[0], width_px=size[1])
    return Labels(record=record, **planes)


# Round trips


@given(
    depth_m=SIZE.flatmap(
        lambda size: hnp.arrays(
            np.float32,
            size,
            elements=st.one_of(
                st.floats(np.float32(0.1), 1000, width=32), st.just(np.nan), st.just(np.inf)
            ),
        )
    )
)
def test_metric_depth_returns_within_its_tolerance(depth_m: np.ndarray):
    labels = with_size(depth_m.shape, depth_m=depth_m, depth_kind="metric")
    found = decode_labels(encode_labels(labels))
    assert found.depth_kind == "metric"
    assert found.depth_m is not None
    assert found.depth_m.dtype == np.float32
    np.testing.assert_allclose(found.depth_m, depth_m, rtol=RELATIVE_ERROR, equal_nan=True)


@given(
    depth=SIZE.flatmap(
        lambda size: hnp.arrays(
            np.float32, size, elements=st.one_of(st.floats(0, 1, width=32), st.just(np.nan))
        )
    )
)
def test_affine_depth_returns_within_its_tolerance(depth: np.ndarray):
    labels = with_size(depth.shape, depth_m=depth, depth_kind="affine")
    found = decode_labels(encode_labels(labels))
    assert found.depth_kind == "affine"
    assert found.depth_m is not None
    np.testing.assert_allclose(found.depth_m, depth, atol=7.7e-6, rtol=0, equal_nan=True)


@given(seed=st.integers(0, 2**32 - 1), size=SIZE)
def test_normals_return_within_their_tolerance(seed: int, size: tuple[int, int]):
    rng = np.random.default_rng(seed)
    normal = random_normals(rng, size)
    unknown = rng.random(size) < 0.3
    normal[unknown] = 0
    found = decode_labels(encode_labels(with_size(size, normal=normal))).normal
    assert found is not None
    assert (found[unknown] == 0).all()
    np.testing.assert_allclose(np.linalg.norm(found[~unknown], axis=-1), 1, atol=1e-6)
    assert angle_deg(found, normal)[~unknown].max(initial=0) < 0.4


@pytest.mark.parametrize("axis", np.vstack([np.eye(3), -np.eye(3)]))
def test_normals_along_an_axis_are_known(axis: np.ndarray):
    normal = np.broadcast_to(axis.astype(np.float32), (2, 3, 3))
    found = decode_labels(encode_labels(with_size((2, 3), normal=normal))).normal
    assert found is not None
    assert angle_deg(found, normal).max() < 0.4


@given(data=st.data(), size=SIZE, count=st.sampled_from([1, 2, 254, 255, 256, 257, 65535]))
def test_class_ids_return_exactly(data: st.DataObject, size: tuple[int, int], count: int):
    dtype, ignore_id = (np.uint8, 255) if count <= 255 else (np.uint16, 65535)
    ids = st.one_of(st.integers(0, count - 1), st.just(ignore_id))
    segment = data.draw(hnp.arrays(dtype, size, elements=ids))
    classes = tuple(f"class {index}" for index in range(count))
    labels = with_size(size, segment=segment, classes=classes)
    assert labels.ignore_id == ignore_id
    found = decode_labels(encode_labels(labels))
    assert found.classes == classes
    assert found.segment is not None
    assert found.segment.dtype == dtype
    np.testing.assert_array_equal(found.segment, segment)


@given(data=st.data(), size=SIZE, highest=st.sampled_from([1, 254, 255, 256, 65534]))
def test_instance_ids_return_exactly(data: st.DataObject, size: tuple[int, int], highest: int):
    ids = st.one_of(st.integers(0, highest), st.just(65535))
    instance = data.draw(hnp.arrays(np.uint16, size, elements=ids))
    segment = np.zeros(size, np.uint8)
    labels = with_size(size, segment=segment, classes=("thing",), instance=instance)
    found = decode_labels(encode_labels(labels)).instance
    assert found is not None
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, instance)


@given(seed=st.integers(0, 2**32 - 1), size=SIZE)
def test_all_planes_and_the_record_return(seed: int, size: tuple[int, int]):
    record = make_record(
        height_px=size[0],
        width_px=size[1],
        prompts={"segment": "name «it»", "depth": "far\nand near"},
        steps=4,
        votes=3,
        dtype="bfloat16",
        seed=seed * 2**31,
        depth_codec={"name": "hilbert", "order": 2, "gamma": 0.5},
        palette={"names": ("sky", "box"), "colors": [(0, 0, 255), (255, 0, 0)]},
        intrinsics=(20.5, 21, 8.5, 6),
        versions={"torch": "2.15", "numpy": "2.4"},
    )
    labels = make_labels(seed, record=record)
    found = decode_labels(encode_labels(labels))
    assert found.record == labels.record
    assert found.tasks == labels.tasks == TASKS
    assert found.size == size
    assert found.classes == CLASSES
    np.testing.assert_array_equal(found.segment, labels.segment)
    np.testing.assert_array_equal(found.instance, labels.instance)
    np.testing.assert_array_equal(found.confidence, labels.confidence)


def test_known_values_have_known_codes():
    depth_m = np.array([[np.nan, 0, -1, -np.inf, 0.1, 1, 1000, np.inf]], np.float32)
    assert METRIC.to_codes(depth_m).tolist() == [[0, 0, 0, 0, 1, 16384, 65534, 65535]]
    depth = np.array([[np.nan, -np.inf, 0, 0.25, 1, np.inf]], np.float32)
    codes = DepthStorage("affine").to_codes(depth)
    assert codes.tolist() == [[0, 0, 1, 16384, 65534, 65535]]


def test_depth_outside_the_range_is_clipped_as_label_json_states():
    depth_m = np.array([[1e-6, 0.05, 2000, 1e30]], np.float32)
    members = encode_labels(with_size((1, 4), depth_m=depth_m, depth_kind="metric"))
    assert json.loads(members["label.json"])["depth"] == {
        "kind": "metric",
        "curve": "log",
        "near_m": 0.1,
        "far_m": 1000.0,
        "outside": "clipped",
    }
    found = decode_labels(members).depth_m
    np.testing.assert_allclose(found, [[0.1, 0.1, 1000, 1000]], rtol=1e-6)


@pytest.mark.parametrize("kind", ["metric", "affine"])
def test_every_depth_code_survives_a_second_round(kind: str):
    codes = np.arange(65536, dtype=np.uint16)
    storage = DepthStorage(kind)
    np.testing.assert_array_equal(storage.to_codes(storage.from_codes(codes)), codes)


def test_the_range_of_label_json_is_honoured():
    near_far = DepthStorage("metric", 1.0, 16.0)
    members = edit_head(make_label_members(b"photo"), depth=near_far.to_json())
    found, usual = decode_labels(members), decode_labels(make_label_members(b"photo"))
    assert found.depth_m is not None
    assert usual.depth_m is not None
    known = np.isfinite(usual.depth_m)
    place = np.log(usual.depth_m[known] / 0.1) / np.log(1e4)
    np.testing.assert_allclose(found.depth_m[known], 16**place, rtol=1e-5)


def test_confidence_of_an_absent_task_is_zero():
    labels = make_labels(normal=None, confidence=np.full((3, 5, 3), 200, np.uint8))
    found = decode_labels(encode_labels(labels)).confidence
    assert found is not None
    assert found.reshape(-1, 3).max(axis=0).tolist() == [200, 0, 200]


@pytest.mark.parametrize(
    ("size", "quarter"), [((4, 8), (1, 2)), ((5, 9), (2, 3)), ((1, 1), (1, 1))]
)
def test_confidence_has_a_quarter_of_the_size(size, quarter):
    assert CONFIDENCE_STRIDE == 4
    assert confidence_size(size) == quarter


# Bytes


def test_the_same_labels_give_the_same_bytes_in_another_process():
    code = (
        "import hashlib; from samples import make_label_members; "
        "print({k: hashlib.sha256(v).hexdigest() for k, v in make_label_members(b'x').items()})"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env
        ).stdout
        for env in ({"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": seed} for seed in "12")
    }
    assert len(runs) == 1


def test_members_are_written_in_a_fixed_order():
    assert tuple(encode_labels(make_labels())) == LABEL_SUFFIXES
    record = make_record(versions={"b": "1", "a": "2"}, prompts={"segment": "s", "depth": "d"})
    other = make_record(versions={"a": "2", "b": "1"}, prompts={"depth": "d", "segment": "s"})
    one, two = (encode_labels(make_labels(record=r))["label.json"] for r in (record, other))
    assert one == two


def test_arrays_in_any_memory_layout_give_the_same_bytes():
    labels = make_labels()
    turned = {
        name: np.asfortranarray(getattr(labels, name))
        for name in ("depth_m", "normal", "segment", "instance", "confidence")
    }
    assert encode_labels(make_labels(**turned)) == encode_labels(labels)


def test_the_codecs_run_without_torch():
    code = "import sys, teacher.sample, teacher.shards; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_importing_leaves_the_threads_of_opencv_alone():
    code = (
        "import cv2; n = cv2.getNumThreads(); import teacher.sample; print(n, cv2.getNumThreads())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, after = done.stdout.split()
    assert before == after


# Readers other than ours


def test_pillow_reads_every_plane():
    labels = make_labels(0)
    members = encode_labels(labels)
    pixels = {s: np.array(Image.open(io.BytesIO(members[s]))) for s in LABEL_SUFFIXES[:-1]}
    assert pixels["depth.png"].dtype == np.uint16
    assert labels.depth_m is not None
    np.testing.assert_array_equal(pixels["depth.png"], METRIC.to_codes(labels.depth_m))
    np.testing.assert_array_equal(pixels["confidence.png"], labels.confidence)
    np.testing.assert_array_equal(pixels["segment.png"], labels.segment)
    np.testing.assert_array_equal(pixels["instance.png"], labels.instance)
    expected = (labels.normal + 1) * 127.5
    known = pixels["normal.png"].any(axis=-1)
    np.testing.assert_allclose(pixels["normal.png"][known], expected[known], atol=0.5001)


def test_a_viewer_shows_classes_in_colours_that_differ():
    members = encode_labels(make_labels())
    shown = np.array(Image.open(io.BytesIO(members["segment.png"])).convert("RGB"))
    assert len(np.unique(shown.reshape(-1, 3), axis=0)) == len(CLASSES) + 1
    for colors in (class_colors(), instance_colors()):
        table = np.frombuffer(colors, np.uint8).reshape(256, 3)
        assert len(np.unique(table, axis=0)) == 256
    first = np.frombuffer(class_colors(), np.uint8).reshape(256, 3)[:20].astype(int)
    distance = np.abs(first[:, None] - first[None]).max(axis=-1)
    assert distance[~np.eye(20, dtype=bool)].min() >= 24


def test_webdataset_reads_a_shard_with_explicit_decoders(tmp_path):
    photo = make_photograph()
    labels = make_labels(record=make_record(photo))
    with ShardWriter(tmp_path / "000000.tar") as shard:
        shard.add("a", {"jpg": photo, **encode_labels(labels)})

    def unchanged(data: bytes) -> np.ndarray:
        return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)

    decoders = [
        webdataset.handle_extension("depth.png", unchanged),
        webdataset.handle_extension("label.json", json.loads),
    ]
    dataset = webdataset.WebDataset(str(tmp_path / "000000.tar"), shardshuffle=False)
    (sample,) = list(dataset.decode(*decoders, only=["depth.png", "label.json"]))
    assert sample["__key__"] == "a"
    assert set(sample) >= {"jpg", *LABEL_SUFFIXES}
    assert labels.depth_m is not None
    np.testing.assert_array_equal(sample["depth.png"], METRIC.to_codes(labels.depth_m))
    assert sample["label.json"]["teacher"]["licence"] == "Apache-2.0"


# A choice of tasks


@pytest.mark.parametrize("task", TASKS)
def test_one_task_needs_only_its_members(task: str):
    members = encode_labels(make_labels())
    few = {suffix: members[suffix] for suffix in task_suffixes([task])}
    found = decode_labels(few, tasks=[task])
    assert found.tasks == (task,)
    assert (found.depth_kind == "metric") == (task == "depth")
    assert (found.instance is not None) == (task == "segment")
    assert found.confidence is not None


def test_a_task_without_labels_is_an_error():
    members = encode_labels(make_labels(normal=None))
    assert decode_labels(members).tasks == ("depth", "segment")
    with pytest.raises(ValueError, match=r"^x\.tar: k: has no normal; labelled tasks: .*segment"):
        decode_labels(members, tasks=["normal"], where="x.tar: k")


@pytest.mark.parametrize("tasks", [[], ["depht"], "depth", ["depth", "edges"]])
def test_unknown_tasks_are_an_error(tasks):
    with pytest.raises(ValueError, match=r"tasks: expected some of .*found"):
        decode_labels(encode_labels(make_labels()), tasks=tasks)
