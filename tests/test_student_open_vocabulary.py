"""Classes that are words: they may change after training, and every output follows."""

from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from exported import bring_to_life
from small_students import images, tiny_config, tiny_student
from tiny_tokenizers import clip_tokenizer
from torch.nn import functional as F
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from export.graph import trace_student
from student.model import Student, build_student, load_student, save_student
from student.open_vocabulary import embed_names, save_embeddings, with_classes

NAMES = ("sky", "ground", "box")
TEXT_DIM = 24


def make_clip(folder: Path, text_dim: int = TEXT_DIM) -> str:
    """A CLIP text tower with random weights, in the form of transformers."""
    torch.manual_seed(0)
    tokenizer = clip_tokenizer()
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=32,
        projection_dim=text_dim,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    CLIPTextModelWithProjection(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def student(clip: str) -> Student:
    torch.manual_seed(0)
    return bring_to_life(build_student(tiny_config(), text_tower=clip))


def test_embeddings_are_unit_vectors_that_differ_by_name(clip: str) -> None:
    embeddings = embed_names(NAMES, clip)
    assert embeddings.shape == (3, TEXT_DIM)
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(3))
    assert (embeddings @ embeddings.T).fill_diagonal_(0).max() < 0.9999


def test_an_embedding_does_not_depend_on_its_neighbours(clip: str) -> None:
    together = embed_names(("sky", "a much longer name"), clip)
    torch.testing.assert_close(together[:1], embed_names(("sky",), clip))


def test_logits_are_scaled_cosines_in_the_space_of_the_text(student: Student) -> None:
    head = student.heads["segment"]
    decoded = torch.randn(2, 8, 8, 16)
    lifted = F.linear(head.pixels(decoded).movedim(1, -1), head.lift.weight)
    cosines = F.cosine_similarity(lifted[..., None, :], head.text, dim=-1)
    torch.testing.assert_close(head(decoded), (cosines / 0.07).movedim(-1, 1))


def test_classes_learn_by_cross_entropy_alone(clip: str) -> None:
    torch.manual_seed(0)
    student = build_student(tiny_config(), text_tower=clip).train()
    optimiser = torch.optim.AdamW(student.parameters(), 3e-3)
    target = (images()[:, 0] * 3).long()
    losses = []
    for _ in range(30):
        losses.append(F.cross_entropy(student(images())["segment"], target))
        optimiser.zero_grad()
        losses[-1].backward()
        optimiser.step()
    assert losses[-1] < 0.8 * losses[0]
    assert not student.heads["segment"].text.requires_grad


def test_other_names_give_other_classes_and_leave_the_rest(student: Student, clip: str) -> None:
    changed = with_classes(student, ("box", "chair", "sky", "wall"), clip)
    before, after = student(images()), changed(images())
    assert changed.config.classes == ("box", "chair", "sky", "wall")
    assert after["segment"].shape == (2, 4, 32, 64)
    torch.testing.assert_close(after["segment"][:, [2, 0]], before["segment"][:, [0, 2]])
    assert torch.equal(after["depth"], before["depth"])
    assert student.config.classes == NAMES


def test_names_and_embeddings_travel_with_the_student(
    student: Student, clip: str, tmp_path: Path
) -> None:
    changed = with_classes(student, ("wall", "chair"), clip)
    loaded = load_student(save_student(changed, tmp_path))
    assert loaded.config.classes == ("wall", "chair")
    assert torch.equal(loaded(images())["segment"], changed(images())["segment"])


def test_a_file_of_embeddings_stands_in_for_the_tower(
    student: Student, clip: str, tmp_path: Path
) -> None:
    names = ("wall", "sky", "chair")
    path = save_embeddings(tmp_path / "names.safetensors", names, embed_names(names, clip))
    by_file, by_tower = (
        with_classes(student, ("chair", "wall"), str(source)) for source in (path, clip)
    )
    torch.testing.assert_close(
        by_file(images())["segment"], by_tower(images())["segment"], rtol=1e-4, atol=1e-4
    )
    with pytest.raises(ValueError, match=r"names.safetensors: lacks \['sofa'\]; it has .*wall"):
        with_classes(student, ("sofa", "sky"), str(path))


@pytest.mark.slow
def test_an_exported_file_has_the_new_classes(student: Student, clip: str) -> None:
    photographs = np.random.default_rng(0).integers(0, 255, (2, 96, 64, 3), dtype=np.uint8)
    planes = torch.from_numpy(photographs).permute(0, 3, 1, 2) / 255
    for names in (NAMES, ("chair", "box", "wall", "sky")):
        changed = with_classes(student, names, clip)
        run = partial(onnxruntime.InferenceSession, providers=["CPUExecutionProvider"])
        session = run(trace_student(changed).SerializeToString())
        (segment,) = session.run(["segment"], {"image": photographs})
        expected = changed(planes)["segment"].argmax(1).numpy()
        assert (segment == expected).mean() > 0.999
        assert len(np.unique(segment)) > 1


def test_a_student_of_fixed_classes_says_so(clip: str) -> None:
    with pytest.raises(ValueError, match="classes are fixed; train it with a text tower"):
        with_classes(tiny_student(), ("wall",), clip)


def test_a_tower_of_another_width_is_refused(student: Student, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"12 channels, the student was trained with 24"):
        with_classes(student, ("wall",), make_clip(tmp_path, 12))


@pytest.mark.parametrize("name", ["nowhere", "empty", "none.safetensors", "bad.safetensors"])
def test_what_is_no_tower_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.safetensors").write_text("xx")
    with pytest.raises((ValueError, FileNotFoundError), match=name) as error:
        embed_names(("sky",), str(tmp_path / name))
    assert "\n" not in str(error.value)


def test_a_tower_without_segmentation_is_refused(clip: str) -> None:
    with pytest.raises(ValueError, match="no segmentation; leave the tower out"):
        build_student(tiny_config(tasks=("depth",), classes=()), text_tower=clip)
