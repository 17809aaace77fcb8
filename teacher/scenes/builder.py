"""Collect the primitives of one scene in plain Python, then pack many scenes into tensors."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from teacher.scenes.materials import Material
from teacher.scenes.primitives import Kind, Primitives

FAR_BELOW_M = -1e5
"""Where padding primitives stand."""


def rotation(yaw_deg: float = 0.0, pitch_deg: float = 0.0, roll_deg: float = 0.0) -> np.ndarray:
    """Rotation matrix (3, 3): roll about z, then pitch about x, then yaw about y (up)."""
    cy, sy = math.cos(math.radians(yaw_deg)), math.sin(math.radians(yaw_deg))
    cx, sx = math.cos(math.radians(pitch_deg)), math.sin(math.radians(pitch_deg))
    cz, sz = math.cos(math.radians(roll_deg)), math.sin(math.radians(roll_deg))
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_y @ about_x @ about_z


@dataclass(frozen=True)
class Frame:
    """Where a composition stands: a point on the ground and a turn about the vertical."""

    x_m: float
    z_m: float
    yaw_deg: float = 0.0
    y_m: float = 0.0

    def place(self, local: Sequence[float]) -> np.ndarray:
        """A point of the composition in world coordinates, metres."""
        return rotation(self.yaw_deg) @ np.asarray(local, float) + [self.x_m, self.y_m, self.z_m]


ORIGIN = Frame(0.0, 0.0)


@dataclass
class SceneBuilder:
    """Primitives of one scene; `instance` counts the compositions begun so far."""

    rows: dict[Kind, list[tuple]] = field(default_factory=lambda: {kind: [] for kind in Kind})
    instance: int = 0

    def begin_instance(self) -> None:
        """What is added from here on belongs to a new object."""
        self.instance += 1

    def add(
        self,
        kind: Kind,
        segment: int,
        material: Material,
        *,
        center_m: Sequence[float],
        half_m: Sequence[float],
        frame: Frame = ORIGIN,
        turn: np.ndarray | None = None,
        shape: float = 1.0,
        background: bool = False,
    ) -> None:
        """Add a primitive of half sizes `half_m` at `center_m` in the frame, turned by `turn`."""
        turn = np.eye(3) if turn is None else turn
        to_world = rotation(frame.yaw_deg) @ turn  # columns: local axes in the world
        linear = to_world.T / np.asarray(half_m, float)[:, None]
        shift = -linear @ frame.place(center_m)
        instance = 0 if background else self.instance
        row = (np.column_stack([linear, shift]), half_m, shape, material.row(), segment, instance)
        self.rows[kind].append(row)

    def box(self, segment: int, material: Material, **where) -> None:
        """Add a box; see `add`."""
        self.add(Kind.BOX, segment, material, **where)

    def cylinder(self, segment: int, material: Material, **where) -> None:
        """Add an upright cylinder (a cone with shape 0); see `add`."""
        self.add(Kind.FRUSTUM, segment, material, **where)


def _padding_row() -> tuple:
    to_local = np.column_stack([np.eye(3), [0.0, -FAR_BELOW_M, 0.0]])
    return (to_local, (1.0, 1.0, 1.0), 0.5, Material.PADDING, 0, 0)


def pack(scenes: Sequence[SceneBuilder]) -> Primitives:
    """Tensors of all scenes, padded per kind to the fullest scene."""
    columns: list[list[tuple]] = [[] for _ in scenes]
    kinds = {}
    start = 0
    for kind in Kind:
        most = max(len(scene.rows[kind]) for scene in scenes)
        for column, scene in zip(columns, scenes):
            column += scene.rows[kind] + [_padding_row()] * (most - len(scene.rows[kind]))
        kinds[kind] = slice(start, start + most)
        start += most
    linear, half, shape, material, segment, instance = (
        np.array([[row[i] for row in column] for column in columns]) for i in range(6)
    )
    return Primitives(
        world_to_local=torch.from_numpy(linear).float(),
        scale_m=torch.from_numpy(half).float(),
        shape=torch.from_numpy(shape).float(),
        material=torch.from_numpy(material).float(),
        segment=torch.from_numpy(segment).long(),
        instance=torch.from_numpy(instance).long(),
        kinds=kinds,
    )
