"""
A noise level for each pixel
============================

If the noise differs over an image and you know how, give a map of its level. Certain pixels then
help to restore uncertain ones.
"""

import matplotlib.pyplot as plt
import numpy as np
from skimage import data, img_as_float32

import fastgsm
from fastgsm.metrics import psnr

# %%
# The noise grows towards the right, as it does near the edge of a lens after its shading is
# corrected.

clean = img_as_float32(data.coins())[20:276, 40:360]
height, width = clean.shape
level = np.broadcast_to(np.linspace(0.01, 0.2, width), clean.shape)
noisy = fastgsm.datasets.add_noise(clean, level, random_state=0)

# %%
# A single number for all pixels is a compromise. It smooths too much on the left and leaves noise
# on the right.

images = {
    "noisy": noisy,
    "one level": fastgsm.denoise(noisy, float(np.sqrt(np.mean(level**2)))),
    "map of levels": fastgsm.denoise(noisy, level),
}

# %%

figure, axes = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
for ax, (name, image) in zip(axes, images.items(), strict=True):
    ax.imshow(image, cmap="gray", vmin=0, vmax=1)
    ax.set_title(f"{name}: {psnr(clean, image):.2f} dB")
    ax.set_axis_off()
