"""Decoders by name. Each takes the backbone's levels, its channels and the names of the tasks.

`forward(features, image)` gives the features (B, dim, H / stride, W / stride) of each task, and
`head(channels)` a head that paints them as (B, channels, H, W).
"""

from student.dpt import DPT
from student.pyramid import Pyramid, ResidualPyramid

DECODERS = {"pyramid": Pyramid, "residual": ResidualPyramid, "dpt": DPT}
