"""Test utilities for plugin authors: a turn outside of a run, and checks of components.

Each ``check_*`` function raises AssertionError with a message if the component violates its protocol in
`gankit.interfaces`, and TypeError if the function itself is called wrongly. ``image`` is the `ImageSpec` to build a
component with, or a `DataSpec` if networks take fields of the data. ``params`` are the parameters of the component.
"""

from .component_checks import check_augmentation as check_augmentation
from .component_checks import check_callback as check_callback
from .component_checks import check_codec as check_codec
from .component_checks import check_dataset as check_dataset
from .component_checks import check_discriminator as check_discriminator
from .component_checks import check_generator as check_generator
from .game_check import check_game as check_game
from .latent_and_optimizer_checks import check_latent as check_latent
from .latent_and_optimizer_checks import check_optimizer as check_optimizer
from .plugin_check import CheckedComponent as CheckedComponent
from .plugin_check import check_plugin as check_plugin
from .score_checks import check_features as check_features
from .score_checks import check_metric as check_metric
from .term_checks import check_loss as check_loss
from .term_checks import check_regularizer as check_regularizer
from .turn import make_turn as make_turn
