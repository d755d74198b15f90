"""The interfaces of all components, and the objects that gankit passes to them.

Shapes: ``n`` images of a batch, ``c`` channels, ``h`` height, ``w`` width, ``d`` latent dimensions. ``...`` stands for
any number of additional dimensions. Networks, losses and augmentations receive float images in [-1, 1]. Datasets,
samples and feature extractors use uint8 images in [0, 255]. Labels are int64 in [0,
classes), or vectors.

Components need not inherit from these classes. Every component is built as ``factory(<positional>, **params)``. gankit
supplies the positional arguments that its protocol lists, which it selects by the names of the parameters. The recipe
sets the keyword-only parameters.
"""

from .callback import CALLBACK_METHODS as CALLBACK_METHODS
from .callback import Callback as Callback
from .data import Batch as Batch
from .data import DataDescription as DataDescription
from .data import Dataset as Dataset
from .data import Report as Report
from .data import no_report as no_report
from .data_spec import DataSpec as DataSpec
from .data_spec import ImageSpec as ImageSpec
from .data_spec import VectorSpec as VectorSpec
from .evaluation import Features as Features
from .evaluation import Metric as Metric
from .game import DISCRIMINATOR_KEYS as DISCRIMINATOR_KEYS
from .game import GAME_KEYS as GAME_KEYS
from .game import Inputs as Inputs
from .losses import Loss as Loss
from .losses import Regularizer as Regularizer
from .networks import Augmentation as Augmentation
from .networks import Codec as Codec
from .networks import Discriminator as Discriminator
from .networks import DiscriminatorOutput as DiscriminatorOutput
from .networks import Generator as Generator
from .networks import GeneratorOutput as GeneratorOutput
from .networks import Latent as Latent
from .run import NotFinite as NotFinite
from .run import Run as Run
from .run import State as State
from .turn import PLAYERS as PLAYERS
from .turn import Player as Player
from .turn import Scalars as Scalars
from .turn import Turn as Turn
from .weight_format import Conversion as Conversion
from .weight_format import Converted as Converted
from .weight_format import ForeignNetwork as ForeignNetwork
from .weight_format import WeightFormat as WeightFormat
from .weight_format import Weights as Weights
