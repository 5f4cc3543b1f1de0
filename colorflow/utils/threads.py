"""How torch's threads wait, settled before torch is there."""

from __future__ import annotations

import os


def wait_passively() -> None:
    """Let torch's threads sleep while they wait for each other, unless ``OMP_WAIT_POLICY`` says otherwise.

    By themselves they spin. Beside other work on the same cores, a thread that spins keeps the one that it waits for
    from its core, and a training takes many times as long. OpenMP reads the variable once, when torch is first
    imported: GNU's, which torch's wheels for Linux bring, and LLVM's and Intel's alike. To wake a thread costs
    microseconds; that is little on a quiet CPU, and nothing beside a GPU, whose work no OpenMP thread does. So it holds
    everywhere.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
