"""Tune a teacher further on labelled photographs, such as an imported data set.

    labelled sets -> crops -> latents -> painter of their labels -> teacher folder

Procedural scenes are mixed in, so that a teacher keeps the depth and normals that a set may lack.
Each set brings what it knows: classes, depth, normals, or parts of them.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from diffusers import AutoencoderKL

from teacher.cores import usable_cores
from teacher.depth import codec_from_json
from teacher.label import card_palette, teacher_size
from teacher.painters import open_teacher
from teacher.painters.card import TeacherCard
from teacher.palette import Palette
from teacher.progress import console
from teacher.provenance import claim_run
from teacher.sample import Labels
from teacher.scenes.config import ScenesConfig
from teacher.scenes.shards import write_scene_shards
from teacher.shards import image_shards, read_pairs
from teacher.tuning.batches import GENERATE
from teacher.tuning.config import AdaptConfig
from teacher.tuning.crops import Crops
from teacher.tuning.folder import read_teacher, write_teacher
from teacher.tuning.latents import LatentSet, cache_latents
from teacher.tuning.paintings import Paints, paint_shards
from teacher.tuning.stages import StageConfig, run_stage


def adapt(config: AdaptConfig) -> Path:
    """Run all of it and return the teacher's folder."""
    teacher = open_teacher(config.teacher)
    card = teacher.painter_card
    threads = config.threads or usable_cores()
    torch.set_num_threads(threads)
    samples = [first_labels(folder) for folder in config.sets]
    palette = shared_palette(samples, config.sets, card_palette(card))
    paints = Paints(palette, codec_from_json(card.depth_codec), config.legends)
    out = config.out
    claim_run(out, config, free=("threads",), teacher=card.identity())
    autoencoder, generator = read_teacher(teacher.folder, (*paints.instructions, GENERATE))
    sets = [
        _latents_of_crops(config, number, sample, card, paints, autoencoder, threads)
        for number, sample in enumerate(samples)
    ]
    if config.scenes:
        sets.append(_latents_of_scenes(config, card, paints, autoencoder, threads))
    stage = StageConfig(minutes=config.minutes, learning_rate=config.learning_rate)
    weighted = [(latents, 1.0) for latents in sets]
    run_stage(generator, weighted, stage, out, "painter", config.seed, threads)
    folder = out / "teacher"
    write_teacher(
        folder,
        f"{teacher.card.name}, adapted",
        autoencoder,
        generator,
        paints,
        teacher.card.resolution_px,
        licence=f"{teacher.card.licence}; tuned on photographs whose licences also bind",
    )
    console.log(f"teacher: {folder}")
    return folder


def first_labels(folder: Path) -> Labels:
    """The first label of a set. Raises FileNotFoundError or ValueError when there is none."""
    for shard in image_shards(folder / "images"):
        labelled = folder / "labels" / shard.name
        for _, _, labels in read_pairs(shard, labelled) if labelled.exists() else ():
            return labels
    raise ValueError(f"{folder}: holds no labels; import labelled photographs")


def shared_palette(samples: Sequence[Labels], folders: Sequence[Path], own: Palette) -> Palette:
    """The palette of the classes that the sets have in common; the teacher's own without any.

    Raises ValueError when two sets have other classes.
    """
    named = [(labels.classes, folder) for labels, folder in zip(samples, folders) if labels.classes]
    if not named or named[0][0] == own.names:
        classes, palette = own.names, own
    else:
        classes, palette = named[0][0], Palette.distinct(named[0][0])
    for found, folder in named:
        if found != classes:
            raise ValueError(
                f"{folder} has the classes {list(found)} and {named[0][1]} has {list(classes)}: "
                "tune on sets of the same classes, or leave classes out with --tasks when importing"
            )
    return palette


def _latents_of_crops(
    config: AdaptConfig,
    number: int,
    sample: Labels,
    card: TeacherCard,
    paints: Paints,
    autoencoder: AutoencoderKL,
    threads: int,
) -> LatentSet:
    folder = config.sets[number]
    height_px, width_px = teacher_size(*sample.size, card)
    crops = Crops(height_px=height_px, width_px=width_px, count=config.crops, seed=config.seed)
    cache = config.out / f"set{number}.npy"
    images, labels = folder / "images", folder / "labels"
    pictures = paint_shards(images, labels, paints, cache, threads, crops=crops)
    return cache_latents(autoencoder, pictures, paints, cache.with_suffix(".safetensors"))


def _latents_of_scenes(
    config: AdaptConfig,
    card: TeacherCard,
    paints: Paints,
    autoencoder: AutoencoderKL,
    threads: int,
) -> LatentSet:
    """Depth and normals of scenes; their classes too where the teacher keeps its own."""
    folder = config.out / "scenes"
    write_scene_shards(
        ScenesConfig(
            out=folder,
            count=config.scenes,
            size_px=card.resolution_px,
            labels=True,
            workers=threads,
        )
    )
    keeps_classes = paints.palette.names == card.classes
    pictures = paint_shards(
        folder / "images",
        folder / "labels",
        paints,
        config.out / "scenes.npy",
        threads,
        tasks=None if keeps_classes else ("depth", "normal"),
    )
    return cache_latents(autoencoder, pictures, paints, config.out / "scenes.safetensors")
