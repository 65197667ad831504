"""Seeds: every purpose of a training has its own stream of random numbers."""

import hashlib

import torch


def seed_for(seed: int, purpose: str) -> int:
    """A seed of its own for a purpose: streams of different purposes do not overlap."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def generator_for(seed: int, purpose: str) -> torch.Generator:
    """A generator for a purpose, e.g. ``"batches"``."""
    return torch.Generator().manual_seed(seed_for(seed, purpose))
