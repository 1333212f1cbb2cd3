"""Requests at their worst: every kind of body and head, under the default limits, made to keep the service busy.

    python -m tests.support.worst [WORD]

sends those whose name contains WORD to a service, and prints a table: the longest pause of its event loop (CPU time of
the loop's thread; in brackets, of the process), CPU time, memory at its highest, status.
"""

from __future__ import annotations

import gzip
import struct
import sys
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import httpx
import numpy as np

from tests.support.bodies import BOUNDARY, MULTIPART, as_image, as_json, as_npy, npy_header
from tests.support.loop_probe import Probe
from tests.support.models import publish
from tests.support.server import Server

MIB = 2**20
FULL = 63 * MIB
JSON, CSV, NPY, RAW = "application/json", "text/csv", "application/x-npy", "application/octet-stream"
V1, V2 = "/v1/models/digits:predict", "/v2/models/digits/infer"


class Worst(NamedTuple):
    """One request: where it goes, its media type, what makes the body, and more headers."""

    path: str
    kind: str
    body: Callable[[], bytes]
    headers: tuple[tuple[str, str], ...] = ()
    method: str = "POST"


def fill(piece: bytes, start: bytes = b"", end: bytes = b"", size: int = FULL) -> Callable[[], bytes]:
    """start, as many pieces as fit, end."""
    return lambda: start + piece * ((size - len(start) - len(end)) // len(piece)) + end


def field(head: bytes = b"", content: bytes = b"") -> bytes:
    return b"--" + BOUNDARY.encode() + b'\r\nContent-Disposition: form-data; name="a"' + head + b"\r\n\r\n" + content


CLOSE = b"\r\n--" + BOUNDARY.encode() + b"--\r\n"
FILE = field(b'; filename="a"')
DIGIT = [[0] * 28] * 28
ROW = b",".join([b"0"] * 784)
SLOW_ROW = b",".join([b"7.12345678901234567890"] * 784)
FLOATS = b"[" + b",".join([b"7.0"] * 784) + b"]"


def json_bodies(name: str, path: str, start: bytes, end: bytes, around: bytes) -> dict[str, Worst]:
    """Of one JSON API: `start` and `end` enclose the list of digits, `around` is an object with %b for other fields."""
    found = {
        "numbers, flat": fill(b"0,", start, b"0" + end),
        "numbers, one list": fill(b"0,", start + b"[", b"0]" + end),
        "numbers, floats": fill(b"1e9,", start, b"0" + end),
        "empty lists": fill(b"[],", start, b"[]" + end),
        "objects": fill(b"{},", start, b"{}" + end),
        "texts": fill(b'"",', start, b'""' + end),
        "true": fill(b"true,", start, b"true" + end),
        "nulls": fill(b"null,", start, b"null" + end),
        "deep": fill(b"[", start),
        "deep objects": fill(b'{"a":', start),
        "blanks first": fill(b" ", b"", start + end),
        "blanks inside": fill(b" ", start, end),
        "blanks after brackets": fill(b"]" + b" " * 1000, start),
        "closing brackets": fill(b"]", start),
        "commas": fill(b",", start, end),
        "one number": fill(b"9", start, end),
        "one text": fill(b"a", start + b'"', b'"' + end),
        "one text of escapes": fill(b"\\u00e9", start + b'"', b'"' + end),
        "one text, not ascii": fill("é".encode(), start + b'"', b'"' + end),
        "a long other field": fill(b"a", around % b'"id": "', b'"}'),
        "keys": lambda: around % b",".join(b'"%x": 1' % i for i in range(4_000_000)) + b"}",
        "digits as floats": fill(FLOATS + b",", start, FLOATS + end, 30 * MIB),
        "digits of two forms": fill(str(DIGIT).encode() + b"," + FLOATS + b",", start, FLOATS + end, 30 * MIB),
        "30,000 digits": fill(str(DIGIT).encode() + b",", start, str(DIGIT).encode() + end, 30_000 * 2410),
    }
    return {f"{name}: {what}": Worst(path, JSON, body) for what, body in found.items()}


def _noise(side: int) -> np.ndarray:  # type: ignore[type-arg]
    return np.random.default_rng(1).integers(0, 256, (side, side), np.uint8)


WORST: dict[str, Worst] = {
    **json_bodies("json", "/predict", b'{"instances": [', b"]}", b'{"instances": [1], %b'),
    **json_bodies("v1", V1, b'{"instances": [', b"]}", b'{"instances": [1], %b'),
    **json_bodies("v1 classify", V1.replace("predict", "classify"), b'{"examples": [', b"]}", b'{"examples": [], %b'),
    **json_bodies(
        "v2",
        V2,
        b'{"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [30000, 784], "data": [',
        b"]}]}",
        b'{"inputs": [], %b',
    ),
    "v1: pictures": Worst(V1, JSON, fill(b'{"b64": "iVBORw0KGgo="},', b'{"instances": [', b'{"b64": ""}]}')),
    "v1: one picture": Worst(V1, JSON, fill(b"iVBORw0K", b'{"instances": [{"b64": "', b'"}]}')),
    "v1: one picture with line breaks": Worst(V1, JSON, fill(b"iVBO\\n", b'{"instances": [{"b64": "', b'"}]}')),
    "v2: one picture": Worst(
        V2,
        JSON,
        fill(
            b"iVBORw0K",
            b'{"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": ["',
            b'"]}]}',
        ),
    ),
    "v2: id in the answer": Worst(
        V2,
        JSON,
        lambda: (
            fill(b"a", b'{"id": "', b'", "inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [1, 784],')()
            + b'"data": ['
            + ROW
            + b"]}]}"
        ),
    ),
    "v2: axes": Worst(
        V2, JSON, fill(b"1,", b'{"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [', b'1], "data": []}]}')
    ),
    "v2: raw": Worst(V2, RAW, lambda: bytes(30_000 * 784), (("Inference-Header-Content-Length", "0"),)),
    "v2: all outputs as classes": Worst(
        V2,
        RAW,
        lambda: CLASSES + bytes(30_000 * 784),
        (("Inference-Header-Content-Length", str(232)),),
    ),
    "csv: commas": Worst("/predict", CSV, fill(b",")),
    "csv: a header of commas": Worst("/predict", CSV, fill(b",", b"pixel0")),
    "csv: a header of names": Worst("/predict", CSV, fill(b"pixel0,")),
    "csv: one line": Worst("/predict", CSV, fill(b"0,")),
    "csv: one value": Worst("/predict", CSV, fill(b"0")),
    "csv: empty lines": Worst("/predict", CSV, fill(b"\n")),
    "csv: line ends": Worst("/predict", CSV, fill(b"\r\n")),
    "csv: quotes": Worst("/predict", CSV, fill(b'"')),
    "csv: quoted": Worst("/predict", CSV, fill(b'"0",')),
    "csv: blanks": Worst("/predict", CSV, fill(b" ")),
    "csv: slow rows": Worst("/predict", CSV, fill(SLOW_ROW + b"\n", size=20 * MIB)),
    "csv: 30,000 rows": Worst("/predict", CSV, fill(ROW + b"\n", size=30_000 * 1568), (("Accept", "text/csv"),)),
    "raw: 30,000 digits": Worst("/predict", RAW, lambda: bytes(30_000 * 784)),
    "raw: too many": Worst("/predict", RAW, lambda: bytes(FULL)),
    "npy: float64": Worst("/predict", NPY, lambda: as_npy(np.full((10_000, 784), 7.0))),
    "npy: fortran": Worst("/predict", NPY, lambda: as_npy(np.asfortranarray(np.zeros((30_000, 784), np.uint8)))),
    "npy: fortran float64": Worst("/predict", NPY, lambda: as_npy(np.asfortranarray(np.full((10_000, 784), 7.0)))),
    "npy: a long header": Worst("/predict", NPY, lambda: npy_header("(" * FULL, version=b"\x02\x00")),
    "npy: a header of axes": Worst(
        "/predict",
        NPY,
        lambda: npy_header(
            "{'descr': '|u1', 'fortran_order': False, 'shape': (" + "1," * 4000 + "), }", version=b"\x02\x00"
        ),
    ),
    "form: commas": Worst("/predict", MULTIPART, fill(b",", FILE, CLOSE)),
    "form: line ends": Worst("/predict", MULTIPART, fill(b"\r\n", FILE, CLOSE)),
    "form: almost boundaries": Worst("/predict", MULTIPART, fill(CLOSE[:-5], FILE, CLOSE)),
    "form: fields": Worst("/predict", MULTIPART, fill(field(b"", b"1\r\n"), b"", FILE + CLOSE)),
    "form: files": Worst("/predict", MULTIPART, fill(FILE + b"\r\n", b"", CLOSE)),
    "form: one field": Worst("/predict", MULTIPART, fill(b"a", field(), CLOSE)),
    "form: one head": Worst("/predict", MULTIPART, fill(b"a", field(b"; x="), CLOSE)),
    "form: many heads": Worst("/predict", MULTIPART, fill(b"a: b\r\n", field()[:-4] + b"\r\n", CLOSE)),
    "form: quotes in a head": Worst("/predict", MULTIPART, fill(b';"', field(), CLOSE)),
    "form: 63 fields in punycode": Worst(
        "/predict",
        MULTIPART + "; charset=punycode",
        lambda: field(b"", b"a" * 100_000 + b"\r\n") * 63 + FILE + CLOSE,
    ),
    "form: charset=undefined": Worst(
        "/predict", MULTIPART + "; charset=undefined", lambda: field() + b"\r\n" + FILE + CLOSE
    ),
    "form: 100 pictures": Worst(
        "/predict",
        MULTIPART,
        lambda: (
            (FILE + as_image(np.random.default_rng(1).integers(0, 256, (400, 400), np.uint8)) + b"\r\n") * 100
            + CLOSE[2:]
        ),
    ),
    "picture: png 4000x4000": Worst("/predict", "image/png", lambda: as_image(_noise(4000))),
    "picture: jpeg 4000x4000": Worst("/predict", "image/jpeg", lambda: as_image(_noise(4000), "jpeg")),
    "picture: bmp": Worst("/predict", "image/bmp", lambda: as_image(_noise(4000), "bmp")),
    "picture: gif": Worst("/predict", "image/gif", lambda: as_image(_noise(3000), "gif")),
    "picture: tiff": Worst("/predict", "image/tiff", lambda: as_image(_noise(4000), "tiff")),
    "picture: tiff, 32-bit floats": Worst(
        "/predict", "image/tiff", lambda: as_image(_noise(3900).astype(np.float32), "tiff")
    ),
    "picture: webp": Worst("/predict", "image/webp", lambda: as_image(_noise(1000), "webp")),
    "picture: png of empty chunks": Worst(
        "/predict",
        "image/png",
        fill(bytes(4) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT")), as_image(_noise(9))[:33]),
    ),
    "picture: png of a long text": Worst(
        "/predict", "image/png", fill(b"a", as_image(_noise(9))[:33] + b"\3\0\0\0tEXt")
    ),
    "picture: jpeg of scans": Worst("/predict", "image/jpeg", fill(b"\xff\xda\0\x08\x01", as_image(_noise(9), "jpeg"))),
    "picture: jpeg of markers": Worst("/predict", "image/jpeg", fill(b"\xff", b"\xff\xd8\xff")),
    "picture: jpeg of comments": Worst("/predict", "image/jpeg", fill(b"\xff\xfe\0\2", b"\xff\xd8")),
    "picture: gif of extensions": Worst("/predict", "image/gif", fill(b"!\xfe\0", b"GIF89a\1\0\1\0\0\0\0")),
    "feedback: numbers": Worst("/feedback", JSON, fill(b"0,", b'{"label": 1, "digit": [', b"0]}", 64_000)),
    "feedback: 63 MB": Worst("/feedback", JSON, fill(b"0,", b'{"label": 1, "digit": [', b"0]}")),
    "feedback: lists": Worst("/feedback", JSON, fill(b"[],", b'{"label": 1, "digit": [', b"0]}", 64_000)),
    "feedback: keys": Worst("/feedback", JSON, lambda: b"{" + b",".join(b'"%x":0' % i for i in range(6000)) + b"}"),
    "feedback: deep": Worst("/feedback", JSON, fill(b"[", size=64_000)),
    "repository: index": Worst("/v2/repository/index", JSON, fill(b"[],", b'{"ready": [', b"0]}", 65_000)),
    "repository: load": Worst(
        "/v2/repository/models/digits/load", JSON, fill(b"[],", b'{"parameters": [', b"0]}", 65_000)
    ),
    "promote": Worst("/models/digits/promote", JSON, fill(b"[],", b'{"version": [', b"0]}", 64_000)),
    **{
        f"head: {what}": Worst("/predict", JSON, lambda: as_json(np.zeros((1, 28, 28), int)), ((name, value),))
        for what, name, value in (
            ("Accept, commas", "Accept", "," * 60_000),
            ("Accept, ranges", "Accept", "a/b;q=0.1," * 6_000),
            ("Accept, parameters", "Accept", "text/csv" + ";" * 60_000),
            ("Accept-Encoding", "Accept-Encoding", "a;q=0.1," * 7_500),
            ("Content-Type, parameters", "Content-Type", MULTIPART + ";" * 60_000),
            ("Content-Type, quotes", "Content-Type", MULTIPART + ';"' * 30_000),
            ("Content-Encoding", "Content-Encoding", "gzip," * 12_000),
            ("Cookie", "Cookie", "a=1;" * 15_000),
            ("request id", "X-Request-Id", "a" * 60_000),
        )
    },
    **{
        f"head: {what}": Worst(path, JSON, lambda: b"", headers, "GET")
        for what, path, headers in (
            ("cookies of a read", "/models", (("Cookie", "a=1;" * 15_000),)),
            ("cookies, quoted", "/models", (("Cookie", 'a="\\001";' * 6_000),)),
            ("query", "/models?" + "a&" * 30_000, ()),
            ("query, escapes", "/models?" + "a=%20&" * 10_000, ()),
            ("path, slashes", "/" * 60_000, ()),
            ("path, v2", "/v2/models/" + "a/" * 30_000, ()),
            ("path, v1", "/v1/models/" + ":" * 60_000, ()),
            ("path, escapes", "/models/" + "%41" * 20_000, ()),
            ("Accept of a read", "/model", (("Accept", "text/plain;q=0.1," * 3_700),)),
            ("many headers", "/models", tuple((f"x-{i}", "") for i in range(6_000))),
        )
    },
}
CLASSES = (
    b'{"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [30000, 784], "parameters": {"binary_data_size": '
    b'23520000}}], "outputs": [{"name": "probabilities", "parameters": {"classification": 10, "binary_data": false}}]}'
).ljust(232)


def compressed(worst: Worst, coding: str) -> Worst:
    """The same request, compressed by gzip or deflate."""
    pack = {"gzip": lambda: gzip.compress(worst.body(), 6), "deflate": lambda: zlib.compress(worst.body(), 6)}
    return worst._replace(body=pack[coding], headers=(*worst.headers, ("Content-Encoding", coding)))


def send(server: Server, worst: Worst) -> int:
    """Status of the answer; 0 if the connection was closed without one."""
    headers = {"Content-Type": worst.kind} | dict(worst.headers)
    try:
        url = httpx.URL(server.url, raw_path=worst.path.encode())
        return server.client.request(worst.method, url, content=worst.body(), headers=headers).status_code
    except httpx.InvalidURL:
        return -1
    except httpx.TransportError:
        return 0


def peak_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmHWM")


def main(word: str = "") -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "models"
        publish(root)
        probe = Probe(Path(folder) / "probe")
        with Server(root, program=("tests.support.loop_probe", str(Path(folder) / "probe"))) as server:
            server.client.get("/health/ready")  # the start is over
            for name, worst in WORST.items():
                if word not in name:
                    continue
                worst.body()
                Path(f"/proc/{server.process.pid}/clear_refs").write_text("5")
                probe.reset()
                cpu, start = probe.cpu_s, perf_counter()
                status = send(server, worst)
                server.client.get("/health/live")
                pause, more = probe.pause_s * 1e3, probe.process_pause_s * 1e3
                mark = "!" if pause > 50 else "?" if more > 100 else " "
                print(
                    f"{mark} {name:42} {pause:8.0f} ({more:6.0f}) ms {probe.cpu_s - cpu:7.2f} s CPU "
                    f"{perf_counter() - start:6.1f} s {peak_mib(server.process.pid):6.0f} MiB {status}",
                    flush=True,
                )


if __name__ == "__main__":
    main(*sys.argv[1:])
