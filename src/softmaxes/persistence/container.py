"""One file for arrays and JSON: safetensors, with a checksum of every byte in its header.

    8 bytes         the length of the header
    header          JSON: where each array lies, and the metadata
      format        "softmaxes"
      schema        the version of what the model entry holds
      sha256        of the whole file, with zeros in place of these 64 digits
      model         JSON: labels, parameters, feature names, recipe, calibration, facts of the training
    arrays          coefficients, intercepts and those of the calibration, C-contiguous, little-endian

Reading trusts nothing: a file that is cut short, changed in a single bit, newer than this version or otherwise not
what `sealed` returns is refused with one UserError.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmaxes.errors import UserError

__all__ = ["SCHEMA", "sealed", "unsealed"]

SCHEMA = 1

SEAL = '"sha256":"%s"'
UNSEALED = SEAL % ("0" * 64)
SEALED = re.compile((SEAL % "[0-9a-f]{64}").encode())
LONGEST_HEADER = 100_000_000  # the limit of the safetensors format


def sealed(document: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> bytes:
    """Return the bytes of a model file."""
    save_tensors = needs_safetensors().numpy.save
    metadata = {
        "format": "softmaxes",
        "schema": str(SCHEMA),
        "sha256": "0" * 64,
        "model": json.dumps(document, allow_nan=False, ensure_ascii=False),
    }
    # safetensors 0.8.0 writes arrays that are not C-contiguous in the wrong order, without a word.
    contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    data = in_order(save_tensors(contiguous, metadata=metadata))
    digest = hashlib.sha256(data).hexdigest()
    return data.replace(UNSEALED.encode(), (SEAL % digest).encode(), 1)


def in_order(data: bytes) -> bytes:
    """Return a safetensors file with the names in its header sorted: the same model is then the same bytes.

    The library writes them in an order that changes from call to call.
    """
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8:end]), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    header += b" " * (-len(header) % 8)  # the format aligns the arrays to eight bytes
    return len(header).to_bytes(8, "little") + header + data[end:]


def unsealed(path: str | Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return the document and the arrays of a model file whose checksum is right."""
    safetensors = needs_safetensors()
    data, header = read_header(Path(path))
    metadata = header.get("__metadata__")
    if not isinstance(metadata, dict) or metadata.get("format") != "softmaxes":
        raise UserError(f"{path} is not a softmaxes model: a safetensors file, but of something else")
    if not is_whole(data):
        raise UserError(
            f"{path} is damaged: its contents don't match its checksum, so it was cut short or changed after it was "
            "written; copy or train it again"
        )
    schema, model = str(metadata.get("schema")), str(metadata.get("model"))
    if not schema.isdecimal() or int(schema) < 1:
        raise UserError(f"{path} is a softmaxes model with malformed contents: schema {schema!r}")
    try:
        document = json.loads(model, parse_constant=refuse_constant)
        if int(schema) > SCHEMA:
            writer = document.get("softmaxes") if isinstance(document, dict) else "unknown"
            raise UserError(
                f"{path} was written by a newer softmaxes (version {writer}, schema {schema}); this one reads schemas "
                f"up to {SCHEMA}: pip install --upgrade softmaxes"
            )
        tensors = safetensors.numpy.load(data)
    except UserError:
        raise
    except (ValueError, RecursionError, safetensors.SafetensorError) as error:
        raise UserError(f"{path} is a softmaxes model with malformed contents: {error}") from error
    if not isinstance(document, dict):
        raise UserError(f"{path} is a softmaxes model with malformed contents: no JSON object")
    return document, tensors


def is_whole(data: bytes) -> bool:
    """Whether the bytes are those that the checksum among them was computed of."""
    seals = SEALED.findall(data, 8, 8 + int.from_bytes(data[:8], "little"))
    if len(seals) != 1:
        return False
    digest = hashlib.sha256(data.replace(seals[0], UNSEALED.encode(), 1)).hexdigest()
    return bool(seals[0] == (SEAL % digest).encode())


def read_header(path: Path) -> tuple[bytes, dict[str, Any]]:
    """Return the bytes of a safetensors file and its header, reading no further than it takes to see that it is one."""
    try:
        with path.open("rb") as file:
            start = file.read(9)
            length = int.from_bytes(start[:8], "little")
            if len(start) < 9 or start[8:] != b"{" or length > LONGEST_HEADER:
                what = "it is empty" if not start else "it doesn't begin like one"
                raise UserError(f"{path} is not a softmaxes model: {what}")
            data = start + file.read()
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror or error}") from error
    if len(data) < 8 + length:
        raise UserError(f"{path} is cut short: {len(data)} bytes, where its header alone has {length}")
    try:
        header = json.loads(data[8 : 8 + length])
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged, or no softmaxes model: its header can't be read") from error
    if not isinstance(header, dict):
        raise UserError(f"{path} is not a softmaxes model: its header is no JSON object")
    return data, header


def refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def needs_safetensors() -> Any:
    try:
        import safetensors
        import safetensors.numpy
    except ImportError as error:
        raise UserError("model files need the package safetensors: pip install 'softmaxes[model]'") from error
    return safetensors
