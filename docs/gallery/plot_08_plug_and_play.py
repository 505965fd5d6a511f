"""
Deblurring with the denoiser as a prior
=======================================

A denoiser knows what images look like, and an optimiser can use it as a prior: "plug and play".
Here it removes the blur from a photograph.
"""

import matplotlib.pyplot as plt
import numpy as np
from skimage import data, img_as_float32

import fastgsm
from fastgsm.metrics import psnr

# %%
# We blur over 9x9 pixels, by a product of Fourier transforms, and add a little noise.

clean = img_as_float32(data.camera())[0:320, 100:420]
box = np.zeros_like(clean)
box[:9, :9] = 1 / 81
blur = np.fft.rfft2(np.roll(box, (-4, -4), axis=(0, 1)))
sigma = 0.01
blurred = np.fft.irfft2(blur * np.fft.rfft2(clean), clean.shape)
blurred = fastgsm.datasets.add_noise(blurred, sigma, random_state=0)

# %%
# We look for an image x that the prior finds likely and that, when blurred, is near the recorded
# image y. Half-quadratic splitting adds a second image z, which is pulled towards x ever more
# strongly, and alternates between two steps:
#
# - the data step solves a least-squares problem for x with the Fourier transform:
#   ``|A x - y|^2 / sigma^2 + |x - z|^2 / t^2``;
# - the prior's step treats the errors of x as noise of strength t, and denoises x to get z.

data_part = np.conj(blur) * np.fft.rfft2(blurred) / sigma**2
z = blurred
quality = []
for t in np.geomspace(0.2, 0.01, 10).tolist():
    x = (data_part + np.fft.rfft2(z) / t**2) / (np.abs(blur) ** 2 / sigma**2 + 1 / t**2)
    x = np.fft.irfft2(x, clean.shape)
    z = fastgsm.denoise(x, t)
    quality.append(psnr(clean, z))

# %%

figure, axes = plt.subplots(1, 3, figsize=(10, 3.7), layout="constrained")
for ax, (name, image) in zip(
    axes, {"clean": clean, "blurred": blurred, "restored": z}.items(), strict=True
):
    ax.imshow(image[40:200, 60:220], cmap="gray", vmin=0, vmax=1)
    ax.set_title(name if image is clean else f"{name}: {psnr(clean, image):.2f} dB")
    ax.set_axis_off()

# %%
# The first steps, at high t, gain the most, because the prior has the most influence then.

figure, ax = plt.subplots(figsize=(6, 3), layout="constrained")
ax.plot(range(1, 11), quality, "o-")
ax.set(xlabel="step", ylabel="PSNR (dB)")
ax.set_title("Quality by step")
ax.grid(alpha=0.3)
