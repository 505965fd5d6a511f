"""Photographs that tests in several folders use; all tests of a run share one copy of each."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.helpers import photograph


def read_only(array: NDArray[np.float64]) -> NDArray[np.float64]:
    array.flags.writeable = False
    return array


@pytest.fixture(scope="session")
def camera() -> NDArray[np.float64]:
    """Return a grey photograph of 512x512 pixels in [0, 1], read-only."""
    return read_only(photograph("camera"))


@pytest.fixture(scope="session")
def astronaut() -> NDArray[np.float64]:
    """Return a colour photograph of 512x512 pixels in [0, 1], read-only."""
    return read_only(photograph("astronaut"))
