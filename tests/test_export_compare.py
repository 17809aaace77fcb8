"""The whole comparison on a tiny teacher, a tiny student and rendered scenes."""

import json
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from exported import onnx_file, photographs, student_folder
from PIL import Image
from rich.console import Console
from samples import make_labels
from tiny import build_teacher
from tiny_references import build_depth_anything, build_segformer

from distill.bootstrap import draw_weights
from distill.metrics import Prediction
from export.compare import compare
from export.compare_config import CompareConfig
from export.costs import shown_path
from export.figures import comparison_tables
from export.findings import Findings, examine
from export.held_out import HeldOut, read_held_out, take
from export.labellers import load_labeller
from export.lineup import line_up
from export.quality import compare_quality
from teacher.palette import distinct_colors
from teacher.provenance import sha256_file
from teacher.scenes.config import ScenesConfig
from teacher.scenes.objects import CLASSES
from teacher.scenes.shards import write_scene_shards


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Teacher, student, ONNX file, held-out scenes and real photographs of 32 px."""
    folder = tmp_path_factory.mktemp("world")
    palette = distinct_colors(len(CLASSES)).tolist()
    build_teacher(folder / "teacher", classes=CLASSES, palette=palette)
    build_depth_anything(folder / "depth-anything", "relative", disparity_at_infinity=0)
    write_scene_shards(
        ScenesConfig(out=folder / "held-out", count=6, size_px=32, labels=True, per_shard=4)
    )
    write_real(folder / "real")
    return folder


def write_real(folder: Path) -> None:
    """Three photographs: one with depth and normals, one with classes of its own, one bare."""
    folder.mkdir()
    rows = []
    for index, photograph in enumerate(photographs()[:3]):
        Image.fromarray(photograph).save(folder / f"{index}.jpg")
        rows.append({"id": f"place/{index}", "source": f"s{index}", "rgb": f"{index}.jpg"})
    size = photographs()[0].shape[:2]
    cv2.imwrite(str(folder / "depth.png"), np.full(size, 2000, np.uint16))
    Image.fromarray(np.full((*size, 3), (128, 128, 0), np.uint8)).save(folder / "normal.png")
    rows[0] |= {"depth": "depth.png", "normal": "normal.png", "depth_scale": 1000.0}
    rows[1] |= {"seg": "seg.png", "licence": "CC BY 4.0"}
    (folder / "manifest.json").write_text(json.dumps(rows))


def make_config(world: Path, out: Path, **fields: object) -> CompareConfig:
    given = {
        "teacher": world / "teacher",
        "student": student_folder(),
        "onnx": (onnx_file().parent,),
        "price_per_hour": 0.5,
        "currency": "EUR",
        "images": world / "held-out" / "images",
        "labels": world / "held-out" / "labels",
        "out": out,
        "real": world / "real",
        "runs": 3,
        "resamples": 20,
        "pictures": 2,
        "batch": 1,
    }
    return CompareConfig(**{**given, **fields})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def out(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished comparison."""
    folder = tmp_path_factory.mktemp("comparison")
    compare(make_config(world, folder))
    return folder


@pytest.fixture(scope="module")
def comparison(out: Path) -> dict:
    return json.loads((out / "comparison.json").read_text())


NAMES = ["teacher", "student", "onnx_fp32"]


def test_everyone_is_compared(comparison: dict) -> None:
    assert list(comparison["labellers"]) == NAMES
    assert comparison["schema"] == 2
    assert comparison["headline"] == "onnx_fp32"
    assert comparison["images"] == 6
    assert comparison["resolution"] == [32, 32]
    assert comparison["machine"]["cpu"]


@pytest.mark.parametrize("name", NAMES)
def test_every_promised_key_is_there(comparison: dict, name: str) -> None:
    row = comparison["labellers"][name]
    assert set(row["depth"]) >= {"delta1", "absrel", "rmse_m"}
    assert set(row["normal"]) >= {"mean_deg", "median_deg", "within_11_25"}
    assert set(row["segment"]) >= {"miou", "accuracy"}
    assert set(row["slices"]["edges"]) == {"depth", "normal", "segment"}
    assert row["latency_ms"]["min"] <= row["latency_ms"]["p50"] <= row["latency_ms"]["p90"]
    assert row["latency"]["n"] == 3
    assert row["throughput"]["images_per_s"] > 0
    assert row["cost_per_million"] == pytest.approx(row["hours_per_million"] / 2)
    assert row["params"] > 1000
    assert row["size_bytes"] > row["params"]
    assert row["size_px"] == [32, 32]
    if name != "teacher":
        assert set(row["agreement"]) == set(row["retention"]) == {"depth", "normal", "segment"}


def test_figures_are_of_the_files_whose_digests_stand_beside_them(comparison: dict) -> None:
    row = comparison["labellers"]["onnx_fp32"]
    assert row["sha256"] == sha256_file(onnx_file())
    assert row["size_bytes"] == onnx_file().stat().st_size
    assert row["metadata"]["precision"] == "fp32"
    assert row["metadata"]["parity"]["passed"]


@pytest.fixture(scope="module")
def others(world: Path) -> Findings:
    """The teacher with one vote and with two, and a reference."""
    student, reference = student_folder(), world / "depth-anything"
    entries = line_up(world / "teacher", student, votes=(2,), reference=(reference,))
    labellers = {entry.name: entry.open() for entry in entries if entry.kind != "student"}
    return examine(labellers, held_out(world), batch=4, where="here")


def test_a_reference_that_knows_no_metres_is_fitted_and_said_so(others: Findings) -> None:
    rows = compare_quality(others, draw_weights(6, 20, 0))
    assert list(rows) == ["teacher", "teacher_votes_2", "reference_depth-anything"]
    row = rows["reference_depth-anything"]
    assert row["alignment"] == "least_squares"
    assert rows["teacher_votes_2"]["alignment"] is None
    assert set(row["agreement"]) == set(row["retention"]) == {"depth"}
    assert "normal" not in row


def test_more_votes_are_another_labeller(others: Findings) -> None:
    single, voted = (others.found[name].truth for name in ("teacher", "teacher_votes_2"))
    assert not np.array_equal(single.per_image("normal"), voted.per_image("normal"))


def test_the_onnx_file_scores_as_its_student_does(comparison: dict) -> None:
    student, onnx = (comparison["labellers"][name] for name in ("student", "onnx_fp32"))
    for task, metric in (("depth", "delta1"), ("normal", "mean_deg"), ("segment", "miou")):
        assert onnx[task][metric] == pytest.approx(student[task][metric], rel=1e-3)
    assert onnx["params"] == pytest.approx(student["params"], rel=0.05)


def test_retention_is_the_ratio_of_what_is_listed(comparison: dict) -> None:
    teacher, onnx = (comparison["labellers"][name] for name in ("teacher", "onnx_fp32"))
    normal = teacher["normal"]["mean_deg"] / onnx["normal"]["mean_deg"]
    assert onnx["retention"]["normal"] == pytest.approx(normal)
    segment = onnx["segment"]["miou"] / teacher["segment"]["miou"]
    assert onnx["retention"]["segment"] == pytest.approx(segment)


def test_speed_is_stated_over_the_teacher(comparison: dict) -> None:
    rows = comparison["labellers"]
    medians = {name: row["latency_ms"]["p50"] for name, row in rows.items()}
    speedup = medians["teacher"] / medians["onnx_fp32"]
    assert rows["onnx_fp32"]["speedup"] == {"teacher": pytest.approx(speedup)}
    assert "speedup" not in rows["teacher"]


def test_intervals_hold_their_values(comparison: dict) -> None:
    row = comparison["labellers"]["student"]
    edges = row["slices"]["edges"]["normal"]
    found = (
        (row["normal"]["mean_deg"], row["interval_95"]["normal"]["mean_deg"]),
        (row["retention"]["normal"], row["retention_interval_95"]["normal"]),
        (row["agreement"]["normal"], row["agreement_interval_95"]["normal"]),
        (edges["value"], edges["interval_95"]),
    )
    for value, (low, high) in found:
        assert low <= value <= high


def test_slices_are_parts_of_the_photographs(comparison: dict) -> None:
    shares = comparison["slices"]
    assert 0 < shares["edges"] < 1
    assert shares["near"] + shares["mid"] + shares["far"] + shares["sky"] == pytest.approx(1, 0.05)
    assert "depth" not in comparison["labellers"]["student"]["slices"].get("sky", {})


def test_real_photographs_are_scored_where_there_is_truth(comparison: dict) -> None:
    real = comparison["real"]
    assert real["images"] == 3
    assert real["counts"] == {"depth": 1, "normal": 1}
    for name in NAMES:
        row = real["labellers"][name]
        assert set(row) == {"depth", "normal", "depth_aligned"}
        assert row["depth_aligned"]["median_absrel"] <= 1
    assert set(real["agreement"]) == {"depth", "normal", "segment"}


class Page(HTMLParser):
    """What a page refers to, and how its elements nest."""

    VOID = frozenset({"meta", "img", "path", "line", "rect", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_report_is_one_file_that_fetches_nothing(out: Path) -> None:
    html = (out / "report" / "index.html").read_text(encoding="utf-8")
    page = Page(html)
    assert page.open == []
    assert all(source.startswith(("data:image/", "#")) for source in page.sources)
    assert not any(word in html for word in ("http://", "https://", "@import", "url("))
    assert len(html) < 2_000_000
    # 3 tasks x 2 photographs x 5 pictures, the worst, the real ones, and the ball.
    assert sum(source.startswith("data:image/") for source in page.sources) > 30
    for word in ("Surface normals", "Real photographs", "CC BY 4.0", "column", "Provenance"):
        assert word in page.text


def test_the_tables_for_the_terminal(comparison: dict) -> None:
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(comparison_tables(comparison))
    text = console.export_text()
    for word in ("Teacher", "Student", "ONNX FP32", "mean IoU", "EUR", "times as fast"):
        assert word in text


def test_a_card_lies_beside_the_report(out: Path) -> None:
    assert "student_fp32.onnx" in (out / "card" / "README.md").read_text(encoding="utf-8")


def held_out(world: Path) -> list[HeldOut]:
    return list(read_held_out(world / "held-out" / "images", world / "held-out" / "labels"))


def test_scores_do_not_depend_on_the_batch(world: Path, comparison: dict) -> None:
    paths = {"teacher": world / "teacher", "student": student_folder()}
    labellers = {name: load_labeller(path) for name, path in paths.items()}
    found = examine(labellers, held_out(world), batch=4, where="here")
    assert found.keys[-1] == "000001/train-0000005"
    for name, finding in found.found.items():
        before, after = comparison["labellers"][name], finding.truth.result()
        for task, metric in (("depth", "rmse_m"), ("normal", "mean_deg"), ("segment", "accuracy")):
            assert after[task][metric] == pytest.approx(before[task][metric], 1e-3)


class Repeat:
    """A labeller that says the same of every photograph."""

    def __init__(self, prediction: Prediction):
        self.name, self.prediction = "repeat", prediction

    def predict(self, photographs: np.ndarray) -> list[Prediction]:
        return [self.prediction] * len(photographs)


def test_agreement_goes_by_the_names_of_classes_even_without_truth() -> None:
    ids = np.arange(12 * 17).reshape(12, 17) % 3
    normal = np.ones((12, 17, 3), np.float32)
    classes = ("sky", "ground", "box")
    moved = ("box", "sky", "ground")
    teacher = Repeat(Prediction(normal=normal, segment=ids, classes=classes))
    student = Repeat(Prediction(normal=normal, segment=(ids + 1) % 3, classes=moved))
    truth = make_labels(0, segment=None, classes=(), instance=None)
    photograph = np.zeros((12, 17, 3), np.uint8)
    items = [HeldOut(key=key, photograph=photograph, truth=truth) for key in "abc"]
    found = examine({"teacher": teacher, "student": student}, items, batch=2, where="here")
    assert found.found["student"].agreement.result()["segment"]["miou"] == 1
    assert found.classes == ("sky", "ground", "box")


def test_worst_cases_are_found_in_both_directions(world: Path) -> None:
    near, far = (np.full((32, 32), depth_m, np.float32) for depth_m in (2.0, 50.0))
    labellers = {
        "teacher": Repeat(Prediction(depth_m=near)),
        "onnx": Repeat(Prediction(depth_m=far)),
    }
    found = examine(labellers, held_out(world), batch=2, where="here")
    behind = found.worst_keys("depth", 2, worse="onnx", better="teacher")
    ahead = found.worst_keys("depth", 2, worse="teacher", better="onnx")
    delta1 = {name: one.truth.per_image("depth") for name, one in found.found.items()}
    gap = dict(zip(found.keys, delta1["teacher"] - delta1["onnx"]))
    assert behind[0] == max(gap, key=gap.__getitem__)
    assert all(gap[key] > 0 for key in behind)
    assert all(gap[key] < 0 for key in ahead)


def test_a_labeller_that_shares_no_task_with_the_truth_is_named() -> None:
    truth = make_labels(0, segment=None, classes=(), instance=None, normal=None)
    item = HeldOut(key="a", photograph=np.zeros((12, 17, 3), np.uint8), truth=truth)
    teacher = Repeat(Prediction(normal=np.ones((12, 17, 3), np.float32)))
    message = r"teacher \(repeat\): labels normal, but the ground truth holds depth"
    with pytest.raises(ValueError, match=message):
        examine({"teacher": teacher}, [item], batch=1, where="here")


def test_a_reference_of_other_classes_is_named(world: Path, tmp_path: Path) -> None:
    build_segformer(tmp_path / "segformer")
    labellers = {
        "teacher": load_labeller(world / "teacher"),
        "reference_segformer": load_labeller(tmp_path / "segformer"),
    }
    with pytest.raises(ValueError, match=r"reference_segformer \(segformer\): class names differ"):
        examine(labellers, held_out(world), batch=1, where="here")


def test_nothing_to_compare_on(world: Path) -> None:
    with pytest.raises(ValueError, match="here: no labelled photograph"):
        examine({"student": load_labeller(student_folder())}, [], batch=1, where="here")


def test_a_limit_is_kept(world: Path) -> None:
    assert [item.key for item in take(held_out(world), 2)] == [
        "000000/train-0000000",
        "000000/train-0000001",
    ]


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"images": Path("nowhere")}, FileNotFoundError, "nowhere: no such file or folder"),
        ({"labels": Path("nowhere")}, FileNotFoundError, "no such label shard"),
        ({"real": Path("nowhere")}, FileNotFoundError, r"manifest\.json: no such file"),
    ],
)
def test_what_is_missing_is_named(
    fields: dict, error: type[Exception], message: str, world: Path, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message) as caught:
        compare(make_config(world, tmp_path, **fields))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "comparison.json").exists()


def test_paths_are_shown_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert shown_path(tmp_path / "runs" / "student") == str(Path("runs/student"))
    assert shown_path(Path("/elsewhere")) == "/elsewhere"


@pytest.mark.parametrize("field", ["limit", "batch", "runs", "threads", "resamples"])
def test_numbers_out_of_range(field: str) -> None:
    with pytest.raises(ValueError, match=f"{field}: expected at least 1, found 0"):
        make_config(Path(), Path(), **{field: 0})


@pytest.mark.parametrize("fields", [{"price_per_hour": 0.5}, {"price_per_hour": 0.0}])
def test_a_price_needs_a_currency(fields: dict) -> None:
    with pytest.raises(ValueError, match="price_per_hour: expected a price above 0 and its"):
        make_config(Path(), Path(), **{"currency": "", **fields})
