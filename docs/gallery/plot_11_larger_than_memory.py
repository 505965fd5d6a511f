"""
Larger than memory
==================

An image that does not fit into memory is denoised tile by tile, from one file to another. The tiles
leave no seams: the result has the same bits as that of the whole image.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import fastgsm

# %%
# A small image replaces a large one here. Both files are mapped into memory, so that only the parts
# in use are loaded. Zarr arrays and HDF5 data sets work as well.

folder = tempfile.TemporaryDirectory()
clean = fastgsm.datasets.dead_leaves((384, 512), random_state=0).astype(np.float32)
np.save(Path(folder.name) / "noisy.npy", fastgsm.datasets.add_noise(clean, 0.1, random_state=0))
noisy = np.load(Path(folder.name) / "noisy.npy", mmap_mode="r")

# %%
# The checkpoint lists the finished tiles. If the program is stopped, running the same lines again
# resumes from there. The result must then be opened with "r+", because "w+" would empty it.

done = Path(folder.name) / "done.txt"
out = np.lib.format.open_memmap(
    Path(folder.name) / "clean.npy",
    mode="r+" if done.exists() else "w+",
    shape=noisy.shape,
    dtype=noisy.dtype,
)

# %%
# The noise level is estimated once, from the whole image.

fastgsm.denoise_tiles(noisy, out, tile=128, checkpoint=done)

# %%
# The result is the same as that of :func:`fastgsm.denoise`, with the whole image in memory.

assert np.array_equal(out, fastgsm.denoise(noisy))

# %%

figure, axes = plt.subplots(1, 2, figsize=(11, 4.3), layout="constrained")
for ax, (name, image) in zip(axes, {"noisy": noisy, "denoised": out}.items(), strict=True):
    ax.imshow(image, cmap="gray", vmin=0, vmax=1)
    ax.set_title(name)
    ax.set_axis_off()
for ax in axes:
    for edge in range(128, 512, 128):
        ax.axvline(edge, color="tab:orange", linewidth=0.7, alpha=0.6)
        ax.axhline(min(edge, 384), color="tab:orange", linewidth=0.7, alpha=0.6)
