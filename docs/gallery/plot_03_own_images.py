"""
A prior from your own images
============================

Train a model on images of the kind that you want to denoise, look at what it has learnt, and keep
it in a file.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import fastgsm
from fastgsm.metrics import psnr
from fastgsm.plot import plot_likelihood

# %%
# Here, drawings of dead leaves replace your images: four to learn from, one to test on. Use clean
# images, or the cleanest that you have.

training = [fastgsm.datasets.dead_leaves((256, 256), random_state=i) for i in range(4)]
clean = fastgsm.datasets.dead_leaves((256, 256), random_state=4)
patches = fastgsm.sample_patches(training, patch_size=8, n_patches=20_000, random_state=0)
patches.shape

# %%
# We fit a mixture of 16 shapes at 4 scales each, and two smaller models for comparison.
# ``lower_bounds_`` is the log-likelihood at each iteration of EM, which never falls.

models = {
    "MVN": fastgsm.MVN().fit(patches),
    "GSM": fastgsm.GSM().fit(patches),
    "MoGSM": fastgsm.MoGSM(n_components=16, n_scales=4, tol=0.01, random_state=0).fit(patches),
}
figure, ax = plt.subplots(figsize=(8, 4), layout="constrained")
plot_likelihood(models, ax=ax)
ax.set_title("Learning")

# %%
# The eigenvectors of a shape's covariance are the patterns that make up its patches. Each row
# shows one of the most frequent shapes, with its strongest patterns first.

model = models["MoGSM"]
# sphinx_gallery_thumbnail_number = 2
frequent = np.argsort(model.weights_.sum(axis=1))[::-1][:6]
figure, axes = plt.subplots(6, 8, figsize=(7, 5.6), layout="constrained")
figure.suptitle("Patterns of six shapes")
for row, k in zip(axes, frequent, strict=True):
    for i, ax in enumerate(row):
        ax.imshow(model.eigenvectors_[k, :, i].reshape(8, 8), cmap="gray")
        ax.set_axis_off()

# %%
# Only the prior is replaced. The method is still that of the quality.

noisy = fastgsm.datasets.add_noise(clean, 0.1, random_state=0)
images = {
    "noisy": noisy,
    "bundled prior": fastgsm.denoise(noisy, 0.1),
    "own prior": fastgsm.denoise(noisy, 0.1, prior=model),
}
figure, axes = plt.subplots(1, 3, figsize=(10, 3.7), layout="constrained")
for ax, (name, image) in zip(axes, images.items(), strict=True):
    ax.imshow(image[64:192, 64:192], cmap="gray", vmin=0, vmax=1)
    ax.set_title(f"{name}: {psnr(clean, image):.2f} dB")
    ax.set_axis_off()

# %%
# A saved model is a plain NumPy archive. The command line can use it too: ``fastgsm denoise
# noisy.png clean.png --prior leaves.npz``.

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "leaves.npz"
    model.save(path)
    print(f"{path.stat().st_size / 1024:.0f} KiB")
    again = fastgsm.load(path)
again
