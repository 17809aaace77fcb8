"""Rendering speed: scenes per second on one thread, at the sizes that training uses."""

import pytest
import torch

from teacher.scenes.render import render_scenes

SCENES = 8


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("size_px", [128, 256])
def test_render(benchmark, one_thread, size_px):
    seeds = range(SCENES)
    benchmark.pedantic(render_scenes, (seeds, size_px), rounds=5, warmup_rounds=1)
    benchmark.extra_info["scenes_per_s"] = SCENES / benchmark.stats.stats.median
