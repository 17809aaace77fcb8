"""References: transformers' models for depth and classes, on tiny folders of the real classes."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_references
import torch
from jobs import label, write_image_shards
from tiny_references import write_card
from transformers import AutoImageProcessor, AutoModelForDepthEstimation

from distill.main import main
from teacher.labeller import build_labeller
from teacher.painters import open_teacher
from teacher.predictors.depth_estimation import DepthEstimationPredictor
from teacher.predictors.labeller import PredictorLabeller
from teacher.predictors.semantic import SemanticPredictor, window_starts
from teacher.sample import IGNORE_ID, Labels
from teacher.shards import read_pairs

DEPTH = ("depth_anything", "depth_pro", "dpt", "glpn", "zoedepth")
MASKS = ("mask2former", "eomt")
CLASSES = ("segformer", *MASKS)
CARDS: dict[str, dict[str, Any]] = {
    "dpt": {"depth_kind": "metric"},
    "sam3": {"classes": {"sky": "blue sky", "box": "box"}, "score_threshold": 0.1},
}
LOSS = "transformers builds the training loss of this model, which needs scipy"


class Folders:
    """Builds each folder when a test first asks for it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __call__(self, name: str) -> Path:
        if name in MASKS:
            pytest.importorskip("scipy", reason=LOSS)
        folder = self.root / name
        if not folder.exists():
            getattr(tiny_references, f"build_{name}")(folder, **CARDS.get(name, {}))
        return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    return Folders(tmp_path_factory.mktemp("references"))


def open_labeller(folder: Path, dtype: str = "float32", votes: int = 1) -> PredictorLabeller:
    teacher = open_teacher(folder)
    labeller = build_labeller(teacher, teacher.card.tasks, votes, dtype=dtype)
    assert isinstance(labeller, PredictorLabeller)
    return labeller


def photographs(count: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    """(count, height, width, 3) uint8 in squares of 8 px."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, -(-height // 8), -(-width // 8), 3), dtype=np.uint8)
    return coarse.repeat(8, 1).repeat(8, 2)[:, :height, :width]


def plane(planes: Any) -> np.ndarray:
    return planes.segment if planes.depth_m is None else planes.depth_m


@pytest.mark.parametrize("name", [*DEPTH, *CLASSES, "sam3"])
def test_row_of_a_batch_equals_the_single_call(folders: Folders, name: str) -> None:
    labeller = open_labeller(folders(name))
    fitted = [labeller.fit(photograph) for photograph in photographs(3, 90, 130)]
    together = labeller.paint(fitted, [0, 0, 0])
    for photograph, row in zip(fitted, together, strict=True):
        alone = labeller.read(labeller.paint([photograph], [0])[0])
        both = labeller.read(row)
        np.testing.assert_allclose(plane(alone), plane(both), rtol=1e-5, atol=1e-5)
        assert plane(both).shape == fitted[0].shape[:2]
    first, second = (plane(labeller.read(row)) for row in together[:2])
    assert np.any(first != second)


@pytest.mark.parametrize("name", [*DEPTH, *CLASSES, "sam3"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_runs(folders: Folders, name: str, dtype: str) -> None:
    labeller = open_labeller(folders(name), dtype)
    photograph = labeller.fit(photographs(1, 90, 130)[0])
    found = labeller.read(labeller.paint([photograph], [0])[0])
    assert plane(found).dtype == (np.uint8 if found.depth_m is None else np.float32)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("depth_anything", (28, 56)),
        ("depth_pro", (64, 64)),
        ("dpt", (32, 32)),
        ("glpn", (32, 64)),
        ("zoedepth", (32, 64)),
    ],
)
def test_depth_equals_transformers_own(folders: Folders, name: str, size: tuple[int, int]) -> None:
    """At sizes that transformers' own processor leaves as they are."""
    folder, photograph = folders(name), photographs(1, *size)
    processor = AutoImageProcessor.from_pretrained(folder)
    network = AutoModelForDepthEstimation.from_pretrained(folder).eval()
    inputs = processor(images=list(photograph), return_tensors="pt")
    sources = {"source_sizes": [size]} if name == "zoedepth" else {}
    with torch.inference_mode():
        expected = processor.post_process_depth_estimation(
            network(**inputs), target_sizes=[size], **sources
        )[0]["predicted_depth"].numpy()
    found = plane(_label(folder, photograph[0]))
    known = np.isfinite(found)  # no depth at 0 m, and no end at 10 km
    assert known.mean() > 0.5
    np.testing.assert_allclose(found[known], expected[known], rtol=1e-4, atol=1e-4)
    assert found[known].std() > 1e-4


def _label(folder: Path, photograph: np.ndarray) -> Any:
    labeller = open_labeller(folder)
    return labeller.read(labeller.paint([photograph], [0])[0])


@pytest.mark.parametrize(
    ("name", "size"), [("segformer", (32, 32)), ("mask2former", (384, 384)), ("eomt", (32, 56))]
)
def test_classes_equal_transformers_own(folders: Folders, name: str, size: tuple[int, int]) -> None:
    """Mask2Former's own post-processing goes by way of 384 x 384 px, whatever the picture."""
    folder, photograph = folders(name), photographs(1, *size)
    predictor = open_labeller(folder).predictor
    assert isinstance(predictor, SemanticPredictor)
    processor = AutoImageProcessor.from_pretrained(folder)
    resizes = {"do_resize": False} if name == "mask2former" else {}
    inputs = processor(images=list(photograph), return_tensors="pt", **resizes)
    with torch.inference_mode():
        expected = processor.post_process_semantic_segmentation(
            predictor.network(**inputs), target_sizes=[size], return_segmentation_scores=True
        )[0]
    scores = expected.segmentation_scores
    scores = scores.softmax(dim=0) if name == "segformer" else scores
    found = predictor.predict(photograph, ["segment"], [0])[0]
    assert found.segment is not None
    best = scores.amax(dim=0).clamp(0, 1).numpy()
    np.testing.assert_allclose(found.certainty["segment"], best, rtol=0, atol=1e-4)
    assert np.mean(found.segment == expected.segmentation.numpy()) > 0.999  # ties apart
    assert np.ptp(best) > 0.1


def test_masks_of_sam3_equal_transformers_own(folders: Folders) -> None:
    from transformers import Sam3Model, Sam3Processor

    folder, photograph = folders("sam3"), photographs(1, 56, 56)
    processor = Sam3Processor.from_pretrained(folder)
    network = Sam3Model.from_pretrained(folder).eval()
    best = np.zeros((2, 56, 56))
    for index, words in enumerate(("blue sky", "box")):
        inputs = processor(images=photograph[0], text=words, return_tensors="pt")
        with torch.inference_mode():
            found = processor.post_process_instance_segmentation(
                network(pixel_values=inputs.pixel_values, **_text(inputs)),
                threshold=0.1,
                target_sizes=[(56, 56)],
            )[0]
        covered = found["masks"].numpy() * found["scores"].numpy()[:, None, None]
        best[index] = covered.max(axis=0, initial=0)
    expected = np.where(best.any(axis=0), best.argmax(axis=0), IGNORE_ID)
    labelled = open_labeller(folder).predictor.predict(photograph, ["segment"], [0])[0]
    np.testing.assert_allclose(labelled.certainty["segment"], best.max(axis=0), atol=1e-4)
    np.testing.assert_array_equal(labelled.segment, expected)
    assert {0, 1} <= set(np.unique(expected))


def _text(inputs: Any) -> dict[str, torch.Tensor]:
    return {name: inputs[name] for name in ("input_ids", "attention_mask")}


def test_sam3_opens_the_video_models_folder(folders: Folders, tmp_path: Path) -> None:
    """The hub's folder holds the tracker too, under another class."""
    folder = tiny_references.as_video_model(folders("sam3"), tmp_path / "video")
    photograph = photographs(1, 64, 64)[0]
    assert open_teacher(folder).card.layout == "Sam3VideoModel"
    np.testing.assert_array_equal(
        _label(folder, photograph).segment, _label(folders("sam3"), photograph).segment
    )


def test_what_sam3_does_not_find_is_ignored(folders: Folders, tmp_path: Path) -> None:
    folder = _copy(folders("sam3"), tmp_path)
    write_card(folder, **CARDS["sam3"] | {"score_threshold": 0.99})
    predicted = open_labeller(folder).predictor.predict(photographs(1, 64, 64), ["segment"], [0])
    assert np.all(predicted[0].segment == IGNORE_ID)


def test_eomt_sees_the_long_side_in_overlapping_squares() -> None:
    assert window_starts(640, 640) == [0]
    assert window_starts(960, 640) == [0, 320]
    assert window_starts(1300, 640) == [0, 330, 660]


def test_classes_can_be_merged_and_left_out(folders: Folders, tmp_path: Path) -> None:
    whole = folders("segformer")
    folder = _copy(whole, tmp_path)
    write_card(folder, classes={"thing": ["box"], "else": ["ground"]})
    photograph = photographs(1, 32, 64)[0]
    all_ids, merged = _label(whole, photograph), _label(folder, photograph)
    assert merged.classes == ("thing", "else")
    renumbered = np.array([IGNORE_ID, 1, 0], np.uint8)[all_ids.segment]
    np.testing.assert_array_equal(merged.segment, renumbered)
    write_card(folder, classes={"all": ["sky", "ground", "box"]})
    assert not _label(folder, photograph).segment.any()


def test_more_than_255_classes_take_16_bits(tmp_path: Path) -> None:
    names = {index: f"class {index}" for index in range(300)}
    folder = tiny_references.build_segformer(tmp_path / "many", names)
    assert _label(folder, photographs(1, 32, 32)[0]).segment.dtype == np.uint16


def test_classes_of_one_name_are_told_apart(tmp_path: Path) -> None:
    folder = tiny_references.build_segformer(tmp_path / "twice", {0: "door", 1: "sky", 2: "door"})
    assert open_teacher(folder).card.classes == ("door (0)", "sky", "door (2)")


@pytest.mark.parametrize(("patch_px", "multiple_px"), [(14, 14), (4, 32)])
def test_sides_are_multiples_of_what_the_backbone_needs(
    folders: Folders, tmp_path: Path, patch_px: int, multiple_px: int
) -> None:
    """Whole patches of a plain vision transformer; of a Swin, whole pixels of its coarsest map."""
    folder = _copy(folders("dpt"), tmp_path)
    _edit_json(folder / "config.json", backbone_config={"patch_size": patch_px})
    assert open_teacher(folder).card.multiple_px == multiple_px


def test_depth_up_to_scale_and_shift_fills_its_range(folders: Folders, tmp_path: Path) -> None:
    folder = _copy(folders("dpt"), tmp_path)
    write_card(folder, depth_kind="affine")
    found = _label(folder, photographs(1, 32, 48)[0])
    assert found.depth_kind == "affine"
    assert (found.depth_m.min(), found.depth_m.max()) == (0, 1)


def test_depth_pro_without_its_field_of_view_knows_no_scale(
    folders: Folders, tmp_path: Path
) -> None:
    folder = _copy(folders("depth_pro"), tmp_path)
    _edit_json(folder / "config.json", use_fov_model=False)
    metric, affine = (_label(f, photographs(1, 64, 64)[0]) for f in (folders("depth_pro"), folder))
    assert (metric.depth_kind, affine.depth_kind) == ("metric", "affine")
    known = np.isfinite(metric.depth_m) & np.isfinite(affine.depth_m)
    correlation = np.corrcoef(metric.depth_m[known], affine.depth_m[known])[0, 1]
    assert correlation == pytest.approx(1, abs=1e-4)


def test_disparity_needs_its_value_at_infinity(tmp_path: Path) -> None:
    folder = tiny_references.build_depth_anything(tmp_path / "relative", "relative")
    with pytest.raises(ValueError, match=r"unknown scale and shift, which is no depth.*Metric"):
        open_teacher(folder)
    write_card(folder, disparity_at_infinity=0)
    photograph = photographs(1, 28, 42)
    found = _label(folder, photograph[0])
    predictor = open_labeller(folder).predictor
    assert isinstance(predictor, DepthEstimationPredictor)
    pixels = (torch.from_numpy(photograph).movedim(-1, 1) / 255 - _channel(0)) / _channel(1)
    with torch.inference_mode():
        disparity = predictor.network(pixel_values=pixels).predicted_depth[0].numpy()
    known = np.isfinite(found.depth_m)
    assert found.depth_kind == "affine"
    assert known.mean() > 0.5
    inverse = disparity.max() / 100 / disparity[known]
    np.testing.assert_allclose(found.depth_m[known], inverse, rtol=1e-4)


def _channel(row: int) -> torch.Tensor:
    """ImageNet's mean (0) or standard deviation (1)."""
    return torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[row][:, None, None]


@pytest.mark.parametrize("name", ["depth_anything", "segformer", "sam3"])
def test_a_job_stores_what_was_predicted(folders: Folders, tmp_path: Path, name: str) -> None:
    images = write_image_shards(tmp_path / "images")
    task = "depth" if name == "depth_anything" else "segment"
    report = label(images, tmp_path / "labels", folders(name), tasks=task)
    assert (report.labelled, report.quarantined) == (28, 0)
    shard = tmp_path / "labels" / "000000.tar"
    _, _, stored = next(iter(read_pairs(images / "000000.tar", shard)))
    assert isinstance(stored, Labels)
    assert stored.tasks == (task,)
    assert stored.record.teacher["layout"] == open_teacher(folders(name)).card.layout


@pytest.mark.parametrize("name", ["depth_anything", "segformer"])
def test_labels_get_a_second_opinion(
    folders: Folders, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A reference agrees with the labels that it made itself."""
    folder, images = folders(name), write_image_shards(tmp_path / "images")
    task = "depth" if name == "depth_anything" else "segment"
    label(images, tmp_path / "labels", folder, tasks=task)
    options = ["--labeller", str(folder), "--tasks", f"[{task}]", "--images", str(images)]
    out = tmp_path / "scores.json"
    asked = ["evaluate", *options, "--labels", str(tmp_path / "labels"), "--out", str(out)]
    assert main(asked) == 0, capsys.readouterr().err
    scores = json.loads(out.read_text())
    assert scores["images"] == 28
    if task == "depth":
        assert scores["depth"]["delta1"] == 1
        assert scores["depth"]["absrel"] < 1e-3
    else:
        assert scores["segment"]["accuracy"] > 0.999  # photographs are resized once more


def _copy(folder: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(folder, tmp_path / folder.name))


def _edit_json(path: Path, **fields: Any) -> None:
    """Change fields of a JSON file; None removes one."""
    stored = json.loads(path.read_text()) | fields
    path.write_text(json.dumps({key: value for key, value in stored.items() if value is not None}))


@pytest.mark.parametrize(
    ("name", "file", "fields", "message"),
    [
        ("dpt", "teacher.json", {"depth_kind": None}, 'dpt model.*write {"depth_kind": "metric"}'),
        ("dpt", "teacher.json", {"depth_kind": "log"}, "one of metric, affine, disparity.*'log'"),
        ("depth_anything", "teacher.json", {"depth_kind": "affine"}, "config.json says 'metric'"),
        ("glpn", "teacher.json", {"resolution_px": None}, "at which size the network works"),
        ("segformer", "config.json", {"id2label": {"1": "sky"}}, "id2label must name the classes"),
        ("segformer", "teacher.json", {"classes": {"a": ["tree"]}}, "'tree' is none of sky, gro"),
        ("segformer", "teacher.json", {"classes": ["a"]}, "classes must be an object like"),
        ("segformer", "teacher.json", {"classes": {"a": ["sky"], "b": ["sky"]}}, "one class only"),
        ("sam3", "teacher.json", {"classes": None}, "finds what it is asked for"),
        ("sam3", "teacher.json", {"classes": [["sky"]]}, "finds what it is asked for"),
        ("sam3", "teacher.json", {"score_threshold": 2}, "from 0 to below 1, found 2"),
        ("segformer", "preprocessor_config.json", {"image_std": [1, 2]}, "must be three numbers"),
        ("segformer", "config.json", {"architectures": ["NoSuchNet"]}, "unknown.*Segformer"),
    ],
)
def test_what_cannot_be_decided_is_refused(
    folders: Folders,
    tmp_path: Path,
    name: str,
    file: str,
    fields: dict[str, Any],
    message: str,
) -> None:
    folder = _copy(folders(name), tmp_path)
    if not (folder / file).exists():
        write_card(folder)
    _edit_json(folder / file, **fields)
    with pytest.raises(ValueError, match=message):
        open_teacher(folder)


def test_a_missing_processor_is_named(folders: Folders, tmp_path: Path) -> None:
    folder = _copy(folders("segformer"), tmp_path)
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"preprocessor_config.json is missing"):
        open_teacher(folder)


def test_eomt_works_at_one_size(folders: Folders, tmp_path: Path) -> None:
    folder = _copy(folders("eomt"), tmp_path)
    write_card(folder, resolution_px=64)
    with pytest.raises(ValueError, match="EoMT works at 32 px alone"):
        open_teacher(folder)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "modeling.py"])
def test_pickles_and_code_are_refused(folders: Folders, tmp_path: Path, name: str) -> None:
    folder = _copy(folders("segformer"), tmp_path)
    (folder / name).write_bytes(b"")
    with pytest.raises(ValueError, match=r"pickled weights|is code"):
        open_teacher(folder)


def test_weights_that_are_missing_are_not_made_up(folders: Folders, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = _copy(folders("segformer"), tmp_path)
    weights = load_file(folder / "model.safetensors")
    del weights["decode_head.classifier.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"decode_head.classifier.weight is missing"):
        open_labeller(folder)


def test_sam3_refuses_a_prompt_that_it_cannot_read(folders: Folders, tmp_path: Path) -> None:
    folder = _copy(folders("sam3"), tmp_path)
    write_card(folder, classes=["sky " * 20])
    with pytest.raises(ValueError, match="SAM 3 reads 32 tokens"):
        open_labeller(folder)
