"""A text file as numbered words, cut into examples: the words before, and the next one."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*|[.,;:!?()]")
RARE = "<rare>"
# Held out: every tenth stretch of this many words, so that both halves speak of the same things.
STRETCH = 2000


@dataclass(frozen=True)
class Examples:
    """contexts: (n, c) the c words before; following: (n,) the word to predict."""

    contexts: np.ndarray
    following: np.ndarray

    def __len__(self) -> int:
        return len(self.following)


@dataclass(frozen=True)
class Corpus:
    """Words by number (0 is RARE), how often each occurs in training, and examples for training and for judging."""

    words: tuple[str, ...]
    counts: np.ndarray
    training: Examples
    held_out: Examples


def read(path: Path, vocabulary: int, context: int) -> Corpus:
    """Read a text: lower case, words and punctuation marks; all but the most frequent words become RARE."""
    found = WORD.findall(path.read_text(encoding="utf-8", errors="replace").lower())
    if len(found) < 10 * STRETCH:
        raise SystemExit(f"{path} holds {len(found)} words; at least {10 * STRETCH} are needed to train and to judge")
    common = [word for word, _ in Counter(found).most_common(vocabulary - 1)]
    words = (RARE, *common)
    number = {word: i for i, word in enumerate(words)}
    text = np.array([number.get(word, 0) for word in found], np.int64)
    contexts = np.lib.stride_tricks.sliding_window_view(text, context)[:-1]
    following = text[context:]
    # an example belongs to the stretch of its last word, and is dropped where its context reaches back into another
    place = np.arange(len(following)) + context
    held_out = place // STRETCH % 10 == 9
    clean = place % STRETCH >= context
    training, judged = (Examples(contexts[rows], following[rows]) for rows in (~held_out & clean, held_out & clean))
    return Corpus(words, np.bincount(training.following, minlength=len(words)), training, judged)
