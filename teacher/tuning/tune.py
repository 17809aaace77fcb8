"""Train a small generator from scratch and tune it on instructions to paint labels.

    scenes -> autoencoder -> latents -> generator of scenes -> painter of labels -> teacher folder

Every stage leaves a file in the run's folder and is passed over when that file is there, so a run
that was stopped goes on where it was.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL

from teacher.cores import usable_cores
from teacher.palette import Palette
from teacher.progress import console
from teacher.provenance import claim_run
from teacher.scenes.config import ScenesConfig
from teacher.scenes.objects import CLASSES
from teacher.scenes.shards import write_scene_shards
from teacher.tuning.autoencoder import train_autoencoder
from teacher.tuning.batches import GENERATE
from teacher.tuning.config import TuneConfig
from teacher.tuning.denoiser import Generator
from teacher.tuning.folder import write_teacher
from teacher.tuning.latents import cache_latents
from teacher.tuning.paintings import Paints, paint_shards
from teacher.tuning.recipes import RECIPES, Recipe
from teacher.tuning.stages import run_stage


def recipe_of(config: TuneConfig) -> Recipe:
    """The recipe with its budget applied; ValueError for an unknown name or a budget <= 0."""
    if config.recipe not in RECIPES:
        raise ValueError(f"unknown recipe {config.recipe!r}; known: {', '.join(RECIPES)}")
    if config.budget <= 0:
        raise ValueError(f"--budget must be above 0, got {config.budget}")
    recipe = RECIPES[config.recipe]()
    stretched = {
        stage: replace(
            getattr(recipe, stage), minutes=getattr(recipe, stage).minutes * config.budget
        )
        for stage in ("autoencoder", "base", "painting")
    }
    return replace(recipe, **stretched)


def tune(config: TuneConfig) -> Path:
    """Run all stages and return the teacher's folder."""
    recipe = recipe_of(config)
    threads = config.threads or usable_cores()
    torch.set_num_threads(threads)
    out = config.out
    claim_run(out, config, free=("threads",), recipe=recipe)
    scenes = ScenesConfig(
        out=out / "scenes",
        count=recipe.scenes,
        size_px=recipe.size_px,
        difficulty=recipe.difficulty,
        labels=True,
        per_shard=recipe.per_shard,
        workers=threads,
    )
    write_scene_shards(scenes)
    paints = Paints(Palette.distinct(CLASSES), legends=recipe.legends)
    pictures = paint_shards(
        scenes.out / "images", scenes.out / "labels", paints, out / "paintings.npy", threads
    )
    autoencoder = _autoencoder(pictures.pixels, recipe, out / "autoencoder", config.seed, threads)
    latents = cache_latents(autoencoder, pictures, paints, out / "latents.safetensors")
    torch.manual_seed(config.seed)
    generator = Generator(recipe.denoiser, (*paints.instructions, GENERATE))
    for name, stage in (("generator", recipe.base), ("painter", recipe.painting)):
        run_stage(generator, [(latents, 1.0)], stage, out, name, config.seed, threads)
    folder = out / "teacher"
    write_teacher(folder, recipe.name, autoencoder, generator, paints, recipe.size_px)
    console.log(f"teacher: {folder}")
    return folder


def _autoencoder(
    pictures: np.ndarray, recipe: Recipe, folder: Path, seed: int, workers: int
) -> AutoencoderKL:
    if not (folder / "config.json").exists():
        train_autoencoder(pictures, recipe.autoencoder, folder, seed, workers)
    return AutoencoderKL.from_pretrained(folder).eval()
