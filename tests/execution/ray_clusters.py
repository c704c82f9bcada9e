"""Ray clusters whose nodes are all on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from dvbench.execution.ray_cluster import SETTINGS


def start_cluster(monkeypatch: pytest.MonkeyPatch, cores: Sequence[int], **variables: str) -> Any:
    """Start a cluster of a node for each number of cores, the head first; the caller calls its ``shutdown()``.

    On a busy machine a node may not be up within Ray's own 30 seconds, so it is tried several times.
    """
    pytest.importorskip("ray", reason="ray (dvbench[ray]) is not installed")
    from ray.cluster_utils import Cluster

    for name, value in {**SETTINGS, **variables}.items():
        monkeypatch.setenv(name, value)
    for attempt in range(9):
        nodes = Cluster()
        try:
            nodes.add_node(num_cpus=cores[0], include_dashboard=False)
            nodes.others = [nodes.add_node(num_cpus=each) for each in cores[1:]]
            break
        except Exception as error:  # of this class itself
            nodes.shutdown()
            if attempt == 8 or "timed out during startup" not in str(error):
                raise
    return nodes
