"""
Texture
=======

A material has fewer kinds of patches than photographs in general. A prior learnt from one part of a
brick wall knows the rest of the wall.
"""

import matplotlib.pyplot as plt
from skimage import data, img_as_float32

import fastgsm
from fastgsm.metrics import psnr

# %%
# We learn from the left half and denoise the right half.

wall = img_as_float32(data.brick())
left, right = wall[:, :256], wall[:, 256:]
noisy = fastgsm.datasets.add_noise(right, 0.1, random_state=0)

# %%
# A Gaussian scale mixture learns one covariance: the rhythm of the bricks. With ``quality="fast"``
# both calls do the same work under different priors.

patches = fastgsm.sample_patches(left, n_patches=30_000, random_state=0)
model = fastgsm.GSM(n_scales=6).fit(patches)
images = {
    "noisy": noisy,
    "prior of photographs": fastgsm.denoise(noisy, 0.1, quality="fast", prior="gsm"),
    "prior of this wall": fastgsm.denoise(noisy, 0.1, quality="fast", prior=model),
}

# %%

figure, axes = plt.subplots(1, 3, figsize=(10, 4), layout="constrained")
for ax, (name, image) in zip(axes, images.items(), strict=True):
    ax.imshow(image[100:270, :170], cmap="gray", vmin=0.2, vmax=0.8)
    ax.set_title(f"{name}: {psnr(right, image):.2f} dB")
    ax.set_axis_off()

# %%
# The bundled prior of ``quality="balanced"`` has 64 shapes to choose from. One of them usually
# suits a texture, so a small model of your own has less to gain.

balanced = fastgsm.denoise(noisy, 0.1)
print(f"balanced, with the bundled prior: {psnr(right, balanced):.2f} dB")
