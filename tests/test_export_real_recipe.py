"""The recipe for real photographs, on a small folder of the same layout."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from distill.main import main
from export.real_recipe import TRAINING_SCENES, RealRecipe, cut_crops, import_sets
from teacher.sample import decode_photograph
from teacher.shards import read_pairs, read_photographs
from teacher.tuning.crops import Crops

HEIGHT, WIDTH = 96, 128


def write_png(path: Path, pixels: np.ndarray) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)
    return path.name


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """camvid/ and real/ with a few photographs of noise each."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)

    def photo() -> np.ndarray:
        coarse = rng.integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
        return coarse.repeat(8, 0).repeat(8, 1)

    for split in ("train", "val"):
        for number in range(3):
            name = f"0016E5_{split}{number}.png"
            write_png(root / "camvid" / split / "rgb" / name, photo())
            ids = rng.integers(0, 11, (HEIGHT // 16, WIDTH // 16), dtype=np.uint8)
            write_png(root / "camvid" / split / "seg" / name, ids.repeat(16, 0).repeat(16, 1))
    entries = []
    depth = np.full((HEIGHT, WIDTH), 2000, np.uint16)
    for scene in (*TRAINING_SCENES, "elsewhere"):
        name = f"{scene}.png"
        write_png(root / "real" / name, photo())
        write_png(root / "real" / f"{scene}_depth.png", depth)
        entry = {"id": scene, "rgb": name, "scene": scene, "source": "rooms", "depth_scale": 1000}
        entries.append({**entry, "depth": f"{scene}_depth.png"})
    normal = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    normal[:] = (0, 128, 128)  # BGR: z = -1, which faces the camera in OpenCV's axes
    entries[0]["normal"] = write_png(root / "real" / "kitchen_normal.png", normal)
    for source in ("coco_panoptic", "imagenet_photos"):
        write_png(root / "real" / f"{source}.png", photo())
        entries.append({"id": source, "rgb": f"{source}.png", "source": source, "scene": source})
    (root / "real" / "manifest.json").write_text(json.dumps(entries))
    return root


def test_what_is_judged_on_is_never_trained_on(data: Path, tmp_path: Path) -> None:
    cards = import_sets(RealRecipe(data=data, out=tmp_path, limit=3))
    assert {place: card.count for place, card in cards.items()} == {
        "train/camvid": 3,
        "train/rooms": 2,
        "train/photographs": 2,
        "test/camvid": 3,
        "test/elsewhere": 1,
    }
    scenes = {place: set(card.scenes.values()) for place, card in cards.items()}
    assert not scenes["train/rooms"] & scenes["test/elsewhere"]
    digests = {
        place: {
            labels.record.photo_sha256
            for _, _, labels in read_pairs(
                tmp_path / "sets" / place / "images/000000.tar",
                tmp_path / "sets" / place / "labels/000000.tar",
            )
        }
        for place in ("train/camvid", "test/camvid", "train/rooms", "test/elsewhere")
    }
    assert not digests["train/camvid"] & digests["test/camvid"]
    assert not digests["train/rooms"] & digests["test/elsewhere"]


def test_crops_of_all_sets_have_keys_of_their_own(data: Path, tmp_path: Path) -> None:
    import_sets(RealRecipe(data=data, out=tmp_path, limit=3))
    sources = [tmp_path / "sets/train" / name / "images" for name in ("camvid", "photographs")]
    crops = Crops(height_px=48, width_px=64, count=2)
    out = cut_crops(sources, crops, tmp_path / "crops")
    found = [sample for tar in sorted(out.glob("*.tar")) for sample in read_photographs(tar)]
    assert len({key for key, _ in found}) == len(found) == 2 * (3 + 2)
    assert all(decode_photograph(photo).shape == (48, 64, 3) for _, photo in found)
    written = [tar.stat().st_mtime_ns for tar in sorted(out.glob("*.tar"))]
    cut_crops(sources, crops, out)
    assert [tar.stat().st_mtime_ns for tar in sorted(out.glob("*.tar"))] == written


@pytest.mark.slow
def test_the_whole_recipe_in_small(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--real", str(data), "--quick", "--threads", "1", "--out", str(tmp_path)]
    assert main(["quickstart", *arguments]) == 0
    printed = capsys.readouterr().out
    assert "camvid val" in printed
    assert (tmp_path / "sheet.png").stat().st_size > 10_000
    results = json.loads((tmp_path / "results" / "results.json").read_text())
    names = {run["labeller"] for run in results["runs"]}
    assert names == {"teacher", "student", "student, ONNX"}
    assert main(["quickstart", *arguments]) == 0  # what is finished is kept


def test_a_folder_without_the_data_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--real", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out")]
    assert main(["quickstart", *arguments]) == 2
    error = capsys.readouterr().err
    assert "nowhere/camvid" in error
    assert error.count("\n") == 1
