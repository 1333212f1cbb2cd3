"""From bytes to pixels: one file per media type.

Every decoder takes the body and the largest number of digits, and yields arrays uint8 (k, 28, 28), each about 1 ms of
work, so that the event loop can serve other requests between two of them. A decoder raises BadRequest (400),
InvalidValue (422) or PayloadTooLarge (413), with a sentence that names the place.
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
