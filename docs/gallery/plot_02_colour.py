"""
A colour photograph
===================

Name the axis of the colours, and they are denoised together.
"""

import matplotlib.pyplot as plt
import numpy as np
from skimage import data, img_as_float32

import fastgsm
from fastgsm.metrics import psnr

# %%
# Noise of 25 grey levels in each of red, green and blue.

clean = img_as_float32(data.chelsea())
noisy = fastgsm.datasets.add_noise(clean, 25 / 255, random_state=0)

# %%
# ``channel_axis`` is the axis of the colours, as in scikit-image. An orthonormal matrix mixes the
# channels into luminance and two opponent colours, so that the noise stays white. Nearly all of
# the detail is in the luminance. The opponent colours can be smoothed much more.

together = fastgsm.denoise(noisy, 25 / 255, channel_axis=-1)

# %%
# For comparison, we denoise each colour as a grey image. This leaves blotches of colour.

one_by_one = np.stack([fastgsm.denoise(noisy[..., i], 25 / 255) for i in range(3)], axis=-1)

# %%

zoom = (slice(60, 200), slice(90, 230))
images = {"clean": clean, "noisy": noisy, "one by one": one_by_one, "together": together}
figure, axes = plt.subplots(2, 2, figsize=(8, 8.4), layout="constrained")
for ax, (name, image) in zip(axes.flat, images.items(), strict=True):
    ax.imshow(np.clip(image[zoom], 0, 1))
    ax.set_title(name if image is clean else f"{name}: {psnr(clean, image):.2f} dB")
    ax.set_axis_off()
