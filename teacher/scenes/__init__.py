"""Procedural scenes: rooms and outdoor places with exact depth, normals, class and instance ids."""
