"""Generators as they are published: the card they get, and instructions that they embed."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import write_card
from tiny_editors import FAMILIES, build_stock

from teacher.label import TeacherLabeller, teacher_size
from teacher.painters import load_painter, open_teacher
from teacher.painters.editor import Editor, Prompt
from teacher.painters.flow import FlowPainter
from teacher.painters.instructions import read_prompts, write_prompts
from teacher.prompts import depth_prompt

TEXTS = ["paint depth", "and a longer one"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of our own for embedded instructions."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "potstill"


@pytest.fixture(scope="module", params=FAMILIES)
def stock(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_stock(tmp_path_factory.mktemp("stock") / request.param, request.param)


@pytest.fixture(scope="module")
def kontext(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_stock(tmp_path_factory.mktemp("stock") / "kontext", "kontext")


@pytest.fixture
def folder(kontext: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(kontext, tmp_path / "kontext"))


def photographs(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return list(rng.integers(0, 256, (count, 64, 96, 3), dtype=np.uint8))


def loaded(folder: Path, **options: Any) -> FlowPainter:
    painter = load_painter(folder, **options)
    assert isinstance(painter, FlowPainter)
    return painter


def assert_same(first: Prompt, second: Prompt, limit: float = 0.0) -> None:
    assert first.tensors().keys() == second.tensors().keys()
    for name, tensor in first.tensors().items():
        torch.testing.assert_close(tensor, second.tensors()[name], rtol=0, atol=limit)


def test_embedding_is_the_same_every_time_and_row_by_row(stock: Path) -> None:
    editor = open_teacher(stock).editor()
    both = editor.embed(TEXTS)
    assert_same(both, editor.embed(TEXTS))  # T5 in training mode would drop out other values
    for row, text in enumerate(TEXTS):
        alone = editor.embed([text])
        tokens = alone.embeds.shape[1]
        torch.testing.assert_close(both.embeds[row, :tokens], alone.embeds[0], rtol=1e-4, atol=1e-5)
        if both.mask is not None:
            assert both.mask[row].sum() == tokens
            assert not both.embeds[row, tokens:].any()


def test_many_texts_are_embedded_a_few_at_a_time(
    stock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor = open_teacher(stock).editor()
    together = editor.embed(TEXTS)
    monkeypatch.setattr("teacher.painters.editor.TEXTS_A_PASS", 1)
    assert_same(together, editor.embed(TEXTS), limit=1e-4)


def test_what_clip_does_not_read_is_no_warning(
    kontext: Path, caplog: pytest.LogCaptureFixture
) -> None:
    open_teacher(kontext).editor().embed([depth_prompt()])
    assert not caplog.messages


def test_padding_does_not_change_a_velocity(tmp_path: Path) -> None:
    editor = open_teacher(build_stock(tmp_path / "qwen", "qwen")).editor()
    both, alone = editor.embed(TEXTS), editor.embed(TEXTS[:1])
    assert both.mask is not None
    assert alone.mask is None
    latents, t = torch.randn(2, 16, 4, 4), torch.ones(2)
    padded = editor.velocity(latents, latents, t, both)
    single = editor.velocity(latents[:1], latents[:1], t[:1], alone)
    torch.testing.assert_close(padded[:1], single, rtol=0, atol=1e-5)


def test_rows_of_a_prompt() -> None:
    prompt = Prompt(embeds=torch.arange(12.0).view(2, 3, 2), mask=torch.ones(2, 3).bool())
    chosen = prompt.rows(torch.tensor([1, 1, 0]))
    assert chosen.embeds[:, 0, 0].tolist() == [6, 6, 0]
    assert chosen.pooled is None
    assert prompt.rows(torch.tensor([0])).expand(5).embeds.shape == (5, 3, 2)
    assert prompt.to(torch.device("cpu"), torch.float16).tensors()["mask"].dtype == torch.bool


def test_stored_prompts_lose_their_padding_and_nothing_else(stock: Path, tmp_path: Path) -> None:
    editor, path = open_teacher(stock).editor(), tmp_path / "instructions.safetensors"
    both = editor.embed(TEXTS)
    rows = {name: both.rows(torch.tensor([row])) for row, name in enumerate(("depth", "normal"))}
    write_prompts(path, rows)
    stored = read_prompts(path, dict.fromkeys(rows, ""), editor)
    for text, prompt in zip(TEXTS, stored.values(), strict=True):
        assert_same(prompt, editor.embed([text]), limit=1e-5)


def test_stock_generator_gets_a_card(stock: Path) -> None:
    card = open_teacher(stock).card
    assert card.name == stock.name
    assert card.licence is None
    assert card.tasks == ("depth", "normal")
    assert card.instructions["depth"] == depth_prompt()
    assert teacher_size(480, 640, card) == (1024, 1360)  # the aspect ratio kept, not squashed


@pytest.mark.parametrize(
    ("head", "licence"),
    [
        ("license: apache-2.0", "apache-2.0"),
        ("license: other\nlicense_name: flux-1-dev", "flux-1-dev"),
        ("tags: x", None),
    ],
)
def test_licence_comes_from_the_readme(folder: Path, head: str, licence: str | None) -> None:
    (folder / "README.md").write_text(f"---\n{head}\n---\n# A model\n\nlicense: nonsense\n")
    assert open_teacher(folder).card.licence == licence


def test_instructions_are_embedded_once_and_kept_outside_the_folder(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(folder.rglob("*"))
    first = loaded(folder)
    assert sorted(folder.rglob("*")) == before
    assert len(list((cache).glob("*.safetensors"))) == 1
    monkeypatch.setattr(Editor, "embed", None)  # from now on only what was kept
    assert_same(first.prompts["depth"], loaded(folder).prompts["depth"])
    write_card(folder, instructions={"depth": "another text"})
    with pytest.raises(TypeError, match="NoneType"):
        loaded(folder)


def test_stored_instructions_make_the_text_encoders_needless(folder: Path) -> None:
    painter = loaded(folder, steps=2)
    write_card(folder, start="noise", steps=2, instructions={"depth": depth_prompt()})
    write_prompts(folder / "instructions.safetensors", {"depth": painter.prompts["depth"]})
    images = np.stack(photographs(1))
    expected = painter.paint(images, ["depth"], [0])["depth"]
    with_encoders = open_teacher(folder).card.identity()
    for name in ("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"):
        shutil.rmtree(folder / name)
    assert open_teacher(folder).card.identity() == with_encoders
    painted = loaded(folder).paint(images, ["depth"], [0])["depth"]
    np.testing.assert_allclose(painted, expected, rtol=0, atol=1e-6)


def test_text_encoders_count_where_they_embed(folder: Path) -> None:
    before = open_teacher(folder).card.weights_sha256
    weights = folder / "text_encoder_2" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    assert open_teacher(folder).card.weights_sha256 != before


def test_segmentation_needs_classes_and_says_so(folder: Path) -> None:
    painter = loaded(folder)
    with pytest.raises(
        ValueError,
        match=r"does not label segment: .*--tasks depth,normal, .*classes.*teacher\.json",
    ):
        TeacherLabeller(painter)
    planes = TeacherLabeller(painter, ("depth", "normal"))
    assert planes.palettes == ()


def test_labels_with_a_stock_generator(folder: Path) -> None:
    write_card(
        folder,
        start="noise",
        steps=2,
        instructions={"depth": depth_prompt(), "segment": "paint sky, ground, box"},
    )
    labeller = TeacherLabeller(loaded(folder), ("depth", "segment"))
    first, second = labeller.label(photographs(2), [0, 1])
    assert first.depth_m is not None
    assert first.depth_m.shape == (32, 48)
    assert second.classes == ("sky", "ground", "box")
    assert set(np.unique(second.segment)) <= {0, 1, 2, 255}


def test_missing_text_encoders_are_named(folder: Path) -> None:
    editor = open_teacher(folder).editor()
    index = json.loads((folder / "model_index.json").read_text())
    for name in ("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"):
        index[name] = [None, None]
    (folder / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match="no text encoders to embed instructions with"):
        editor.embed(TEXTS)
    with pytest.raises(FileNotFoundError, match=r"teacher\.json is missing"):
        open_teacher(folder)


FETCHES = ["transformer/*.safetensors", "text_encoder_2/*.safetensors", "tokenizer/*.jinja"]


@pytest.mark.parametrize("embedded", [True, False])
def test_text_encoders_are_fetched_only_when_needed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, embedded: bool
) -> None:
    patterns: list[str] = []

    def snapshot(hub_id: str, *, revision: str, allow_patterns: list[str]) -> str:
        patterns.extend(allow_patterns)
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    if embedded:
        write_card(folder)
        write_prompts(folder / "instructions.safetensors", loaded_prompts(folder))
    open_teacher("owner/kontext", revision="main")
    assert [name in patterns for name in FETCHES] == [True, not embedded, not embedded]


def loaded_prompts(folder: Path) -> dict[str, Prompt]:
    return {"depth": open_teacher(folder).editor().embed(TEXTS[:1])}
