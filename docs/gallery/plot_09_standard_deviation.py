"""
How sure is each pixel?
=======================

``return_std=True`` returns the expected error of every pixel in addition to its value.
"""

import matplotlib.pyplot as plt
import numpy as np
from skimage import data, img_as_float32

import fastgsm

# %%
# It comes from a single pass, whose posterior says how certain each patch is.

clean = img_as_float32(data.camera())
noisy = fastgsm.datasets.add_noise(clean, 0.1, random_state=0)
denoised, std = fastgsm.denoise(noisy, 0.1, quality="fast", return_std=True)

# %%
# In the sky many pixels share one grey level, so it is well known. Along edges the noise can
# hardly be distinguished from the image. The true error, which we know here, shows the same. It
# also shows the grass: the noise hides it so well that the prior mistakes it for a smooth lawn, and
# is too sure of that.

error = np.abs(denoised - clean)
figure, axes = plt.subplots(1, 3, figsize=(10.5, 3.6), layout="constrained")
axes[0].imshow(denoised, cmap="gray", vmin=0, vmax=1)
axes[0].set_title("denoised")
axes[1].imshow(std, cmap="magma", vmin=0, vmax=0.1)
axes[1].set_title("expected standard deviation")
shown = axes[2].imshow(error, cmap="magma", vmin=0, vmax=0.1)
axes[2].set_title("size of the true error")
figure.colorbar(shown, ax=axes[1:], shrink=0.8)
for ax in axes:
    ax.set_axis_off()

# %%
# We sort the pixels by their expected error into twenty groups. On the diagonal, the errors of a
# group are as large as expected. The order is right, but flat areas are better than expected, and
# hidden texture is worse.

order = np.argsort(std, axis=None)
groups = [group for group in np.array_split(order, 20)]
expected = [np.sqrt(np.mean(std.flat[group] ** 2)) for group in groups]
found = [np.sqrt(np.mean(error.flat[group] ** 2)) for group in groups]

figure, ax = plt.subplots(figsize=(5, 4.4), layout="constrained")
ax.plot(expected, found, "o")
ax.axline((0, 0), slope=1, color="grey", linewidth=1)
ax.set(xlabel="expected standard deviation", ylabel="root mean square of the errors")
ax.set(xlim=(0, None), ylim=(0, None), title="Expected and true errors")
ax.grid(alpha=0.3)

# %%
# Over the whole image, the errors divided by the expected ones have a standard deviation near 1.

print(f"{np.std((denoised - clean) / std):.2f}")
