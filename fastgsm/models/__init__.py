"""Patch priors: one file per model, on one scale-mixture density and one EM loop."""

from fastgsm.models._base import NotFittedError, PatchModel
from fastgsm.models._em import ConvergenceWarning
from fastgsm.models._files import load
from fastgsm.models._monitor import EMIteration
from fastgsm.models._statistics import SufficientStatistics
from fastgsm.models.gmm import GMM
from fastgsm.models.gsm import GSM
from fastgsm.models.ica import ICA
from fastgsm.models.mogsm import MoGSM
from fastgsm.models.mvn import MVN

__all__ = [
    "GMM",
    "GSM",
    "ICA",
    "MVN",
    "ConvergenceWarning",
    "EMIteration",
    "MoGSM",
    "NotFittedError",
    "PatchModel",
    "SufficientStatistics",
    "load",
]
