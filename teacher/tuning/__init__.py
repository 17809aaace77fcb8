"""Tuning: teachers trained from scratch, tuned further, or made of an existing generator."""
