"""
Deblurring with the denoiser as a prior
=======================================

A denoiser knows what images look like, and an optimiser can ask it: "plug and play". Here it takes
the blur out of a photograph.
"""

import matplotlib.pyplot as plt
import numpy as np
from skimage import data, img_as_float32

import fastgsm
from fastgsm.metrics import psnr

# %%
# A blur over 9x9 pixels, which a product of Fourier transforms applies, and a little noise.

clean = img_as_float32(data.camera())[0:320, 100:420]
box = np.zeros_like(clean)
box[:9, :9] = 1 / 81
blur = np.fft.rfft2(np.roll(box, (-4, -4), axis=(0, 1)))
sigma = 0.01
blurred = np.fft.irfft2(blur * np.fft.rfft2(clean), clean.shape)
blurred = fastgsm.datasets.add_noise(blurred, sigma, random_state=0)

# %%
# We look for the image x that, blurred, is near to what was recorded, y, and that the prior finds
# likely. Half-quadratic splitting asks for the two in turn, of x and of a second image z that is to
# be near to x, the nearer the later:
#
# - the data step is a least-squares problem, ``|A x - y|^2 / sigma^2 + |x - z|^2 / t^2``, that the
#   Fourier transform solves;
# - the prior's step takes what is wrong with x for noise of strength t, and denoises it.

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
# Most is won in the first steps, at high t, when the prior has the most to say.

figure, ax = plt.subplots(figsize=(6, 3), layout="constrained")
ax.plot(range(1, 11), quality, "o-")
ax.set(xlabel="step", ylabel="PSNR (dB)")
ax.set_title("Quality by step")
ax.grid(alpha=0.3)
