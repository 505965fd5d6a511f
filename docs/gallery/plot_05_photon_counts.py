"""
Photon counts
=============

In dim light the noise is in the light itself. A pixel that expects ten photons gets ten, give or
take three. A pixel that expects a thousand gets a thousand, give or take thirty.
"""

import matplotlib.pyplot as plt
import numpy as np
from skimage import color, data

import fastgsm

# %%
# A micrograph of stained tissue, as if counted by a fluorescence camera that catches 30 photons at
# the brightest pixel.

light = 30 * (1 - color.rgb2gray(data.immunohistochemistry()))[:256, 200:456]
counts = np.random.default_rng(0).poisson(light)
print(f"{counts.min()} to {counts.max()} photons, {counts.mean():.1f} on average")

# %%
# ``noise="poisson"`` is for plain counts. They are transformed so that their noise has the same
# strength everywhere, denoised, and transformed back without bias. Counts given as floats are
# restored to fractions of a photon. Integers would be rounded.

counts = counts.astype(np.float32)
restored = fastgsm.denoise(counts, noise="poisson")


def error(image):
    """Return the root mean square of the errors, each divided by the counts' expected error."""
    return float(np.sqrt(np.mean((image - light) ** 2 / np.maximum(light, 1))))


images = {"light": light, "counts": counts, "restored": restored}
figure, axes = plt.subplots(1, 3, figsize=(10, 3.7), layout="constrained")
for ax, (name, image) in zip(axes, images.items(), strict=True):
    ax.imshow(image, cmap="gray", vmin=0, vmax=light.max())
    ax.set_title(name if image is light else f"{name}: error {error(image):.2f}")
    ax.set_axis_off()

# %%
# A camera multiplies its counts, adds an offset, and adds noise of its own when it reads them out.
# Its data sheet, or a few dark and flat frames, provide the three numbers for ``noise``. The result
# is again in the camera's units.

gain, offset, read_noise = 2.0, 100.0, 3.0
rng = np.random.default_rng(1)
frame = np.rint(gain * rng.poisson(light) + offset + rng.normal(0, read_noise, light.shape))
frame = frame.astype(np.uint16)
restored = fastgsm.denoise(frame, noise=(gain, offset, read_noise))
print(restored.dtype, f"error {error((restored - offset) / gain):.2f}")
