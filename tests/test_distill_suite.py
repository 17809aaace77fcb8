"""The suite: labellers over imported sets, beside the published results."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from labelled import CLASSES, TINY_ARGUMENTS, TINY_BACKBONE, write_set
from PIL import Image
from tiny import build_teacher

from distill.data import match_shards
from distill.datasets.card import DatasetCard, write_dataset
from distill.main import main
from distill.metrics import Prediction, Scores
from distill.protocols import kitti_benchmark_crop
from distill.published import read_published
from distill.suite import find_candidate, find_datasets, run_suite
from distill.suite_chart import draw_chart
from distill.suite_results import SuiteRow, SuiteRun, SuiteSettings, read_results
from distill.suite_run import Candidate, predict_one
from distill.suite_scorers import depth_ways, in_order
from distill.suite_table import as_markdown, sections
from distill.suite_tally import MeanTally, PooledNormalTally, SegmentTally, image_normals
from student.model import StudentConfig, build_student, save_student
from teacher.provenance import describe_machine
from teacher.sample import decode_photograph
from teacher.shards import read_pairs

ONE_MATRIX = "one confusion matrix"
SETTINGS = SuiteSettings(tasks=("depth", "normal", "segment"), threads=1, resamples=50)


class Oracle:
    """Knows the planes of `labelled`; depth is wrong by a factor, and at twice the size."""

    name = "oracle"
    classes: tuple[str, ...] = CLASSES

    def __init__(self, factor: float = 1.0) -> None:
        self.factor = factor
        self.sizes: list[tuple[int, ...]] = []

    def predict(self, photographs: np.ndarray) -> list[Prediction]:
        self.sizes.append(photographs.shape)
        height, width = photographs.shape[1:3]
        ramp = np.linspace(1, 4, width, dtype=np.float32).repeat(2)
        stripes = np.arange(width).repeat(2) * 3 // width
        prediction = Prediction(
            depth_m=np.tile(self.factor * ramp, (2 * height, 1)),
            normal=np.tile(np.array([0, 0, 1], np.float32), (2 * height, 2 * width, 1)),
            segment=np.tile(stripes, (2 * height, 1)),
            classes=self.classes,
        )
        return [prediction for _ in photographs]


def write_imported(
    folder: Path,
    *,
    name: str = "rooms",
    count: int = 4,
    scenes: int = 2,
    official: int | None = None,
    domains: tuple[str, ...] = ("indoor",),
    **fields,
) -> Path:
    """An imported set as `potstill import` writes it."""
    write_set(folder, count, **fields)
    keys = [f"photo-{index:03d}" for index in range(count)]
    card = DatasetCard(
        name=name,
        split="test",
        tasks=("depth", "normal", "segment"),
        classes=fields.get("classes", CLASSES),
        count=count,
        labelled=count,
        official_count=official,
        licence="CC0",
        source="made by a test",
        scenes={key: f"scene {index % scenes}" for index, key in enumerate(keys)},
        domains={key: domains[index % len(domains)] for index, key in enumerate(keys)},
    )
    write_dataset(folder, card)
    return folder


def candidate(labeller, name: str = "oracle", sha256: str = "a" * 64) -> Candidate:
    return Candidate(name=name, sha256=sha256, threads=1, open=lambda tasks: labeller)


def run(suite: Path, labeller, out: Path, settings: SuiteSettings = SETTINGS) -> list[SuiteRun]:
    return run_suite([candidate(labeller)], find_datasets(suite), out, settings)


def rows_of(runs: list[SuiteRun]) -> dict[tuple[str, str, str], SuiteRow]:
    return {(row.part, row.task, row.variant): row for r in runs for row in r.rows}


def save_tiny_student(folder: Path, **fields) -> Path:
    torch.manual_seed(0)
    given = {"backbone": TINY_BACKBONE, "backbone_arguments": TINY_ARGUMENTS, "decoder_dim": 8}
    config = {**given, "classes": CLASSES, "image_size": (32, 32), **fields}
    return save_student(build_student(StudentConfig(**config)).eval(), folder)


def test_every_task_is_scored_in_every_way(tmp_path: Path):
    write_imported(tmp_path / "sets" / "a")
    runs = run(tmp_path / "sets", Oracle(2.0), tmp_path / "out")
    rows = rows_of(runs)
    assert set(rows) == {
        ("rooms", "depth", "none"),
        ("rooms", "depth", "median"),
        ("rooms", "normal", "pooled"),
        ("rooms", "normal", "per image"),
        ("rooms", "segment", ONE_MATRIX),
    }
    assert rows["rooms", "segment", ONE_MATRIX].scores["miou"] == 1.0
    assert rows["rooms", "segment", ONE_MATRIX].scores["boundary_iou"] == 1.0
    aligned, unaligned = rows["rooms", "depth", "median"], rows["rooms", "depth", "none"]
    assert aligned.scores["delta1"] > unaligned.scores["delta1"]
    assert aligned.negative_scale == 0
    assert (aligned.photographs, aligned.scenes, aligned.drawn) == (4, 2, "scenes")
    assert set(aligned.per_scene) == {"scene 0", "scene 1"}
    assert (runs[0].photographs, runs[0].timed_calls, runs[0].settings.threads) == (4, 1, 1)
    assert runs[0].time_ms > 0


def test_scores_equal_those_of_plain_evaluation(tmp_path: Path):
    """The same numbers as distill.metrics gives, where the definitions are the same."""
    write_imported(tmp_path / "a")
    runs = run(tmp_path, Oracle(1.3), tmp_path / "out")
    plain = Scores()
    for pair in match_shards(tmp_path / "a" / "images", tmp_path / "a" / "labels"):
        for _, photo, labels in read_pairs(pair.images, pair.labels):
            prediction, _ = predict_one(Oracle(1.3), decode_photograph(photo), labels.size)
            plain.update(prediction, labels)
    expected, rows = plain.result(), rows_of(runs)
    for metric in ("delta1", "absrel", "rmse_m"):
        found = rows["rooms", "depth", "none"].scores[metric]
        assert found == pytest.approx(expected["depth"][metric], abs=1e-9)
    pooled = rows["rooms", "normal", "pooled"].scores
    assert pooled["mean_deg"] == pytest.approx(expected["normal"]["mean_deg"], abs=1e-9)


def test_photographs_go_in_alone_as_they_are_and_predictions_are_resized_after_decoding(
    tmp_path: Path,
):
    write_imported(tmp_path / "a", size=(32, 48))
    oracle = Oracle()
    run(tmp_path, oracle, tmp_path / "out")
    assert oracle.sizes == [(1, 32, 48, 3)] * 4
    prediction, _ = predict_one(Oracle(), np.zeros((32, 48, 3), np.uint8), (32, 48))
    assert prediction.depth_m is not None
    assert np.isin(prediction.depth_m, np.linspace(1, 4, 48, dtype=np.float32)).all()


def test_a_crop_is_cut_out_before_the_labeller_sees_the_photograph():
    photograph = np.zeros((376, 1242, 3), np.uint8)
    oracle = Oracle()
    prediction, _ = predict_one(oracle, photograph, (376, 1242), kitti_benchmark_crop)
    assert oracle.sizes == [(1, 352, 1216, 3)]
    assert prediction.depth_m is not None
    assert prediction.depth_m.shape == (376, 1242)
    known = np.isfinite(prediction.depth_m)
    assert known[24:, 13:1229].all()
    assert known.sum() == 352 * 1216


def test_an_inverted_map_scores_well_and_is_told(tmp_path: Path):
    class Inverted(Oracle):
        def predict(self, photographs: np.ndarray) -> list[Prediction]:
            found = super().predict(photographs)
            return [replace(p, depth_m=5 - p.depth_m) for p in found]

    write_imported(tmp_path / "a")
    runs = run(
        tmp_path, Inverted(), tmp_path / "o", replace(SETTINGS, alignments=("least_squares",))
    )
    row = rows_of(runs)["rooms", "depth", "least_squares"]
    assert row.scores["delta1"] > 0.99
    assert row.negative_scale == 1.0
    assert "negative scale in 100.0 % of photographs" in as_markdown(sections(runs, []))


def test_other_classes_are_not_compared_and_another_order_is(tmp_path: Path):
    write_imported(tmp_path / "a")
    oracle = Oracle()
    oracle.classes = ("road", "car", "sky")
    row = rows_of(run(tmp_path, oracle, tmp_path / "o"))["rooms", "segment", ONE_MATRIX]
    assert row.scores == {}
    assert row.missing == "not comparable: other classes"
    assert "not comparable: other classes" in as_markdown(
        sections(read_results(tmp_path / "o"), [])
    )
    swapped = Prediction(segment=np.array([[0, 1, 2, 9]]), classes=("box", "sky", "ground"))
    np.testing.assert_array_equal(in_order(swapped, CLASSES), [[2, 0, 1, 3]])


def test_a_labeller_without_a_task_says_so(tmp_path: Path):
    class NormalsOnly(Oracle):
        def predict(self, photographs: np.ndarray) -> list[Prediction]:
            return [Prediction(normal=p.normal) for p in super().predict(photographs)]

    write_imported(tmp_path / "a")
    rows = rows_of(run(tmp_path, NormalsOnly(), tmp_path / "o"))
    assert rows["rooms", "depth", "none"].missing == "the labeller gives no depth in metres"
    one_matrix = rows["rooms", "segment", ONE_MATRIX]
    assert one_matrix.missing == "the labeller gives no segments"
    assert rows["rooms", "normal", "pooled"].scores


def test_affine_depth_is_scored_by_the_alignments_that_fit_it(tmp_path: Path):
    class AffineOnly(Oracle):
        def predict(self, photographs: np.ndarray) -> list[Prediction]:
            known = [p.depth_m for p in super().predict(photographs)]
            return [Prediction(affine_depth=0.2 + 0.1 * depth) for depth in known]

    write_imported(tmp_path / "a")
    rows = rows_of(run(tmp_path, AffineOnly(), tmp_path / "o"))
    missing = "affine depth: add --alignments '[least_squares]'"
    assert rows["rooms", "depth", "none"].missing == missing
    fitted = replace(SETTINGS, alignments=("least_squares", "median"))
    rows = rows_of(run(tmp_path, AffineOnly(), tmp_path / "o", fitted))
    assert rows["rooms", "depth", "least_squares"].scores["delta1"] > 0.99
    assert ("rooms", "depth", "median") not in rows


def test_domains_are_parts_with_protocols_of_their_own(tmp_path: Path):
    write_imported(tmp_path / "d", name="diode", domains=("indoor", "outdoor"), official=4)
    runs = run(tmp_path, Oracle(), tmp_path / "o")
    rows = rows_of(runs)
    assert rows["diode", "depth", "least_squares"].photographs == 4
    assert rows["diode_indoor", "depth", "none"].photographs == 2
    assert rows["diode_indoor", "depth", "none"].protocol.startswith(
        "diode_indoor: depth up to 25 m"
    )
    assert ("diode_outdoor", "depth", "least_squares") in rows


def test_a_domain_that_holds_all_that_is_scored_is_not_told_twice(tmp_path: Path):
    write_imported(tmp_path / "a", shards=1, domains=("indoor",) * 2 + ("outdoor",) * 2)
    write_imported(tmp_path / "d", name="diode", shards=1, domains=("indoor",) * 2 + ("yard",))
    settings = replace(SETTINGS, limit=2)
    rows = rows_of(run(tmp_path, Oracle(), tmp_path / "o", settings))
    assert {part for part, _, _ in rows if part.startswith("rooms")} == {"rooms"}
    assert ("diode_indoor", "normal", "pooled") not in rows
    assert ("diode_indoor", "depth", "none") in rows  # by another protocol than the whole set
    rows = rows_of(run(tmp_path, Oracle(), tmp_path / "o"))
    assert {part for part, _, _ in rows} >= {"rooms", "rooms_indoor", "rooms_outdoor"}


def test_depth_is_scored_without_alignment_first_and_with_that_of_the_set():
    def ways(part: str, dataset: str, *more: str) -> list[tuple[str, str]]:
        return [(protocol.name, name) for protocol, name in depth_ways(part, dataset, more)]

    assert ways("nyuv2", "nyuv2") == [("nyuv2", "none"), ("nyuv2", "least_squares")]
    assert ways("ours", "ours") == [("plain", "none"), ("plain", "median")]
    assert ways("nyuv2", "nyuv2", "none", "ransac_log")[-1] == ("nyuv2", "ransac_log")
    assert ways("kitti", "kitti")[-1] == ("kitti_garg", "none")
    assert ways("diode_indoor", "diode")[0] == ("diode_indoor", "none")


def test_boundaries_are_scored_where_the_truth_has_edges(tmp_path: Path):
    write_imported(tmp_path / "a", count=3, scenes=3, depth_m=np.ones((32, 32), np.float32))
    rows = rows_of(run(tmp_path, Oracle(), tmp_path / "smooth"))
    assert "boundary_f1" not in rows["rooms", "depth", "none"].scores
    step = np.ones((32, 32), np.float32)
    step[8:24, 8:24] = 2
    write_imported(tmp_path / "a", count=3, scenes=3, depth_m=step)
    rows = rows_of(run(tmp_path, Oracle(), tmp_path / "step"))
    assert rows["rooms", "depth", "none"].scores["boundary_f1"] < 0.01  # a ramp is not a step
    assert "boundary_f1" not in rows["rooms", "depth", "median"].scores


def test_one_scene_is_resampled_by_its_photographs(tmp_path: Path):
    write_imported(tmp_path / "a", scenes=1)
    row = rows_of(run(tmp_path, Oracle(1.2), tmp_path / "o"))["rooms", "depth", "none"]
    assert (row.scenes, row.drawn) == (1, "photographs")
    bounds = row.interval_95["absrel"]
    assert bounds is not None
    assert bounds[0] < row.scores["absrel"] < bounds[1]


def test_every_score_of_segments_has_an_interval(tmp_path: Path):
    class Worse(Oracle):
        """Shifts the stripes, each photograph's by more."""

        def predict(self, photographs: np.ndarray) -> list[Prediction]:
            found = super().predict(photographs)
            shift = 2 * len(self.sizes)
            return [replace(p, segment=np.roll(np.array(p.segment), shift, axis=1)) for p in found]

    write_imported(tmp_path / "a")
    row = rows_of(run(tmp_path, Worse(), tmp_path / "o"))["rooms", "segment", ONE_MATRIX]
    for metric in ("miou", "boundary_iou", "accuracy"):
        low, high = row.interval_95[metric] or (0, 0)
        assert low < row.scores[metric] < high


def test_tallies_of_weighted_photographs_equal_those_of_the_photographs_themselves():
    """Drawing photograph 0 twice and 2 once is a set of three photographs."""
    rng = np.random.default_rng(0)
    normals = [[_unit(rng.normal(size=(60, 50, 3))) for _ in range(2)] for _ in range(3)]
    ids = [[rng.integers(0, 3, (60, 50)) for _ in range(2)] for _ in range(3)]
    normals[1][1][:4] = 0
    whole = (PooledNormalTally(), MeanTally(), SegmentTally("abc"))
    drawn = (PooledNormalTally(), MeanTally(), SegmentTally("abc"))
    for tallies, chosen in ((whole, (0, 1, 2)), (drawn, (0, 0, 2))):
        for index in chosen:
            tallies[0].update(*normals[index])
            tallies[1].add(image_normals(*normals[index]))
            tallies[2].update(*ids[index])
    for tally, direct in zip(whole, drawn):
        found = tally.resample(np.array([[2.0, 0.0, 1.0]]))
        expected = direct.result()
        for name, values in found.items():
            within = 0.06 if name == "median_deg" else 1e-9
            assert values[0] == pytest.approx(expected[name], abs=within)
        assert set(found) == set(expected)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def test_photographs_without_truth_count_nowhere():
    tally = MeanTally()
    for scores in ({"absrel": 0.2}, None, {"absrel": 0.4}):
        tally.add(scores)
    assert tally.result()["absrel"] == pytest.approx(0.3)
    np.testing.assert_array_equal(tally.scored(), [True, False, True])
    empty = MeanTally()
    empty.add(None)
    assert empty.result() == {}
    assert PooledNormalTally().result() == {}
    assert SegmentTally("ab").result() == {}


def test_finished_pairs_are_not_run_again(tmp_path: Path):
    write_imported(tmp_path / "sets" / "a")
    write_imported(tmp_path / "sets" / "b", name="halls")
    first, again = Oracle(), Oracle()
    runs = run(tmp_path / "sets", first, tmp_path / "out")
    assert run(tmp_path / "sets", again, tmp_path / "out") == runs == read_results(tmp_path / "out")
    assert (len(first.sizes), len(again.sizes)) == (8, 0)


@pytest.mark.parametrize("change", ["labeller", "set", "settings"])
def test_what_has_changed_is_run_again_and_replaced(tmp_path: Path, change: str):
    write_imported(tmp_path / "sets" / "a")
    run(tmp_path / "sets", Oracle(), tmp_path / "out")
    if change == "set":
        write_imported(tmp_path / "sets" / "a", count=3)
    settings = replace(SETTINGS, limit=3) if change == "settings" else SETTINGS
    other = candidate(Oracle(), sha256=("b" if change == "labeller" else "a") * 64)
    runs = run_suite([other], find_datasets(tmp_path / "sets"), tmp_path / "out", settings)
    assert len(runs) == 1
    assert runs[0].photographs == (4 if change == "labeller" else 3)


def test_another_labeller_is_added_to_the_results(tmp_path: Path):
    write_imported(tmp_path / "sets" / "a")
    run(tmp_path / "sets", Oracle(), tmp_path / "out")
    second = candidate(Oracle(1.1), name="second", sha256="c" * 64)
    runs = run_suite([second], find_datasets(tmp_path / "sets"), tmp_path / "out", SETTINGS)
    assert [r.labeller for r in runs] == ["oracle", "second"]


def test_a_killed_suite_keeps_what_it_finished(tmp_path: Path):
    class Mortal(Oracle):
        def predict(self, photographs: np.ndarray) -> list[Prediction]:
            if len(self.sizes) == 6:
                raise KeyboardInterrupt
            return super().predict(photographs)

    write_imported(tmp_path / "sets" / "a")
    write_imported(tmp_path / "sets" / "b", name="halls")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "sets", Mortal(), tmp_path / "out")
    assert [r.dataset for r in read_results(tmp_path / "out")] == ["rooms"]
    oracle = Oracle()
    run(tmp_path / "sets", oracle, tmp_path / "out")
    assert len(oracle.sizes) == 4


def test_damaged_results_are_refused_by_name(tmp_path: Path):
    (tmp_path / "results.json").write_text('{"schema": 1, "runs": [{}]}')
    with pytest.raises(ValueError, match=r"results\.json: not the results of a suite"):
        read_results(tmp_path)
    (tmp_path / "results.json").write_text('{"schema": 7, "runs": []}')
    with pytest.raises(ValueError, match="install a newer potstill"):
        read_results(tmp_path)


def test_published_rows_stand_beside_ours_and_tell_what_does_not_compare(tmp_path: Path):
    write_imported(tmp_path / "n", name="nyuv2", official=2, count=2, size=(480, 640), shards=1)
    runs = run(tmp_path, Oracle(), tmp_path / "out", replace(SETTINGS, tasks=("depth",)))
    text = as_markdown(sections(runs, read_published()))
    rows = {
        (cells[1].strip("*"), cells[2]): cells
        for line in text.splitlines()
        if len(cells := [cell.strip() for cell in line.split("|")]) > 4
    }
    banana = rows["Vision Banana", "none"]
    assert banana[3:5] == ["0.948", "0.081"]
    assert banana[-2].startswith("Source: Vision Banana, arXiv 2604.20329 v3 (caps and crops")
    assert rows["Marigold v1", "least_squares"][-2] == "Source: Lotus-2"
    assert rows["Lotus-2", "ransac_log"][-2].startswith("not comparable: other protocol: without")
    assert rows["Lotus-D", "unstated"][-2].startswith("not comparable: unstated alignment")
    assert "2 photographs of 2 scenes (all of nyuv2 test). Protocol nyuv2: depth up to 10 m" in text
    note = "(whether this fit is in ln d or, as ours, in ln(1 + d) could not be checked)"
    assert rows["Marigold V2", "ransac_log"][-2].endswith(note)
    partial = [replace(runs[0], official_count=654)]
    short = sections(runs, read_published(), brief=True)[0].published
    assert short[0][-1] == "caps and crops are not stated"
    assert "ours are of a part of the set" in as_markdown(sections(partial, read_published()))
    assert "(nyuv2 test officially has 654)" in as_markdown(sections(partial, read_published()))


def test_where_nothing_of_ours_is_scored_no_other_averaging_is_blamed(tmp_path: Path):
    write_imported(tmp_path / "c", name="camvid", official=4)
    oracle = Oracle()
    oracle.classes = ("road", "car", "sky")
    settings = replace(SETTINGS, tasks=("segment",))
    found = sections(run(tmp_path, oracle, tmp_path / "o", settings), read_published())
    assert [cells[0] for cells in found[0].published] == ["SegNet"]
    assert found[0].published[0][-1].startswith("not comparable: second-hand: as later papers")
    assert "averaging" not in found[0].published[0][-1]


def test_times_name_their_machine(tmp_path: Path):
    write_imported(tmp_path / "a")
    runs = run(tmp_path, Oracle(), tmp_path / "out")
    assert read_results(tmp_path / "out")[0].machine == describe_machine()
    assert f"batch 1, 1 thread of {describe_machine()['cpu']}." in as_markdown(sections(runs, []))
    on_gpu = replace(runs[0].settings, device="cuda", threads=4)
    second = replace(runs[0], labeller="b", machine={"cpu": "abacus"}, settings=on_gpu)
    text = as_markdown(sections([*runs, second], []))
    assert text.count("timed on cuda, 4 threads of abacus |") == len(second.rows)
    assert text.count("timed on") == len(second.rows)


def test_the_chart_is_a_picture_with_a_panel_for_each_task(tmp_path: Path):
    write_imported(tmp_path / "sets" / "a")
    runs = run(tmp_path / "sets", Oracle(), tmp_path / "out")
    three = Image.open(draw_chart(runs, tmp_path / "three.png"))
    only_depth = [replace(r, rows=r.rows[:2]) for r in runs]
    one = Image.open(draw_chart(only_depth, tmp_path / "one.png"))
    assert three.height == one.height
    assert three.width > 2 * one.width
    assert len(np.unique(np.array(three.convert("L")))) > 20
    with pytest.raises(ValueError, match="nothing to draw"):
        draw_chart([replace(r, rows=()) for r in runs], tmp_path / "none.png")


def test_the_command_runs_a_teacher_and_a_student(tmp_path: Path, capsys: pytest.CaptureFixture):
    write_imported(tmp_path / "sets" / "a")
    build_teacher(tmp_path / "teacher")
    save_tiny_student(tmp_path / "student")
    arguments = ["evaluate", "--suite", str(tmp_path / "sets"), "--out", str(tmp_path / "out")]
    arguments += ["--labeller", str(tmp_path / "teacher"), f"--labeller={tmp_path / 'student'}"]
    assert main([*arguments, "--resamples", "20"]) == 0
    printed = capsys.readouterr().out
    assert "rooms test: surface normals" in printed
    assert "rooms test: segmentation" in printed
    stored = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [r["labeller"] for r in stored["runs"]] == [
        str(tmp_path / "teacher"),
        str(tmp_path / "student"),
    ]
    assert (tmp_path / "out" / "table.md").read_text().count("\n## ") == 3
    assert Image.open(tmp_path / "out" / "chart.png").format == "PNG"
    assert main([*arguments, "--resamples", "20"]) == 0
    again = json.loads((tmp_path / "out" / "results.json").read_text())
    assert again == stored  # times too: nothing was run


def test_help_of_the_suite_is_found_from_that_of_the_verb(capsys: pytest.CaptureFixture):
    with pytest.raises(SystemExit):
        main(["evaluate", "--help"])
    assert "--suite sets/ --help" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["evaluate", "--suite", "sets/", "--help"])
    shown = capsys.readouterr().out
    assert "--alignments" in shown
    assert "examples:" in shown


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--suite", "EMPTY"], "expected imported data sets, found no dataset.json"),
        (["--labeller", "EMPTY"], "expected the folder of a student"),
        (["--alignments", "[best]"], "alignments: expected some of none, median"),
        (["--limit", "0"], "limit: expected at least 1, found 0"),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture, change: list[str], message: str
):
    write_imported(tmp_path / "sets" / "a")
    (tmp_path / "empty").mkdir()
    save_tiny_student(tmp_path / "student")
    given = {"--suite": str(tmp_path / "sets"), "--labeller": str(tmp_path / "student")}
    given |= {change[0]: change[1].replace("EMPTY", str(tmp_path / "empty"))}
    given |= {"--out": str(tmp_path / "out")}
    assert main(["evaluate", *(part for pair in given.items() for part in pair)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_two_sets_of_one_name_are_refused(tmp_path: Path):
    write_imported(tmp_path / "a")
    write_imported(tmp_path / "b")
    with pytest.raises(ValueError, match=r"b: rooms test lies in .*a too"):
        find_datasets(tmp_path)


def test_sets_without_ground_truth_or_the_wanted_tasks_are_passed_over(tmp_path: Path):
    folder = write_imported(tmp_path / "a")
    oracle = Oracle()
    assert run(tmp_path, oracle, tmp_path / "out", replace(SETTINGS, tasks=())) == []
    assert oracle.sizes == []
    card = json.loads((folder / "dataset.json").read_text()) | {"labelled": 0}
    (folder / "dataset.json").write_text(json.dumps(card))
    with pytest.raises(ValueError, match="no imported set in it has ground truth"):
        find_datasets(tmp_path)
    write_imported(tmp_path / "b", name="halls")
    assert [dataset.card.name for dataset in find_datasets(tmp_path)] == ["halls"]


def test_the_digest_of_a_labeller_follows_its_weights(tmp_path: Path):
    save_tiny_student(tmp_path / "a")
    save_tiny_student(tmp_path / "b")
    save_tiny_student(tmp_path / "c", decoder_dim=16)
    digests = [find_candidate(tmp_path / name).sha256 for name in "abc"]
    assert digests[0] == digests[1] != digests[2]
    teachers = [build_teacher(tmp_path / f"t{seed}", seed=seed) for seed in (0, 1)]
    voting = find_candidate(teachers[0], votes=2)
    assert voting.name == f"{teachers[0]}, 2 votes"
    assert len({voting.sha256, *(find_candidate(t).sha256 for t in teachers)}) == 3
    assert find_candidate(tmp_path / "a", votes=2).name == str(tmp_path / "a")
