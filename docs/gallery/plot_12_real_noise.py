"""
Real noise
==========

The noise of real images is seldom white, and seldom does anybody know its level. ``denoise`` finds
its kind and its level in the image.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.ndimage import gaussian_filter
from skimage import data, img_as_float32

import fastgsm
from fastgsm.metrics import psnr
from fastgsm.plot import plot_noise

# %%
# :func:`fastgsm.datasets.camera_noise` simulates a camera in weak light. The camera sees one colour
# at each pixel, interpolates the others and smooths the result. This correlates the noise between
# pixels and between colours. The same photograph without noise is the reference for the PSNR.

image = img_as_float32(data.chelsea())
clean = fastgsm.datasets.camera_noise(image, photons=np.inf)
noisy = fastgsm.datasets.camera_noise(image, photons=200, random_state=0)

# %%
# White noise is equally strong at all frequencies, so its level can be measured at the highest
# ones. The camera has smoothed these away. If the noise is taken for white, its level is nearly 0,
# and the noise stays. Without arguments, ``denoise`` recognises a camera's photograph.

as_white = fastgsm.denoise(noisy, noise="white", channel_axis=-1)
told_nothing = fastgsm.denoise(noisy, channel_axis=-1)

zoom = (slice(60, 200), slice(90, 230))
images = {"clean": clean, "noisy": noisy, "taken for white": as_white, "told nothing": told_nothing}
figure, axes = plt.subplots(2, 2, figsize=(8, 8.4), layout="constrained")
for ax, (name, picture) in zip(axes.flat, images.items(), strict=True):
    ax.imshow(np.clip(picture[zoom], 0, 1))
    ax.set_title(name if picture is clean else f"{name}: {psnr(clean, picture):.2f} dB")
    ax.set_axis_off()

# %%
# :func:`fastgsm.estimate_noise` returns what was found. For a photograph, ``sigma`` is the level of
# the white noise that restores best, for each channel.

print(fastgsm.estimate_noise(noisy, kind="white", channel_axis=-1))
print(fastgsm.estimate_noise(noisy, channel_axis=-1))

# %%
# A dark frame, or a flat part of an image, shows the noise alone, and ``from_samples`` measures it.
# Here a detector blurs its own noise. :func:`fastgsm.plot.plot_noise` draws the level of the noise
# at every spatial frequency. The level that is measured in the image itself is nearly the same. It
# is too high only at the lowest frequencies, where the picture is strongest.


def detector_noise(shape, random_state):
    """Return blurred noise of standard deviation 0.06, with a little white noise."""
    rng = np.random.default_rng(random_state)
    blurred = gaussian_filter(rng.standard_normal(shape), 0.8)
    return 0.06 * blurred / blurred.std() + 0.01 * rng.standard_normal(shape)


clean = img_as_float32(data.camera())
noisy = (clean + detector_noise(clean.shape, 0)).astype(np.float32)
measured = fastgsm.NoiseModel.from_samples(detector_noise((256, 256), 1))
found = fastgsm.estimate_noise(noisy)
models = {"from a dark frame": measured, "from the image": found}

figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for number, (name, model) in enumerate(models.items()):
    plot_noise(model, ax)
    ax.lines[-1].set(label=f"{name}: sigma {model.level:.3f}", color=f"C{number}")
ax.legend(frameon=False)

# %%
# White noise of the same standard deviation is a poor model. The denoiser then leaves noise at low
# frequencies and removes detail at high ones.

images = {
    "noisy": noisy,
    "white, same sigma": fastgsm.denoise(noisy, measured.level),
    "dark frame": fastgsm.denoise(noisy, noise=measured),
    "told nothing": fastgsm.denoise(noisy),
}
zoom = (slice(60, 260), slice(140, 340))
figure, axes = plt.subplots(2, 2, figsize=(8, 8.4), layout="constrained")
for ax, (name, picture) in zip(axes.flat, images.items(), strict=True):
    ax.imshow(picture[zoom], cmap="gray", vmin=0, vmax=1)
    ax.set_title(f"{name}: {psnr(clean, picture):.2f} dB")
    ax.set_axis_off()
