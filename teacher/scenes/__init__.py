"""Procedural scenes: rooms and outdoor places with exact depth, normals, class and instance ids."""

from teacher.scenes.objects import CLASSES
from teacher.scenes.render import SceneBatch, render_scenes

__all__ = ["CLASSES", "SceneBatch", "render_scenes"]
