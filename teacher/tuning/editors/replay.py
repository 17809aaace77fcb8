"""The generator's own data, as latents: captioned photographs, or pictures that it made itself.

Mixed into tuning it keeps the generator a generator, as in arXiv 2604.20329: there vision data is
mixed into the generator's training data. Where that data is not at hand, what the generator
paints before it is tuned stands for it.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import torch

from teacher.atomic import write_atomically
from teacher.members import PHOTO_SUFFIXES
from teacher.painters.card import TeacherCard
from teacher.painters.editor import Editor, Prompt
from teacher.progress import track
from teacher.sample import decode_photograph
from teacher.shards import image_shards, read_shard
from teacher.tuning.crops import Crops
from teacher.tuning.editors.config import EditorTuneConfig, Replay
from teacher.tuning.editors.embeddings import cache_embeddings, known_texts
from teacher.tuning.editors.examples import encode_pictures, latent_shape, nearest_size
from teacher.tuning.editors.latent_files import Bucket, write_latents
from teacher.tuning.editors.sampling import draw_latents

CAPTION = "txt"
PROMPTS = tuple(
    f"A photograph of {scene}."
    for scene in (
        "a kitchen with wooden cupboards in the morning",
        "a living room with a sofa, a lamp and a bookshelf",
        "an empty corridor of an office",
        "a street with parked cars after rain",
        "a mountain lake under a clear sky",
        "a market stall with fruit and vegetables",
        "a dog running on a beach",
        "two people talking at a table",
        "a train station hall with high windows",
        "a forest path in autumn",
        "a bicycle leaning on a brick wall",
        "a bowl of soup on a checked tablecloth",
        "a harbour with small boats at dusk",
        "a child building a tower of blocks",
        "a desk with a laptop, papers and a cup",
        "a field of snow with a wooden fence",
    )
)
"""What a generator is asked for when there are neither photographs nor prompts."""


@dataclass(frozen=True)
class ReplayData:
    """Pictures of the generator's own kind, and what it was asked for."""

    file: Path
    """Their latents, as teacher.tuning.editors.latent_files writes them."""
    embedded: Prompt
    """The prompts embedded; an example's instruction is a row of them."""


def cache_replay(
    editor: Editor, card: TeacherCard, config: EditorTuneConfig, folder: Path
) -> ReplayData:
    """Collect or generate the pictures once into `folder`.

    A base without text encoders is asked for what its card calls "generate".
    Raises FileNotFoundError for a missing list of prompts; ValueError for an empty one and for
    shards without captions.
    """
    settings, file, listed = config.replay, folder / "replay.safetensors", folder / "replay.json"
    if not listed.exists():
        if known_texts(editor.folder, card) is not None:
            texts = _generate_text(card, settings)
        else:
            texts = _encode_captioned(editor, config, file) if settings.images else _asked(settings)
        write_atomically(listed, json.dumps(texts, indent=2).encode())
    texts = json.loads(listed.read_text(encoding="utf-8"))
    embedded = cache_embeddings(editor, card, texts, folder / "replay_prompts.safetensors")
    if not file.exists():
        _generate(editor, config, embedded, len(texts), file)
    return ReplayData(file, embedded)


def _generate_text(card: TeacherCard, settings: Replay) -> list[str]:
    """The one prompt of a base without text encoders."""
    if settings.images or settings.prompts or "generate" not in card.instructions:
        raise ValueError(
            f"{card.path_or_hub_id} has no text encoders to embed captions or prompts with: take a "
            "folder that has them, or one whose teacher.json has the instruction 'generate'"
        )
    return [card.instructions["generate"]]


def _asked(settings: Replay) -> list[str]:
    """The prompts of generated pictures."""
    if settings.prompts is None:
        return list(PROMPTS)
    if not settings.prompts.is_file():
        raise FileNotFoundError(f"{settings.prompts} is missing: a text file, one prompt a line")
    lines = settings.prompts.read_text(encoding="utf-8").splitlines()
    if texts := [line.strip() for line in lines if line.strip()]:
        return texts
    raise ValueError(f"{settings.prompts} is empty: write one prompt a line")


def _encode_captioned(editor: Editor, config: EditorTuneConfig, file: Path) -> list[str]:
    """Encode the first photographs that have a caption; returns the captions."""
    assert config.replay.images is not None
    buckets, captions = {size: Bucket() for size in config.buckets()}, []
    found = islice(captioned(config.replay.images), config.replay.pictures)
    for key, caption, data in track(found, "photographs", total=config.replay.pictures):
        photo = decode_photograph(data)
        size = nearest_size((photo.shape[0], photo.shape[1]), tuple(buckets))
        crops = Crops(height_px=size[0], width_px=size[1], seed=config.seed)
        (seen,) = crops.of_photograph(key, photo)
        number = len(captions)
        buckets[size].add_picture(encode_pictures(editor, seen[None])[0], number, number)
        captions.append(caption)
    if len(captions) <= config.replay.held_out:
        raise ValueError(
            f"{config.replay.images}: {len(captions)} photographs have a caption (KEY.txt beside "
            f"KEY.jpg); more than --replay.held_out ({config.replay.held_out}) are needed"
        )
    write_latents(file, buckets)
    return captions


def captioned(images: Path) -> Iterator[tuple[str, str, bytes]]:
    """Key, caption and bytes of the photographs that have a caption."""
    for shard in image_shards(images):
        for sample in read_shard(shard, suffixes=(*PHOTO_SUFFIXES, CAPTION)):
            photo = next((sample.members[s] for s in PHOTO_SUFFIXES if s in sample.members), None)
            if photo and CAPTION in sample.members:
                yield sample.key, sample.members[CAPTION].decode("utf-8").strip(), photo


def _generate(
    editor: Editor, config: EditorTuneConfig, embedded: Prompt, prompts: int, file: Path
) -> None:
    """Let the generator make pictures, the buckets by turns, every one from a seed of its own."""
    settings, buckets = config.replay, {size: Bucket() for size in config.buckets()}
    shapes = {size: latent_shape(editor, size) for size in buckets}
    asked = list(zip(prompt_rows(prompts, settings), cycle(buckets)))
    for number, (prompt, size) in enumerate(track(asked, "the generator's own")):
        chance = torch.Generator().manual_seed(config.seed + number)
        start = torch.randn(1, *shapes[size], generator=chance)
        rows = embedded.rows(torch.tensor([prompt]))
        (latents,) = draw_latents(editor, start, None, rows, settings.steps)
        buckets[size].add_picture(latents, prompt, number)
    write_latents(file, buckets)


def prompt_rows(prompts: int, settings: Replay) -> list[int]:
    """The prompt of each picture: the last pictures, which are held out, have their own."""
    reserved = min(settings.held_out, prompts // 4)
    learned, kept = range(prompts - reserved), range(prompts - reserved, prompts)
    first = islice(cycle(learned), settings.pictures - settings.held_out)
    return [*first, *islice(cycle(kept or learned), settings.held_out)]
