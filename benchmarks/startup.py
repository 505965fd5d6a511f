"""What a new process waits for: imports, and the first call with and without Numba's cache."""

from __future__ import annotations

FIRST_DENOISE = """
import fastgsm, numpy
fastgsm.denoise(numpy.eye(64, dtype="float32"), 0.1, quality="fast")
"""

# Kernels that were compiled earlier are in another folder.
WITHOUT_CACHE = """
import os, tempfile
folder = tempfile.TemporaryDirectory()
os.environ["NUMBA_CACHE_DIR"] = folder.name
"""


class Startup:
    """Each is timed in fresh processes."""

    # One process after another, for at least two seconds.
    number = 1
    warmup_time = 0.0

    def setup_cache(self) -> None:
        exec(FIRST_DENOISE)

    def timeraw_import_numba(self) -> str:
        """The part of `import fastgsm` that no change here can save."""
        return "import numba"

    def timeraw_import(self) -> str:
        return "import fastgsm; fastgsm.denoise"

    def timeraw_first_denoise_warm(self) -> str:
        """Imports included."""
        return FIRST_DENOISE

    def timeraw_first_denoise_cold(self) -> str:
        """Imports and compilation included."""
        return WITHOUT_CACHE + FIRST_DENOISE

    timeraw_first_denoise_cold.rounds = 1  # type: ignore[attr-defined]
    timeraw_first_denoise_cold.repeat = 1  # type: ignore[attr-defined]
