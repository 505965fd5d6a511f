"""
How many scales?
================

More scales always explain the training patches better. What counts is how well they explain patches
that the model has not seen.
"""

import matplotlib.pyplot as plt
import numpy as np
from skimage import color, data
from sklearn.model_selection import GridSearchCV, GroupKFold

import fastgsm

# %%
# Patches of one image look alike, so we hold out whole images, not patches. ``groups`` says which
# image each patch is from.

photographs = (data.camera(), data.coins(), data.chelsea(), data.coffee(), data.rocket())
images = [color.rgb2gray(image) if image.ndim == 3 else image / 255 for image in photographs]
X = np.concatenate([fastgsm.sample_patches(i, n_patches=3000, random_state=0) for i in images])
X = X.astype(np.float32)
groups = np.repeat(np.arange(len(images)), 3000)

# %%
# The models follow scikit-learn's conventions, and their ``score`` is the mean log-likelihood of a
# patch, in nats. A grid search needs nothing else.

search = GridSearchCV(
    fastgsm.GSM(),
    {"n_scales": [1, 2, 3, 4, 6, 8, 12]},
    cv=GroupKFold(n_splits=len(images)),
    return_train_score=True,
)
search.fit(X, groups=groups)
search.best_params_

# %%
# The step from one scale to two is the largest, because patches differ in contrast. Beyond six or
# eight scales there is little to gain. There is nothing to lose either: a scale is only two
# numbers, and the curve for the held-out images does not turn down.

scales = search.cv_results_["param_n_scales"].astype(int)
figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for kind, label in (("train", "training images"), ("test", "images held out")):
    ax.plot(scales, search.cv_results_[f"mean_{kind}_score"], "o-", label=label)
ax.set(xscale="log", xticks=scales, xticklabels=scales, xlabel="number of scales")
ax.minorticks_off()
ax.set_ylabel("log-likelihood (nats per patch)")
ax.set_title("How well a GSM explains patches")
ax.grid(alpha=0.3)
ax.legend()
