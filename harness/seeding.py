"""Every random number of the house comes from ``rng(seed, stream, index)``: three values, no global state."""

import hashlib

import numpy as np


def rng(seed: int, stream: str, index: int) -> np.random.Generator:
    """The generator of one draw: equal triples give equal streams, others independent ones, on every platform.

    ``stream`` says what is drawn (``train/boundary/16``, ``test/broad/64``, ``weights``), ``index`` which draw it is.
    """
    key = hashlib.sha256(f"{seed}\n{stream}\n{index}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(key, "little")))
