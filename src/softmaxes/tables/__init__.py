"""Tables on disk, block by block: what they hold (profile), and how they become features (recipe).

    open_table -> profile -> Recipe.of -> recipe.matrix or recipe.blocks

A profile is a state that merges, so any pass over any blocks gives it; a recipe is plain data, so any process
can apply it to any block.
"""

from .columns import Categorical, Dates, Numeric, Text
from .dialect import Dialect, sniff
from .holdout import folds_of, held_out
from .labels import Labels
from .model import TableModel
from .moments import Moments
from .parts import numbered, parts_of
from .profile import ColumnProfile, Profile, profile
from .reading import BLOCK_ROWS, Block, Table, as_table, open_table
from .recipe import Recipe
from .targets import Targets, read_targets

__all__ = [
    "BLOCK_ROWS",
    "Block",
    "Categorical",
    "ColumnProfile",
    "Dates",
    "Dialect",
    "Labels",
    "Moments",
    "Numeric",
    "Profile",
    "Recipe",
    "Table",
    "TableModel",
    "Targets",
    "Text",
    "as_table",
    "folds_of",
    "held_out",
    "numbered",
    "open_table",
    "parts_of",
    "profile",
    "read_targets",
    "sniff",
]
