"""How a product of hidden vectors and class weights is cut into blocks that fit a budget of bytes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

DEFAULT_MAX_BYTES = 64 * 2**20

# Below about 64 rows a matrix product is bound by reading the weights. Four products over taller blocks (the logits
# made twice) then beat three over flat ones, so whole rows of logits are kept only from here on.
_FEWEST_ROWS_KEPT = 64
_MOST_ROWS = 1024
_MOST_CLASSES = 2048
# Smaller blocks than these would spend more time between the products than in them.
_LEAST_ROWS = 8
_LEAST_CLASSES = 64
# One row's share of the small vectors: labels, weights, maxima, sums, coefficients, all in double precision.
_BYTES_PER_ROW = 512
# Labels and weights as they are read, for all rows and classes at once; and the objects that hold it all together.
_BYTES_OF_ANY_CALL = 2**15
_BYTES_OF_EVERY_ROW = 48
_BYTES_OF_EVERY_CLASS = 16


@dataclass(frozen=True)
class Product:
    """The sizes that decide how much memory a block needs.

    itemsize: bytes of one logit. gradient: whether the gradients are wanted too. copies: whether hidden or weight
    must be converted or gathered, block by block. mask_bytes: what the options add for each logit of a block.
    target_bytes: what a target distribution adds for each class of a row.
    """

    n_rows: int
    n_classes: int
    n_features: int
    itemsize: int
    gradient: bool = True
    copies: bool = False
    mask_bytes: int = 0
    target_bytes: int = 0


@dataclass(frozen=True)
class Blocks:
    """Blocks of rows x classes; keep says whether a block of rows keeps all its logits for the gradient."""

    rows: int
    classes: int
    keep: bool

    def nbytes(self, product: Product) -> int:
        """Return the memory that work on one block takes beside the inputs and the results."""
        width = product.n_classes if self.keep else self.classes
        vectors = (self.rows + self.classes) * product.n_features * (product.gradient + product.copies)
        each_row = (
            product.itemsize * width
            + product.mask_bytes * self.classes
            + product.target_bytes * product.n_classes
            + 8 * -(-width // self.classes)
            + _BYTES_PER_ROW
        )
        whole = _BYTES_OF_ANY_CALL + _BYTES_OF_EVERY_ROW * product.n_rows + _BYTES_OF_EVERY_CLASS * product.n_classes
        return whole + product.itemsize * vectors + self.rows * each_row


def spans(n: int, size: int) -> list[slice]:
    """Return slices of at most size entries that cover 0 .. n-1 in order."""
    edges = [*range(0, n, size), n]
    return [slice(start, stop) for start, stop in pairwise(edges)]


def plan(product: Product, max_bytes: int) -> Blocks:
    """Return the blocks for a product within max_bytes.

    Whole rows of logits are kept where enough rows fit; otherwise the logits are made a second time for the gradient.
    Raises ValueError that names the least budget when even the smallest blocks do not fit.
    """
    n_rows, n_classes = max(product.n_rows, 1), max(product.n_classes, 1)
    tallest = min(n_rows, max(_MOST_ROWS, 2**20 // n_classes))
    widest = min(n_classes, _MOST_CLASSES)
    if product.gradient:
        for classes in (widest, min(n_classes, 256)):
            fixed = Blocks(0, classes, keep=True).nbytes(product)
            each = Blocks(1, classes, keep=True).nbytes(product) - fixed
            rows = min(tallest, (max_bytes - fixed) // each)
            if rows >= min(n_rows, _FEWEST_ROWS_KEPT):
                n_blocks = -(-n_rows // rows)
                return Blocks(-(-n_rows // n_blocks), classes, keep=True)  # even ones: a thin last one would be dear
    smallest = Blocks(min(n_rows, _LEAST_ROWS), min(n_classes, _LEAST_CLASSES), keep=False)
    blocks = Blocks(min(tallest, _MOST_ROWS), widest, keep=False)
    while blocks.nbytes(product) > max_bytes:
        if blocks == smallest:
            raise ValueError(
                f"max_bytes={max_bytes} is too small: the smallest block ({smallest.rows} rows x {smallest.classes} "
                f"classes, {product.n_features} features) needs {smallest.nbytes(product)} bytes"
            )
        rows, classes = blocks.rows, blocks.classes
        if classes > smallest.classes and (classes >= rows or rows == smallest.rows):
            classes = max(smallest.classes, classes // 2)
        else:
            rows = max(smallest.rows, rows // 2)
        blocks = Blocks(rows, classes, keep=False)
    return blocks
