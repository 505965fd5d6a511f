from fastgsm import anscombe as anscombe
from fastgsm import colour as colour
from fastgsm import datasets as datasets
from fastgsm import distributed as distributed
from fastgsm import io as io
from fastgsm import metrics as metrics
from fastgsm import models as models
from fastgsm import noise as noise
from fastgsm import patches as patches
from fastgsm import plot as plot
from fastgsm import priors as priors
from fastgsm import report as report
from fastgsm import tiles as tiles
from fastgsm._denoise import denoise as denoise
from fastgsm._warmup import warmup as warmup
from fastgsm.models import GMM as GMM
from fastgsm.models import GSM as GSM
from fastgsm.models import ICA as ICA
from fastgsm.models import MVN as MVN
from fastgsm.models import ConvergenceWarning as ConvergenceWarning
from fastgsm.models import EMIteration as EMIteration
from fastgsm.models import MoGSM as MoGSM
from fastgsm.models import NotFittedError as NotFittedError
from fastgsm.models import SufficientStatistics as SufficientStatistics
from fastgsm.models import load as load
from fastgsm.noise import NoiseModel as NoiseModel
from fastgsm.noise import estimate_noise as estimate_noise
from fastgsm.noise import estimate_sigma as estimate_sigma
from fastgsm.patch_sampler import PatchSampler as PatchSampler
from fastgsm.patches import aggregate_patches as aggregate_patches
from fastgsm.patches import extract_patches as extract_patches
from fastgsm.patches import sample_patches as sample_patches
from fastgsm.priors import list_priors as list_priors
from fastgsm.priors import load_prior as load_prior
from fastgsm.tiles import denoise_tiles as denoise_tiles

__version__: str
__all__: list[str]
