"""
A grey photograph
=================

The three qualities of :func:`fastgsm.denoise`, with one line of code for each.
"""

import matplotlib.pyplot as plt
from skimage import data, img_as_float32

import fastgsm
from fastgsm.metrics import psnr

# %%
# We add white noise of a known strength to a photograph, so that we can measure how well it is
# removed.

clean = img_as_float32(data.camera())
noisy = fastgsm.datasets.add_noise(clean, 25 / 255, random_state=0)

# %%
# With an image of your own you would start here. If you know how strong its noise is, give `sigma`.
# Otherwise it is estimated, as by :func:`fastgsm.estimate_sigma`.

print(f"estimated {255 * fastgsm.estimate_sigma(noisy):.1f} of 255, truth 25")

images = {"noisy": noisy}
for quality in ("fast", "balanced", "best"):
    images[quality] = fastgsm.denoise(noisy, quality=quality)

# %%
# ``"fast"`` makes four short passes. ``"balanced"`` chooses among many kinds of patches, at two
# scales. ``"best"`` refines that result with similar patches of the image itself, which helps
# most if an image repeats itself.

zoom = (slice(60, 240), slice(150, 330))
figure, axes = plt.subplots(2, 2, figsize=(8, 8.4), layout="constrained")
for ax, (name, image) in zip(axes.flat, images.items(), strict=True):
    ax.imshow(image[zoom], cmap="gray", vmin=0, vmax=1)
    ax.set_title(f"{name}: {psnr(clean, image):.2f} dB")
    ax.set_axis_off()
