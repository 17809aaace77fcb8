"""Tuning of an existing image generator, so that it paints labels and stays a generator."""
