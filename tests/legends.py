"""A tiny teacher with three legends."""

import itertools
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tiny import PALETTE, write_card

TASKS = ("depth", "normal", "segment", "segment@1", "segment@2", "generate")


def with_legends(folder: Path, **fields: object) -> Path:
    """Give a folder of tiny.build_teacher two further legends; `fields` as there."""
    path = folder / "instructions.safetensors"
    tensors = load_file(path)
    for name, part in itertools.product(("segment@1", "segment@2"), ("prompt_embeds", "pooled")):
        tensors[f"{name}.{part}"] = torch.randn_like(tensors[f"segment.{part}"])
    save_file(tensors, path)
    dealt = [[*PALETTE[turn:], *PALETTE[:turn]] for turn in (1, 2)]
    instructions = {name: f"paint {name}" for name in TASKS}
    write_card(folder, legends=dealt, instructions=instructions, **fields)
    return folder
