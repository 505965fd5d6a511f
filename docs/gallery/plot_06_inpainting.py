"""
Missing pixels
==============

Scratches, dead pixels, a time stamp: say which pixels can be trusted, and the prior fills in the
others.
"""

import matplotlib.pyplot as plt
import numpy as np
from skimage import data, img_as_float32
from skimage.draw import line

import fastgsm
from fastgsm.metrics import psnr

# %%
# We add some noise and some scratches, and make a tenth of the pixels dead.

clean = img_as_float32(data.camera())[20:276, 120:376]
noisy = fastgsm.datasets.add_noise(clean, 0.04, random_state=0)

rng = np.random.default_rng(0)
trusted = rng.random(clean.shape) > 0.1
for _ in range(12):
    rows, cols = line(*rng.integers(0, 254, 4))
    for wide in range(3):
        trusted[rows, cols + np.minimum(wide, 255 - cols)] = False

# %%
# ``mask`` is True where a pixel is to be trusted. The values of the others do not matter. NaN
# counts as missing even without a mask.

filled = fastgsm.denoise(noisy, 0.04, mask=trusted)

spoilt = np.where(trusted, noisy, np.nan)
np.array_equal(filled, fastgsm.denoise(spoilt, 0.04))

# %%

colours = plt.get_cmap("gray").with_extremes(bad="tab:red")
figure, axes = plt.subplots(1, 3, figsize=(10, 3.7), layout="constrained")
for ax, image in zip(axes, (clean, spoilt, filled), strict=True):
    ax.imshow(image, cmap=colours, vmin=0, vmax=1)
    ax.set_axis_off()
axes[0].set_title("clean")
axes[1].set_title(f"{np.mean(~trusted):.0%} missing, noise 0.04")
axes[2].set_title(f"filled and denoised: {psnr(clean, filled):.2f} dB")
