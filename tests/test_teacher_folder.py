"""Teacher folders: what is read from them, and what is refused before anything is loaded."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import build_teacher, write_card

from teacher.painters import load_painter, open_teacher

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_teacher(tmp_path_factory.mktemp("teacher") / "tiny")


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "tiny"))


def edit_json(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_card_tells_which_teacher_it_is(folder: Path) -> None:
    card = open_teacher(folder).card
    assert card.name == "tiny"
    assert card.palette == ((0, 0, 255), (0, 255, 0), (255, 0, 0))
    identity = card.identity()
    assert identity["path_or_hub_id"] == str(folder)
    assert identity["layout"] == "FluxControlPipeline"
    assert identity["revision"] is None

    edit_json(folder / "teacher.json", steps=2)
    with_steps = open_teacher(folder).card.identity()
    assert with_steps["weights_sha256"] == identity["weights_sha256"]
    assert with_steps["config_sha256"] != identity["config_sha256"]

    instructions = load_file(folder / "instructions.safetensors")
    instructions["depth.pooled"] += 1
    save_file(instructions, folder / "instructions.safetensors")
    assert open_teacher(folder).card.identity()["weights_sha256"] != identity["weights_sha256"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"schema": 2}, "has schema 2, this version reads 1"),
        ({"steps": None}, "'steps' must be a whole number, found nothing"),
        ({"steps": True}, "'steps' must be a whole number, found True"),
        ({"steps": 0}, "'steps' must be at least 1"),
        ({"start": "ones"}, "'start' must be one of"),
        ({"multiple_px": 0}, "'multiple_px' must be at least 1"),
        ({"resolution_px": 40}, "'resolution_px' 40 is not a multiple of 16 px"),
        ({"classes": ["sky"]}, "1 classes but 3 colours"),
        ({"classes": [], "palette": []}, "0 classes"),
        ({"palette": [[0, 0, 256], [0, 1, 0], [1, 0, 0]]}, "whole numbers from 0 to 255"),
        ({"palette": [1, 2, 3]}, "whole numbers from 0 to 255"),
        ({"instructions": {"paint": "x"}}, "unknown instructions"),
    ],
)
def test_card_that_makes_no_sense_is_refused(
    folder: Path, fields: dict[str, Any], message: str
) -> None:
    write_card(folder, **fields)
    with pytest.raises(ValueError, match=message) as error:
        open_teacher(folder)
    assert str(folder / "teacher.json") in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["teacher.json", "model_index.json"])
def test_missing_and_broken_json_is_named(folder: Path, name: str) -> None:
    (folder / name).write_text("{")
    with pytest.raises(ValueError, match=f"{name} is not valid JSON"):
        open_teacher(folder)
    (folder / name).write_text("[]")
    with pytest.raises(ValueError, match=f"{name} must hold a JSON object, found list"):
        open_teacher(folder)
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"{name} is missing"):
        open_teacher(folder)


@pytest.mark.parametrize(
    "name", ["transformer/diffusion_pytorch_model.bin", "vae/vae.PT", "unet.ckpt", "x.pickle"]
)
def test_pickled_weights_are_refused(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"")
    with pytest.raises(ValueError, match=r"holds pickled weights.*safe_serialization") as error:
        load_painter(folder)
    assert str(folder / name) in str(error.value)


def test_code_is_refused(folder: Path) -> None:
    (folder / "pipeline.py").write_text("raise SystemExit('ran')")
    with pytest.raises(ValueError, match=r"pipeline\.py is code.*never run"):
        load_painter(folder)


def test_custom_class_names_are_refused(folder: Path) -> None:
    edit_json(folder / "model_index.json", _class_name=["pipeline", "Mine"])
    with pytest.raises(ValueError, match="_class_name must be the name of a diffusers pipeline"):
        load_painter(folder)
    edit_json(folder / "model_index.json", _class_name="FluxControlPipeline", vae=["mine", "Mine"])
    with pytest.raises(ValueError, match="diffusers cannot open it: mine is not one of"):
        load_painter(folder)


def test_unknown_family_lists_the_known_ones(folder: Path) -> None:
    edit_json(folder / "model_index.json", _class_name="StableDiffusionPipeline")
    with pytest.raises(ValueError, match=r"'StableDiffusionPipeline'; known: .*FluxControl"):
        load_painter(folder)


@pytest.mark.parametrize(
    ("file", "fields", "message"),
    [
        ("vae/config.json", {"shift_factor": None}, "shift_factor and scaling_factor must be"),
        ("teacher.json", {"multiple_px": 8}, "multiple_px is 8.*need a multiple of 16"),
        ("transformer/config.json", {"num_layers": 2}, "attn.add_k_proj.bias is missing in the"),
        ("transformer/config.json", {"num_layers": 0}, "add_k_proj.bias is only in the file"),
        ("transformer/config.json", {"num_attention_heads": 4}, "expected shape"),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(
    folder: Path, file: str, fields: dict[str, Any], message: str
) -> None:
    edit_json(folder / file, **fields)
    with pytest.raises(ValueError, match=message) as error:
        load_painter(folder)
    assert "\n" not in str(error.value)


def test_damaged_and_missing_weights_are_named(folder: Path) -> None:
    weights = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-9])
    with pytest.raises(ValueError, match=f"diffusers cannot open it: .*{weights.name}"):
        load_painter(folder)
    weights.unlink()
    with pytest.raises(ValueError, match=f"no file named {weights.name}"):
        load_painter(folder)


def test_damaged_instructions_are_named(folder: Path) -> None:
    path = folder / "instructions.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    with pytest.raises(ValueError, match=r"instructions\.safetensors is damaged"):
        load_painter(folder)
    save_file({"depth.prompt_embeds": torch.zeros(4, 3)}, path)
    with pytest.raises(ValueError, match=r"must have the shape \(T, 16\), found \(4, 3\)"):
        load_painter(folder)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"instructions\.safetensors is missing"):
        load_painter(folder)


def test_device_and_dtype_must_exist(tiny_folder: Path) -> None:
    with pytest.raises(ValueError, match="dtype must be one of float32, bfloat16, float16"):
        load_painter(tiny_folder, dtype="int8")
    with pytest.raises(ValueError, match="unknown device 'gpu'"):
        load_painter(tiny_folder, device="gpu")
    with pytest.raises(ValueError, match="device cuda:99 is not there"):
        load_painter(tiny_folder, device="cuda:99")


def test_missing_folder_is_not_looked_up_on_the_hub(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere/here does not exist; a model of the"):
        load_painter("nowhere/here")
    with pytest.raises(ValueError, match="a revision belongs to OWNER/NAME"):
        load_painter(tmp_path, revision="main")


IN_THE_CACHE = """
import sys
from teacher.painters import open_teacher
card = open_teacher("owner/tiny", revision=sys.argv[1]).card
print(card.identity()["path_or_hub_id"], card.revision)
try:
    open_teacher("owner/tiny", revision="0" * 40)
except FileNotFoundError as error:
    print(str(error).splitlines()[0])
assert "torch" not in sys.modules
"""


def test_hub_id_at_a_revision_comes_from_the_cache_when_offline(
    tiny_folder: Path, tmp_path: Path
) -> None:
    commit = "a" * 40
    cached = tmp_path / "hub" / "models--owner--tiny"
    shutil.copytree(tiny_folder, cached / "snapshots" / commit)
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path / "hub")}
    done = subprocess.run(
        [sys.executable, "-c", IN_THE_CACHE, commit],
        capture_output=True,
        text=True,
        env=environment,
        cwd=ROOT,
        check=True,
    )
    found, missing = done.stdout.splitlines()
    assert found == f"owner/tiny {commit}"
    assert missing.startswith(f"cannot fetch owner/tiny at {'0' * 40}")


def test_job_is_imported_without_torch() -> None:
    code = "import sys, teacher.jobs.job, teacher.cli; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
