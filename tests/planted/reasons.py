"""Why a mutant is no other behaviour: what is said of files of several kinds (survivors.py)."""

from typing import Final

SHORT_CUT: Final = "which of two ways is taken; the shorter one comes to what the longer one comes to"
FIGURE: Final = "a figure that was chosen: nobody relies on it to the last one"
SET_FIRST: Final = "it is set before anybody reads it"
DIFFERENT: Final = "numbers have to differ from each other, and nobody reads more into them"
NOT_BELOW: Final = "it is a count, and never below 0"
