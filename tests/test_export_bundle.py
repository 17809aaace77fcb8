"""A bundle on a device: a bare environment, golden photographs, and what is wrong there."""

import json
import subprocess
import sys
import venv
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
from exported import folder, onnx_file, photographs
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, numpy_helper
from PIL import Image

from distill import depth_losses
from export.bundle import GOLDEN_PX, write_bundle
from export.session import METADATA_KEY
from export.session.__main__ import main
from export.session.png import read_png, write_png
from export.session.verify import SKY_M, depth_difference, normal_difference

BARE_PACKAGES = ("numpy", "numpy.libs", "onnxruntime")


@cache
def bundle() -> Path:
    """A bundle of the tiny student, read only."""
    pictures = [photographs()[0], photographs()[1][:33, :47]]
    return write_bundle(folder() / "bundle", [onnx_file()], pictures, "# A card\n")


def changed_model(
    path: Path, *, metadata: dict | None = None, size_px: tuple[int, int] | None = None
) -> Path:
    """The tiny student's file with other metadata, or for one size only."""
    model = onnx.load(onnx_file())
    stored = {p.key: p.value for p in model.metadata_props}
    described = {**json.loads(stored[METADATA_KEY]), **(metadata or {})}
    onnx.helper.set_model_props(model, {METADATA_KEY: json.dumps(described)})
    if size_px:
        for dim, size in zip(model.graph.input[0].type.tensor_type.shape.dim, (1, *size_px, 3)):
            dim.dim_value = size
    onnx.save(model, path)
    return path


def blunder(model: ModelProto) -> ModelProto:
    """A machine that computes with other weights."""
    for tensor in model.graph.initializer:
        weights = numpy_helper.to_array(tensor)
        if weights.dtype == np.float32 and weights.ndim > 1:
            tensor.CopyFrom(numpy_helper.from_array(weights * np.float32(1.05), tensor.name))
    return model


def verify(*arguments: object) -> int:
    """The command in this process, quickly."""
    return main(["verify", *map(str, arguments), "--provider=cpu", "--runs=2", "--threads=1"])


def test_a_bundle_is_complete() -> None:
    found = {str(p.relative_to(bundle())) for p in bundle().rglob("*") if p.is_file()}
    assert {"README.md", "MODEL_CARD.md", "student_fp32.onnx", "golden/golden.json"} <= found
    assert {"golden/00_48x48.png", "golden/00_48x48.npz", "golden/01_33x47.png"} <= found
    assert {"session/__init__.py", "session/__main__.py"} <= found
    assert not any("__pycache__" in name for name in found)
    assert (
        "python -m session verify student_fp32.onnx golden" in (bundle() / "README.md").read_text()
    )


def test_golden_pairs_verify_in_a_bare_environment(tmp_path: Path) -> None:
    """Python, numpy and onnxruntime alone: nothing of the checkout can be imported."""
    venv.create(tmp_path / "bare", with_pip=False)
    (site,) = (tmp_path / "bare").glob("lib/python*/site-packages")
    for package in BARE_PACKAGES:
        source = Path(np.__file__).parents[1] / package
        if source.exists():
            (site / package).symlink_to(source)
    python = tmp_path / "bare" / "bin" / "python"
    others = "from importlib.util import find_spec as f; print(*map(f, ('torch', 'PIL', 'export')))"
    command = ["-m", "session", "verify", "student_fp32.onnx", "golden", "--runs=3", "--threads=1"]
    for arguments, expected in (
        (["-c", others], "None None None"),
        (command, "passed: 2 golden photographs"),
    ):
        done = subprocess.run(
            [python, *arguments], cwd=bundle(), capture_output=True, text=True, env={}
        )
        assert done.returncode == 0, done.stderr
        assert expected in done.stdout
    assert "student_fp32.onnx: fp32 on CPU" in done.stdout
    assert "latency at 48 x 48 px: min " in done.stdout
    assert "(n=3)" in done.stdout


def test_the_lines_for_python_in_the_readme_run(capfd: pytest.CaptureFixture[str]) -> None:
    readme = (bundle() / "README.md").read_text()
    code = readme.split('python -c "\n')[1].split('"\n')[0].replace("\n    ", "\n").strip()
    subprocess.run([sys.executable, "-c", code], cwd=bundle(), check=True, timeout=120)
    assert "(240, 320) ('depth', 'normal', 'segment')" in capfd.readouterr().out


def test_a_machine_that_computes_something_else_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx.save(blunder(onnx.load(onnx_file())), tmp_path / "student.onnx")
    assert verify(tmp_path / "student.onnx", bundle() / "golden") == 1
    printed = capsys.readouterr().out
    assert "FAILED: depth_m, normal" in printed
    assert "do not use this file on this machine" in printed


def test_a_wider_precision_has_wider_limits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = changed_model(tmp_path / "student.onnx", metadata={"precision": "int8"})
    assert verify(model, bundle() / "golden") == 0
    assert "student.onnx: int8 on CPU" in capsys.readouterr().out


def test_a_file_of_one_size_has_golden_photographs_of_that_size(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fixed = changed_model(tmp_path / "student_fp32_32x48.onnx", size_px=(32, 48))
    out = write_bundle(tmp_path / "bundle", [onnx_file(), fixed], list(photographs(2)), "")
    assert len(list((out / "golden").glob("*_32x48.png"))) == 2
    assert "48 x 32 px (width x height)" in (out / "README.md").read_text()
    assert verify(out / fixed.name, out / "golden") == 0
    assert "passed: 2 golden photographs (2 of other sizes left out)" in capsys.readouterr().out
    assert verify(out / onnx_file().name, out / "golden") == 0
    assert "passed: 4 golden photographs" in capsys.readouterr().out


def test_large_photographs_are_made_smaller(tmp_path: Path) -> None:
    large = np.zeros((3 * GOLDEN_PX, 2 * GOLDEN_PX, 3), np.uint8)
    out = write_bundle(tmp_path / "bundle", [onnx_file()], [large], "")
    (golden,) = (out / "golden").glob("*.png")
    assert read_png(golden).shape == (GOLDEN_PX, GOLDEN_PX * 2 // 3, 3)


def test_photographs_that_are_too_small_are_made_larger(tmp_path: Path) -> None:
    single = np.zeros((1, 1, 3), np.uint8)
    out = write_bundle(tmp_path / "bundle", [onnx_file()], [single], "")
    (golden,) = (out / "golden").glob("*.png")
    assert read_png(golden).shape == (16, 16, 3)


def test_a_bundle_is_replaced_but_nothing_else_is(tmp_path: Path) -> None:
    for pictures in (photographs(2), photographs(1)):
        out = write_bundle(tmp_path / "bundle", [onnx_file()], list(pictures), "")
    assert len(list((out / "golden").glob("*.png"))) == 1
    (tmp_path / "photographs").mkdir()
    kept = tmp_path / "photographs" / "holiday.jpg"
    kept.touch()
    with pytest.raises(ValueError, match=r"photographs: holds other files than a bundle"):
        write_bundle(kept.parent, [onnx_file()], list(photographs(1)), "")
    assert kept.is_file()


def test_a_bundle_needs_a_file_that_says_what_is_right(tmp_path: Path) -> None:
    model = changed_model(tmp_path / "student_int8.onnx", metadata={"precision": "int8"})
    with pytest.raises(ValueError, match="a bundle needs an FP32 file"):
        write_bundle(tmp_path / "bundle", [model], list(photographs(1)), "")
    fixed = changed_model(tmp_path / "student_fp32_32x48.onnx", size_px=(32, 48))
    with pytest.raises(ValueError, match=r"\(32, 48\) px only, the other files do not"):
        write_bundle(tmp_path / "bundle", [fixed, onnx_file()], list(photographs(1)), "")
    other = changed_model(tmp_path / "student_fp16.onnx", metadata={"weights_sha256": "0"})
    with pytest.raises(ValueError, match="are of one student, found several"):
        write_bundle(tmp_path / "bundle", [onnx_file(), other], list(photographs(1)), "")
    assert not (tmp_path / "bundle").exists()


def damage(golden: Path, how: str) -> None:
    """Spoil one thing about golden photographs."""
    png, npz = sorted(golden.glob("*.png"))[0], sorted(golden.glob("*.npz"))[0]
    if how == "no folder":
        for path in golden.iterdir():
            path.unlink()
        golden.rmdir()
    elif how == "another student":
        (golden / "golden.json").write_text('{"weights_sha256": "0"}')
    elif how == "no JSON":
        (golden / "golden.json").write_text("{")
    elif how == "no photographs":
        for path in golden.glob("*.png"):
            path.unlink()
    elif how == "a photograph cut short":
        png.write_bytes(png.read_bytes()[:-200])
    elif how == "outputs cut short":
        npz.write_bytes(npz.read_bytes()[:500])
    elif how == "outputs of another size":
        np.savez(npz, depth_m=np.zeros((2, 2), np.float32))
    elif how == "an output missing":
        np.savez(npz, depth_m=np.zeros((48, 48), np.float32))
    elif how == "pickled outputs":
        np.savez(npz, depth_m=np.array([{}], object))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("no folder", "golden.json: no such file; `potstill export --bundle` writes"),
        ("another student", "golden photographs of another student"),
        ("no JSON", "golden.json: expected weights_sha256 in JSON"),
        ("no photographs", "has no golden photographs"),
        ("a photograph cut short", "00_48x48.png: not a PNG of 8-bit RGB"),
        ("outputs cut short", "00_48x48.npz: not the outputs of a student"),
        ("outputs of another size", "00_48x48.npz: depth_m (2, 2) does not fit"),
        ("an output missing", "golden photograph 00_48x48: its .npz lacks normal"),
        ("pickled outputs", "00_48x48.npz: not the outputs of a student"),
    ],
)
def test_golden_photographs_that_will_not_do(
    how: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    golden = write_bundle(tmp_path / "b", [onnx_file()], [photographs()[0]], "") / "golden"
    damage(golden, how)
    assert verify(onnx_file(), golden) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_model_that_will_not_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(tmp_path / "none.onnx", bundle() / "golden") == 2
    assert "none.onnx: no such ONNX file" in capsys.readouterr().err
    model = changed_model(tmp_path / "student.onnx", metadata={"precision": "fp4"})
    assert verify(model, bundle() / "golden") == 2
    assert "precision 'fp4', expected one of fp32, fp16, int8, " in capsys.readouterr().err
    fixed = changed_model(tmp_path / "fixed.onnx", size_px=(64, 64))
    assert verify(fixed, bundle() / "golden") == 2
    assert "no photograph of the size (64, 64) px" in capsys.readouterr().err


def test_differences_that_a_person_would_see() -> None:
    expected = np.array([[1, 2, np.inf, np.inf, 5, np.inf]], np.float32)
    found = np.array([[1.1, 2, np.inf, 99, np.inf, 300]], np.float32)
    off = [[0.1, 0, 0, 0.01, 19, 0]]
    assert np.allclose(depth_difference(expected, found), off, atol=1e-6)
    assert np.isnan(depth_difference(expected, found * np.nan)).any()
    tilted = np.array([[np.cos(0.3), np.sin(0.3), 0]], np.float32)
    assert np.allclose(normal_difference(np.eye(3)[:1], tilted), np.degrees(0.3), atol=1e-4)


def test_sky_begins_where_students_learn_that_it_does() -> None:
    assert SKY_M == depth_losses.SKY_M


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 99))
@settings(max_examples=30)
def test_png_comes_back_as_it_was(height: int, width: int, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    path = folder() / "random.png"
    write_png(path, image)
    assert np.array_equal(read_png(path), image)
    assert np.array_equal(np.asarray(Image.open(path)), image)


def test_png_of_other_programs(tmp_path: Path) -> None:
    """Pillow chooses among all five filters."""
    photograph = photographs()[0]
    Image.fromarray(photograph).save(tmp_path / "photograph.png", compress_level=9)
    assert np.array_equal(read_png(tmp_path / "photograph.png"), photograph)
    Image.fromarray(photograph).convert("L").save(tmp_path / "gray.png")
    with pytest.raises(ValueError, match=r"gray\.png: not a PNG of 8-bit RGB .*colour type 0"):
        read_png(tmp_path / "gray.png")
