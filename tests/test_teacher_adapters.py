"""LoRA adapters: found, hashed, fused, and refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from jobs import label, write_image_shards
from peft import LoraConfig, get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from tiny import build_teacher, write_card
from tiny_editors import FAMILIES, build_stock

from teacher.painters import load_painter, open_teacher
from teacher.painters.flow import FlowPainter
from teacher.painters.instructions import write_prompts
from teacher.shards import read_pairs

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 32, 48, 3), dtype=np.uint8)
WEIGHTS = "pytorch_lora_weights.safetensors"


@pytest.fixture(scope="module", params=("control", *FAMILIES))
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with instructions and without text encoders."""
    folder = tmp_path_factory.mktemp("base") / request.param
    if request.param == "control":
        return build_teacher(folder)
    return with_instructions(build_stock(folder, request.param))


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_teacher(tmp_path_factory.mktemp("base") / "tiny")


def with_instructions(folder: Path) -> Path:
    editor = open_teacher(folder).editor()
    write_prompts(folder / "instructions.safetensors", {"depth": editor.embed(["paint depth"])})
    write_card(folder, instructions={"depth": "paint depth"})
    return folder


def add_adapter(folder: Path, seed: int = 0) -> FlowPainter:
    """A painter whose transformer has a random adapter beside its weights, not fused."""
    painter = load_painter(folder)
    assert isinstance(painter, FlowPainter)
    torch.manual_seed(seed)
    config = LoraConfig(r=2, lora_alpha=4, target_modules=["to_q", "to_v"], init_lora_weights=False)
    painter.editor.transformer.add_adapter(config)
    return painter


def write_adapter(painter: FlowPainter, folder: Path, **arguments: Any) -> Path:
    """The adapter as diffusers' pipelines write it."""
    transformer = painter.editor.transformer
    painter.editor.pipeline_class.save_lora_weights(
        folder,
        transformer_lora_layers=get_peft_model_state_dict(transformer),
        transformer_lora_adapter_metadata=transformer.peft_config["default"].to_dict(),
        **arguments,
    )
    return folder


def paint(folder: Path, **options: Any) -> np.ndarray:
    return load_painter(folder, **options).paint(IMAGES, ["depth"], [0, 1])["depth"]


def test_fused_adapter_paints_like_one_beside_the_weights(base: Path, tmp_path: Path) -> None:
    painter = add_adapter(base)
    expected = painter.paint(IMAGES, ["depth"], [0, 1])["depth"]
    folder = write_adapter(painter, tmp_path / "adapter")
    for lora in (folder, folder / WEIGHTS, str(folder)):
        np.testing.assert_allclose(paint(base, lora=lora), expected, rtol=0, atol=1e-5)
    assert np.abs(paint(base) - expected).max() > 1e-3

    bare = painter.editor.transformer.save_lora_adapter
    bare(tmp_path / "bare", adapter_name="default", weight_name=WEIGHTS)
    fused = paint(base, lora=tmp_path / "bare")
    np.testing.assert_allclose(fused, expected, rtol=0, atol=1e-5)


def test_labels_say_which_adapter(control: Path, tmp_path: Path) -> None:
    first = write_adapter(add_adapter(control, seed=1), tmp_path / "first")
    second = write_adapter(add_adapter(control, seed=2), tmp_path / "second")
    plain, *adapted = (open_teacher(control, lora=lora).card for lora in (None, first, second))
    assert "adapter_sha256" not in plain.identity()
    names = [card.identity()["adapter_sha256"] for card in adapted]
    assert names[0] != names[1]
    for card in adapted:
        assert plain.identity().items() <= card.identity().items()


def test_adapters_card_and_instructions_go_before_the_bases(control: Path, tmp_path: Path) -> None:
    adapter = write_adapter(add_adapter(control), tmp_path / "adapter")
    write_card(adapter, name="tuned", steps=2, instructions={"depth": "paint it otherwise"})
    stored = load_file(control / "instructions.safetensors")
    shifted = {name: tensor + 1 for name, tensor in stored.items() if name.startswith("depth.")}
    save_file(shifted, adapter / "instructions.safetensors")
    painter = load_painter(control, lora=adapter)
    assert isinstance(painter, FlowPainter)
    assert (painter.card.name, painter.card.steps) == ("tuned", 2)
    assert list(painter.prompts) == ["depth"]
    assert torch.equal(painter.prompts["depth"].pooled[0], shifted["depth.pooled"])


def test_folder_with_a_card_alone_teaches_what_to_ask(control: Path, tmp_path: Path) -> None:
    write_card(tmp_path, instructions={"depth": "paint depth"})
    shutil.copy(control / "instructions.safetensors", tmp_path)
    np.testing.assert_array_equal(paint(control, lora=tmp_path), paint(control))
    assert open_teacher(control, lora=tmp_path).card.identity()["adapter_sha256"]


def test_adapter_of_another_generator_is_refused(control: Path, tmp_path: Path) -> None:
    adapter = write_adapter(add_adapter(control), tmp_path / "adapter")
    klein = with_instructions(build_stock(tmp_path / "klein", "klein"))
    with pytest.raises(ValueError, match=f"{WEIGHTS}: (the adapter does not|cannot be loaded)"):
        load_painter(klein, lora=adapter)

    weights = load_file(adapter / WEIGHTS)
    renamed = {name.replace("_blocks.0", "_blocks.7"): t + 1 for name, t in weights.items()}
    save_file({**weights, **renamed}, tmp_path / "deep.safetensors")
    with pytest.raises(ValueError, match=r"no place for .*_blocks\.7"):
        load_painter(control, lora=tmp_path / "deep.safetensors")

    wide = {name: torch.cat([t, t], 1) if "lora_A" in name else t for name, t in weights.items()}
    save_file(wide, tmp_path / "wide.safetensors")
    with pytest.raises(
        ValueError, match=r"cannot be loaded as an adapter: .*size mismatch"
    ) as error:
        load_painter(control, lora=tmp_path / "wide.safetensors")
    assert "\n" not in str(error.value)


def test_unsafe_and_unclear_adapters_are_refused(control: Path, tmp_path: Path) -> None:
    adapter = write_adapter(add_adapter(control), tmp_path / "adapter")
    with pytest.raises(FileNotFoundError, match="adapter nowhere does not exist"):
        open_teacher(control, lora="nowhere")
    (tmp_path / "adapter.bin").write_bytes(b"")
    with pytest.raises(ValueError, match=r"must be a safetensors file.*never loaded"):
        open_teacher(control, lora=tmp_path / "adapter.bin")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"holds one file of weights.*found none"):
        open_teacher(control, lora=tmp_path / "empty")
    (tmp_path / "damaged.safetensors").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"damaged\.safetensors: cannot be loaded as an adapter"):
        load_painter(control, lora=tmp_path / "damaged.safetensors")
    with pytest.raises(ValueError, match="is a whole generator, not an adapter"):
        open_teacher(control, lora=control)
    shutil.copy(adapter / WEIGHTS, adapter / "second.safetensors")
    with pytest.raises(ValueError, match=f"found {WEIGHTS}, second.safetensors"):
        open_teacher(control, lora=adapter)
    (adapter / "training_args.bin").write_bytes(b"")
    with pytest.raises(ValueError, match=r"training_args\.bin holds pickled weights"):
        open_teacher(control, lora=adapter)


def test_adapters_belong_to_flow_matching_generators(control: Path, tmp_path: Path) -> None:
    adapter = write_adapter(add_adapter(control), tmp_path / "adapter")
    (tmp_path / "model").mkdir()
    index = {"_class_name": "MarigoldDepthPipeline"}
    (tmp_path / "model" / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match="a MarigoldDepthPipeline takes no adapter"):
        open_teacher(tmp_path / "model", lora=adapter)


def test_a_job_labels_with_an_adapter(control: Path, tmp_path: Path) -> None:
    adapter = write_adapter(add_adapter(control), tmp_path / "adapter")
    images = write_image_shards(tmp_path / "images", shards=1)
    reports = [
        label(images, tmp_path / name, control, tasks="depth", lora=lora)
        for name, lora in (("plain", None), ("adapted", adapter))
    ]
    assert reports[0].job_id != reports[1].job_id
    for name, adapted in (("plain", False), ("adapted", True)):
        pairs = read_pairs(images / "000000.tar", tmp_path / name / "000000.tar")
        records = [labels.record for _, _, labels in pairs]
        assert len(records) == 7
        assert all(("adapter_sha256" in record.teacher) == adapted for record in records)
