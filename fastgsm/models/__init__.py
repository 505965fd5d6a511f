"""Patch priors: one file per model, on one scale-mixture density and one EM loop."""

from fastgsm.learning.em import ConvergenceWarning, EMIteration
from fastgsm.learning.statistics import SufficientStatistics
from fastgsm.models._base import PatchModel
from fastgsm.models._load import load
from fastgsm.models._model import NotFittedError
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
