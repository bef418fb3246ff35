"""Vectors of integers: how far apart they are, how they are drawn, how they are written, and how they are compared."""

from tasks.vectors.ball import Ball, Cube
from tasks.vectors.base import Alpha, Norm
from tasks.vectors.box import Box
from tasks.vectors.tokens import Tokens
from tasks.vectors.traces import Comparison

__all__ = ["Alpha", "Ball", "Box", "Comparison", "Cube", "Norm", "Tokens"]
