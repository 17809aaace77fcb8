"""The noise table of the depth codecs: its noises, its errors, and the command that writes it."""

import json

import numpy as np
import pytest
from tiny import build_teacher

from distill.main import main
from teacher.depth import CUBE_WALK, Gray, Hilbert, encode_depth
from teacher.noise import (
    PATHS,
    RANGES,
    SIGMAS,
    CodecErrors,
    gaussian,
    jpeg,
    measure,
    unchanged,
)

PUBLISHED = {  # median, p95, p99 in percent of the path at sigma 1, 2, 4, 8
    "cubewalk": ((0.04, 0.12, 0.16), (0.08, 0.23, 0.30), (0.15, 0.45, 0.60), (0.30, 0.91, 1.25)),
    "hilbert 1": ((0.04, 0.12, 0.15), (0.08, 0.23, 0.30), (0.15, 0.45, 0.61), (0.31, 0.91, 1.26)),
    "hilbert 2": ((0.014, 0.04, 0.05), (0.03, 0.08, 0.10), (0.05, 0.16, 0.23), (0.10, 0.33, 0.52)),
    "gray": ((0.18, 0.51, 0.67), (0.32, 0.93, 1.2), (0.61, 1.8, 2.4), (1.2, 3.5, 4.6)),
}
"""An independent measurement on 60,000 places, with polylines decoded by the nearest segment."""


def measured(depth_m, noise=unchanged, codecs=PATHS, **options) -> dict[str, CodecErrors]:
    return {row.codec: row for row in measure(depth_m, {"it": noise}, codecs, **options)}


def even_places(count: int = 20_000) -> np.ndarray:
    return CUBE_WALK.metres(np.random.default_rng(1).uniform(0, 1, (1, 1, count)))


@pytest.mark.parametrize("level", range(4))
def test_gaussian_noise_costs_what_was_published(level: int) -> None:
    codecs = {name: PATHS[name] for name in PUBLISHED}
    rows = measured(even_places(), gaussian(SIGMAS[level], seed=1), codecs)
    for name, expected in PUBLISHED.items():
        found = rows[name].median, rows[name].p95, rows[name].p99
        np.testing.assert_allclose(found, expected[level], rtol=0.08, atol=0.006)


def test_fine_curves_jump_under_noise_and_coarse_ones_do_not() -> None:
    rows = measured(even_places(5000), gaussian(8))
    assert rows["hilbert 8"].p99 > 20 > 1 > rows["hilbert 2"].p99


def test_errors_are_those_of_the_formulas() -> None:
    depth_m = np.float32([[[1.0, 4.0, np.inf, 9.0]]])
    (row,) = measure(
        depth_m, {"to black": lambda rgb: rgb * np.uint8(0)}, {"it": Gray(0, 10)}, None
    )
    assert (row.codec, row.noise, row.pixels) == ("it", "to black", 3)
    assert row.median == pytest.approx(40)
    assert row.absrel == pytest.approx(1, abs=2e-3)
    assert row.delta1 == 0


def test_a_shared_scale_paints_every_path_at_the_same_places() -> None:
    depth_m = np.full((1, 1, 9), 3.0)
    codec = Hilbert(2, near_m=0.1, far_m=50)
    painted = []

    def look(rgb: np.ndarray) -> np.ndarray:
        painted.append(rgb)
        return rgb

    list(measure(depth_m, {"look": look}, {"it": codec}))
    assert (painted[0] == codec.paint(np.array(1 - 1.3**-2.0))).all()
    list(measure(depth_m, {"look": look}, {"it": codec}, scale=None))
    np.testing.assert_array_equal(painted[1], encode_depth(depth_m, codec))


def test_without_noise_only_the_rounding_to_8_bits_is_left() -> None:
    rows = measured(np.geomspace(0.5, 80, 500)[None, None], codecs=RANGES, scale=None)
    assert {name for name, row in rows.items() if row.delta1 > 0.98} >= {"cubewalk", "hilbert 2"}
    assert all(row.p99 < 0.7 for row in rows.values())


def test_noise_follows_from_its_seed() -> None:
    rgb = np.full((1, 4, 4, 3), 128, np.uint8)
    np.testing.assert_array_equal(gaussian(4, seed=3)(rgb), gaussian(4, seed=3)(rgb))
    assert (gaussian(4, seed=3)(rgb) != gaussian(4, seed=4)(rgb)).any()


def test_jpeg_halves_the_resolution_of_colour() -> None:
    rgb = np.zeros((2, 32, 32, 3), np.uint8)
    rgb[:, :, ::2, 0] = 255  # red stripes of one pixel: the colour is averaged away
    through = jpeg(rgb)
    assert through.shape == rgb.shape
    spread = through.astype(int).max(axis=-1) - through.astype(int).min(axis=-1)
    assert spread.max() < 200


def codecs(out, capsys, *options: str) -> tuple[int, str]:
    code = main(["codecs", "--scenes", "1", "--size_px", "32", "--samples", "500", *options])
    return code, "".join(capsys.readouterr())


def test_the_command_prints_and_writes_the_table(tmp_path, capsys) -> None:
    teacher = build_teacher(tmp_path / "teacher")
    options = ["--teacher", str(teacher), "--out", str(tmp_path / "new" / "table.md")]
    code, shown = codecs(tmp_path, capsys, *options)
    assert code == 0
    assert (tmp_path / "new" / "table.md").read_text() == shown
    heads = [line for line in shown.splitlines() if line.startswith("| codec ")]
    assert heads[0] == ("| codec | sigma 1 | sigma 2 | sigma 4 | sigma 8 | JPEG 90 | autoencoder |")
    assert all(shown.count(f"| {name} |") == 3 for name in PATHS)
    assert "1 held-out scenes of 32 px" in shown


def test_the_table_as_json_holds_every_number_and_is_the_same_each_time(tmp_path, capsys) -> None:
    teacher = build_teacher(tmp_path / "teacher")
    tables = []
    for name in ("one.json", "two.json"):
        codecs(tmp_path, capsys, "--teacher", str(teacher), "--out", str(tmp_path / name))
        tables.append(json.loads((tmp_path / name).read_text()))
    assert tables[0]["paths"] == tables[1]["paths"]
    assert {"codec", "noise", "pixels", "median", "p95", "p99", "absrel", "delta1"} == set(
        tables[0]["places"][0]
    )
    assert len(tables[0]["ranges"]) == len(RANGES) * (len(SIGMAS) + 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--scenes", "0"], "scenes and samples must be at least 1"),
        (["--out", "table.txt"], "must end in .md or .json, found table.txt"),
        (["--size_px", "40"], "must be a multiple of 16 px for the teacher embedded, found 40"),
        (["--teacher", "nowhere"], "teacher folder nowhere does not exist"),
    ],
)
def test_what_cannot_be_measured_is_one_line(options, message, tmp_path, capsys) -> None:
    code, shown = codecs(tmp_path, capsys, *options)
    assert code == 2
    assert message in shown
    assert shown.count("\n") == 1
