"""A /predict body of any media type -> digits: one file a kind. It knows bytes and arrays; pictures are images.py's.

Every decoder is a generator of uint8 (k, 28, 28) pieces, each about a millisecond of work, so that whoever iterates
over a big body can let other requests pass between two pieces. A decoder raises BadRequest 400, InvalidValue 422 or
PayloadTooLarge 413, with a sentence that names the place.
"""

from collections.abc import Callable, Iterator

from service.digits import Pixels
from service.inputs.arrays import from_npy, from_octets
from service.inputs.csv import from_csv
from service.inputs.json import from_json

Decoder = Callable[[bytes, int], Iterator[Pixels]]

DECODERS: dict[str, Decoder] = {
    "application/json": from_json,
    "application/octet-stream": from_octets,
    "application/x-npy": from_npy,
    "text/csv": from_csv,
}
