"""Bad requests that /predict must reject: for each a name, the request, its documented status, part of the message."""

from __future__ import annotations

import gzip
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.support.bodies import (
    MULTIPART,
    as_csv,
    as_image,
    as_json,
    as_multipart,
    as_npy,
    npy_claiming,
    npy_header,
    png_claiming,
    with_pixel,
)
from tests.support.models import digit, digits

LEAKS = re.compile(rb"""Traceback|File "|File \\"|/tmp|/work|/home|/root|/usr|site-packages|\.py\b|0x[0-9a-f]{6}""")


LIMITS: dict[str, Any] = {"max_body_bytes": 4_000_000, "max_instances": 1000, "max_files": 3}
ANY = "any field, or none"


@dataclass
class Refusal:
    """One bad request. `status` lists several where the documentation leaves it open."""

    name: str
    body: bytes
    kind: str | None
    status: int | tuple[int, ...]
    where: str | None = None
    says: str = ""
    method: str = "POST"
    more: tuple[tuple[str, str], ...] = ()

    @property
    def headers(self) -> dict[str, str]:
        return ({"Content-Type": self.kind} if self.kind else {}) | dict(self.more)


def check_problem(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    expected: int | tuple[int, ...],
    where: str | None = None,
    says: str = "",
) -> dict[str, Any]:
    """Checks every error: a document as in RFC 9457, a sentence, a request id, and nothing about this machine."""
    assert status in (expected if isinstance(expected, tuple) else (expected,)), body[:1000]
    assert headers["content-type"] == "application/problem+json"
    assert headers["x-request-id"]
    assert len(body) < 2000
    assert not LEAKS.search(body), body
    problem: dict[str, Any] = json.loads(body)
    assert problem["status"] == status
    assert problem["type"] == "about:blank"
    assert problem["title"]
    assert re.fullmatch(r"[^\n]{15,}[^.]\.", problem["detail"]), problem["detail"]
    assert where == ANY or problem.get("field") == where, problem
    assert says in problem["detail"], problem["detail"]
    return problem


JSON, OCTETS, NPY, CSV, PNG = (
    "application/json",
    "application/octet-stream",
    "application/x-npy",
    "text/csv",
    "image/png",
)
BLANK = np.zeros((28, 28), int)
DEEP = 100_000


def flat(*sizes: int) -> bytes:
    return json.dumps({"instances": [[0] * size for size in sizes]}).encode()


def rows(*lengths: int) -> bytes:
    return json.dumps({"instances": [[[0] * length for length in lengths]]}).encode()


def instances(text: str) -> bytes:
    return f'{{"instances": {text}}}'.encode()


def shifted(value: Any, dtype: Any) -> bytes:
    array = np.zeros((2, 28, 28), dtype)
    array[1, 3, 5] = value
    return as_npy(array)


def cell(text: str, header: bool = False) -> bytes:
    """CSV of three blank digits, of which the second has `text` in its 90th column."""
    lines = as_csv(np.zeros((3, 28, 28), int), header).decode().splitlines()
    cells = lines[1 + header].split(",")
    cells[89] = text
    lines[1 + header] = ",".join(cells)
    return "\n".join(lines).encode()


def columns(count: int) -> bytes:
    good = ",".join(["0"] * 784)
    return "\n".join([good, ",".join(["0"] * count), good]).encode()


def animated_and_cut() -> bytes:
    return as_image(digit(3), "gif")[:40]


PICTURE, PAPER = as_image(digit(3)), as_image(np.full((40, 40), 255, np.uint8))
BACKWARDS = ",".join(f"pixel{i}" for i in reversed(range(784))).encode()
NOISE = as_image(np.random.default_rng(0).integers(0, 256, (90, 90), np.uint8))

REFUSALS = [
    # -- no body ---------------------------------------------------------------------------------------------
    Refusal("no body and no type", b"", None, 400),
    Refusal("no body, JSON", b"", JSON, 400),
    Refusal("no body, octets", b"", OCTETS, 400),
    Refusal("no body, CSV", b"", CSV, 400),
    Refusal("no body, npy", b"", NPY, 400),
    Refusal("no body, multipart", b"", MULTIPART, 400),
    Refusal("0-byte image", b"", PNG, 400),
    # -- not JSON --------------------------------------------------------------------------------------------
    Refusal("not JSON", b"hello", JSON, 400, says="not JSON"),
    Refusal("only space", b"  \n ", JSON, 400),
    Refusal("an unknown field", as_json(digits(3), label=3), JSON, 422, "label", "the only field is instances"),
    Refusal("an unknown field before", b'{"x": 1, ' + as_json(digits(3))[1:], JSON, 422, "x", "no field 'x'"),
    Refusal("cut JSON", as_json(digits(3))[:-3], JSON, 400),
    Refusal("trailing comma", as_json(digits(3))[:-2] + b",]}", JSON, 400),
    Refusal("two documents", as_json(digits(3)) * 2, JSON, 400),
    Refusal("single quotes", b"{'instances': []}", JSON, 400),
    Refusal("not UTF-8", b'{"\xff": 1, "instances": []}', JSON, 400),
    Refusal("UTF-16", as_json(digits(3)).decode().encode("utf-16"), JSON, 400),
    Refusal("NUL bytes", as_json(digits(3)).replace(b" ", b"\0"), JSON, 400),
    Refusal("comment", as_json(digits(3)) + b"// three", JSON, 400),
    Refusal("NaN", with_pixel("NaN"), JSON, 400),
    Refusal("Infinity", with_pixel("Infinity"), JSON, 400),
    Refusal("-Infinity", with_pixel("-Infinity"), JSON, 400),
    Refusal("hexadecimal", with_pixel("0x10"), JSON, 400),
    Refusal("leading zero", with_pixel("010"), JSON, 400),
    Refusal("plus", with_pixel("+1"), JSON, 400),
    Refusal("bare point", with_pixel("1."), JSON, 400),
    Refusal("True", with_pixel("True"), JSON, 400),
    Refusal("deep lists", b"[" * DEEP, JSON, 400),
    Refusal("deep lists, closed", b"[" * DEEP + b"]" * DEEP, JSON, 400),
    Refusal("deep instances", instances("[" * DEEP + "]" * DEEP), JSON, 400),
    Refusal(
        "deep instances behind commas",
        instances("[" + "[[]]," * DEEP + "[" * DEEP + "]" * DEEP + "]"),
        JSON,
        (400, 413, 422),
        ANY,
    ),
    Refusal("deep objects", b'{"instances":' * DEEP + b"1" + b"}" * DEEP, JSON, 400),
    Refusal("deep key beside", b'{"x":' + b"[" * DEEP + b"]" * DEEP + b',"instances":[]}', JSON, 400),
    # -- JSON of the wrong shape -----------------------------------------------------------------------------
    Refusal("top-level list", json.dumps([BLANK.tolist()]).encode(), JSON, 422, "instances"),
    Refusal("top-level number", b"5", JSON, 422, "instances"),
    Refusal("top-level text", b'"instances"', JSON, 422, "instances"),
    Refusal("top-level null", b"null", JSON, 422, "instances"),
    Refusal("no instances", b"{}", JSON, 422, "instances"),
    Refusal("instance, not instances", b'{"instance": []}', JSON, 422, "instances"),
    Refusal("instances is an object", instances("{}"), JSON, 422, "instances"),
    Refusal("instances is a number", instances("5"), JSON, 422, "instances"),
    Refusal("instances is null", instances("null"), JSON, 422, "instances"),
    Refusal("instances is true", instances("true"), JSON, 422, "instances"),
    Refusal("instances is text", instances(json.dumps("0" * 784)), JSON, 422, "instances"),
    Refusal("empty instances", instances("[]"), JSON, 422, "instances", "at least one"),
    Refusal("empty digit", instances("[[]]"), JSON, 422, "instances[0]"),
    Refusal("digit is a number", instances("[5]"), JSON, 422, "instances[0]"),
    Refusal("digit is null", instances("[null]"), JSON, 422, "instances[0]"),
    Refusal("digit is true", instances("[true]"), JSON, 422, "instances[0]"),
    Refusal("digit is an object", instances('[{"pixels": []}]'), JSON, 422, "instances[0]"),
    Refusal(
        "digit is an object of 28",
        instances(json.dumps([dict.fromkeys("abcdefghijklmnopqrstuvwxyz01", 0)])),
        JSON,
        422,
        "instances[0]",
    ),
    Refusal("digit is text of 28", instances(json.dumps(["0" * 28])), JSON, 422, "instances[0]"),
    Refusal("digit is text of 784", instances(json.dumps(["0" * 784])), JSON, 422, "instances[0]"),
    Refusal("27 rows", rows(*[28] * 27), JSON, 422, "instances[0]", "27"),
    Refusal("29 rows", rows(*[28] * 29), JSON, 422, "instances[0]", "29"),
    Refusal("ragged row", rows(28, 28, 28, 27, *[28] * 24), JSON, 422, "instances[0][3]", "27"),
    Refusal("ragged rows of 784 in sum", rows(27, 29, *[28] * 26), JSON, 422, "instances[0][0]", "27"),
    Refusal("last row too long", rows(*[28] * 27, 29), JSON, 422, "instances[0][27]", "29"),
    Refusal("28 numbers", flat(28), JSON, 422, "instances[0][0]"),
    Refusal("783 numbers", flat(783), JSON, 422, "instances[0]", "783"),
    Refusal("785 numbers", flat(785), JSON, 422, "instances[0]", "785"),
    Refusal("second digit short", flat(784, 783), JSON, 422, "instances[1]", "783"),
    Refusal("784 rows of one", rows(*[1] * 784), JSON, 422, "instances[0]"),
    Refusal("a row that is text", instances(json.dumps([["0" * 28] * 28])), JSON, 422, "instances[0][0]"),
    Refusal("a row that is null", instances(json.dumps([[*BLANK[1:].tolist(), None]])), JSON, 422, "instances[0][27]"),
    Refusal("a channel axis", as_json(np.zeros((1, 28, 28, 1), int)), JSON, 422, "instances[0][0][0]"),
    Refusal("one digit unwrapped", as_json(BLANK), JSON, 422, "instances[0]", "Wrap"),
    Refusal("too many digits", flat(*[784] * (LIMITS["max_instances"] + 1)), JSON, 413, says="1001 digits"),
    Refusal("too many empty digits", flat(*[0] * 20_000), JSON, (413, 422), ANY),
    # -- wrong values ----------------------------------------------------------------------------------------
    *[
        Refusal(f"pixel {text[:20]}", with_pixel(text), JSON, 422, "instances[0][3][5]")
        for text in (
            '"5"',
            '""',
            '"true"',
            "null",
            "true",
            "false",
            "-1",
            "256",
            "255.5",
            "-0.5",
            "1e3",
            "1e308",
            "-1e308",
            str(2**63),
            str(2**64),
            str(-(2**63)),
            str(10**30),
            "9" * 300,
            "[]",
            "[1]",
            "{}",
            '{"e":1}',
        )
    ],
    Refusal("pixel 1e400", with_pixel("1e400"), JSON, (400, 422), ANY),
    Refusal("pixel -1e400", with_pixel("-1e400"), JSON, (400, 422), ANY),
    Refusal("pixel of 400 digits", with_pixel("9" * 400), JSON, (400, 422), ANY),
    Refusal("true in a flat digit", with_pixel("true", flat=True), JSON, 422, "instances[0][89]"),
    Refusal("256 in a flat digit", with_pixel("256", flat=True), JSON, 422, "instances[0][89]"),
    Refusal("null in the third digit", with_pixel("null", (2, 27, 27), 3), JSON, 422, "instances[2][27][27]"),
    Refusal("true first of all", with_pixel("true", (0, 0, 0)), JSON, 422, "instances[0][0][0]"),
    Refusal("false last of all", with_pixel("false", (0, 27, 27)), JSON, 422, "instances[0][27][27]"),
    Refusal("true, written tightly", with_pixel("true").replace(b" ", b""), JSON, 422, "instances[0][3][5]"),
    Refusal("error in the 900th digit", with_pixel("256", (899, 3, 5), 900), JSON, 422, "instances[899][3][5]"),
    Refusal("true in the 900th digit", with_pixel("true", (899, 3, 5), 900), JSON, 422, "instances[899][3][5]"),
    Refusal(
        "true in a flat 900th digit", with_pixel("true", (899, 3, 5), 900, flat=True), JSON, 422, "instances[899][89]"
    ),
    Refusal("900 digits and a comma", flat(*[784] * 900)[:-2] + b",]}", JSON, 400),
    Refusal("900 digits, cut", flat(*[784] * 900)[:-2], JSON, 413, says="ends where it should"),
    Refusal("divided by 255", as_json(np.eye(28)[np.newaxis] / 2), JSON, 422, "instances[0]", "divided by 255"),
    Refusal(
        "divided by 255, flat", as_json(np.eye(28).reshape(1, 784) * 0.999), JSON, 422, "instances[0]", "divided by 255"
    ),
    # -- pictures --------------------------------------------------------------------------------------------
    Refusal("text called PNG", b"This is not a picture, it only says so.", PNG, 415),
    Refusal("JSON called JPEG", as_json(digits(3)), "image/jpeg", 415),
    Refusal("SVG", b'<svg xmlns="http://www.w3.org/2000/svg"/>', "image/svg+xml", 415),
    Refusal("PDF called PNG", b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<<>>\nendobj\n", PNG, 415),
    Refusal("one byte", b"\x89", PNG, (400, 415)),
    Refusal("truncated PNG", NOISE[: len(NOISE) // 2], PNG, 400),
    Refusal("PNG signature alone", PICTURE[:8], PNG, (400, 415)),
    Refusal("PNG cut in its header", PICTURE[:20], PNG, (400, 415)),
    Refusal("PNG with a broken checksum", PICTURE[:30] + b"\0\0" + PICTURE[32:], PNG, 400),
    Refusal("truncated JPEG", as_image(np.kron(digit(3), np.ones((9, 9), np.uint8)), "jpeg")[:400], "image/jpeg", 400),
    Refusal("truncated GIF", animated_and_cut(), "image/gif", 400),
    Refusal("1x1 image", as_image(np.full((1, 1), 9, np.uint8)), PNG, 422, ANY),
    Refusal("all white, 28x28", as_image(np.full((28, 28), 255, np.uint8)), PNG, 422, ANY),
    Refusal("all white, large", as_image(np.full((300, 200), 255, np.uint8)), PNG, 422, ANY),
    Refusal("all transparent", as_image(np.zeros((60, 60, 4), np.uint8)), PNG, 422, ANY),
    Refusal("30,000 x 30,000 PNG", png_claiming(30_000, 30_000), PNG, 413),
    Refusal("2^31 x 2^31 PNG", png_claiming(2**31 - 1, 2**31 - 1), PNG, (400, 413)),
    Refusal("PNG of no height", png_claiming(28, 0), PNG, (400, 422)),
    # -- octets ----------------------------------------------------------------------------------------------
    *[Refusal(f"{size} octets", bytes(size), OCTETS, 400, says="784") for size in (1, 783, 785, 784 * 3 - 1)],
    Refusal("too many octets", bytes(784 * (LIMITS["max_instances"] + 1)), OCTETS, 413, says="1001 digits"),
    # -- .npy ------------------------------------------------------------------------------------------------
    Refusal("not npy", b"hello", NPY, 400),
    Refusal("npy, magic alone", b"\x93NUMPY\x01\x00", NPY, 400),
    Refusal("npy, truncated", as_npy(digits(1, 2))[:-1], NPY, 400),
    Refusal("npy, too long", as_npy(digits(1, 2)) + b"\0", NPY, 400),
    Refusal("npz", b"PK\x03\x04" + bytes(100), NPY, 400),
    Refusal(
        "npy, pickled objects", as_npy(np.array([{"a": 1}] * 784, object), allow_pickle=True), NPY, (400, 422), ANY
    ),
    Refusal(
        "npy, pickle alone", b"\x80\x04\x95\x10\0\0\0\0\0\0\0\x8c\x05posix\x94\x8c\x06system\x94\x93\x94.", NPY, 400
    ),
    Refusal("npy, 10^12 digits", npy_claiming("(1000000000000, 28, 28)"), NPY, (400, 413)),
    Refusal("npy, 10^12 floats", npy_claiming("(1000000000000, 784)", "'<f8'"), NPY, (400, 413)),
    Refusal("npy, product that wraps around", npy_claiming("(2305843009213693952, 28, 28)"), NPY, (400, 413)),
    Refusal("npy, product that wraps to nothing", npy_claiming("(18446744073709551616, 784)"), NPY, (400, 413)),
    Refusal("npy, one side of 10^30", npy_claiming("(1000000000000000000000000000000,)"), NPY, (400, 413, 422), ANY),
    Refusal("npy, as many as allowed, without data", npy_claiming("(1000, 28, 28)", "'<f8'"), NPY, 400),
    Refusal("npy, no digits", npy_claiming("(0, 28, 28)"), NPY, 422, "array"),
    Refusal("npy, minus one", npy_claiming("(-1, 28, 28)"), NPY, (400, 422), ANY),
    Refusal("npy, minus times minus", npy_claiming("(-1, -28, 28)", data=bytes(784)), NPY, (400, 422), ANY),
    Refusal("npy, no axis", npy_claiming("()"), NPY, 422, "array"),
    Refusal("npy, wrong axes", as_npy(np.zeros((2, 28, 27), np.uint8)), NPY, 422, "array", "(2, 28, 27)"),
    Refusal("npy, channels first", as_npy(np.zeros((2, 1, 28, 28), np.uint8)), NPY, 422, "array"),
    Refusal("npy, 10,000 axes", npy_claiming("(" + "1," * 4000 + ")"), NPY, (400, 422), ANY),
    Refusal("npy, too many digits", as_npy(np.zeros((LIMITS["max_instances"] + 1, 784), np.uint8)), NPY, 413),
    *[
        Refusal(f"npy, {name}", as_npy(np.zeros((1, 784), dtype)), NPY, 422, "array")
        for name, dtype in (
            ("bool", bool),
            ("complex", complex),
            ("text", "<U3"),
            ("bytes", "S1"),
            ("dates", "M8[s]"),
            ("spans", "m8[s]"),
            ("fields", [("a", "u1")]),
        )
    ],
    *[
        Refusal(f"npy, {value} in {np.dtype(dtype)}", shifted(value, dtype), NPY, 422, "array")
        for value, dtype in (
            (-1, "i1"),
            (256, "<i2"),
            (256, ">i2"),
            (-1, "<i8"),
            (2**40, "<i8"),
            (2**63, "<u8"),
            (np.nan, "<f4"),
            (np.inf, "<f8"),
            (-np.inf, ">f4"),
            (256, "<f2"),
            (255.01, "<f8"),
            (-1, "<f8"),
        )
    ],
    Refusal("npy, divided by 255", as_npy(np.eye(28) / 2), NPY, 422, "array", "divided by 255"),
    *[
        Refusal(f"npy, header {i}", npy_header(header), NPY, (400, 422), ANY)
        for i, header in enumerate(
            [
                "",
                "{",
                "(",
                "{'descr': (",
                "'",
                "'''",
                "[]",
                "1",
                "{}",
                "{'a': 1}",
                "{1: 2, 3: 4, 5: 6}",
                "__import__('os')",
                "{'descr': '|u1', 'fortran_order': False, 'shape': (1, 28, 28)",
                "{'descr': '|u1', 'fortran_order': 'no', 'shape': (1, 28, 28)}",
                "{'descr': '|u1', 'fortran_order': False, 'shape': [1, 28, 28]}",
                "{'descr': '|u1', 'fortran_order': False, 'shape': (1.0, 28, 28)}",
                "{'descr': '|u1', 'fortran_order': False, 'shape': (None, 28, 28)}",
                "{'descr': '|u1', 'fortran_order': False, 'shape': 784}",
                "{'descr': None, 'fortran_order': False, 'shape': (784,)}",
                "{'descr': (), 'fortran_order': False, 'shape': (784,)}",
                "{'descr': [], 'fortran_order': False, 'shape': (784,)}",
                "{'descr': [()], 'fortran_order': False, 'shape': (784,)}",
                "{'descr': {}, 'fortran_order': False, 'shape': (784,)}",
                "{'descr': 'u0', 'fortran_order': False, 'shape': (784,)}",
                "{'descr': 'V0', 'fortran_order': False, 'shape': (784,)}",
                "{'descr': 'nonsense', 'fortran_order': False, 'shape': (784,)}",
                "{'descr': '|u1,|u1', 'fortran_order': False, 'shape': (784,)}",
                "{'descr': ('|u1', (28,)), 'fortran_order': False, 'shape': (28,)}",
                "{'descr': '|u1', 'fortran_order': False, 'shape': (1L, 28L, 28L), }",
                "(" * 5000,
                "[" * 5000 + "]" * 5000,
                "-" * 9000 + "1",
                "{" * 300,
                " " * 60_000,
                "\t\t{\n  \n\t1",
                "\xff\xfe\0",
                "'\\N{nothing}'",
                "{'descr': '|u1', 'fortran_order': False, 'shape': (" + "9" * 5000 + ", 28, 28)}",
            ]
        )
    ],
    Refusal("npy, version 9", npy_header("{'descr': '|u1'}", version=b"\x09\x00"), NPY, 400),
    Refusal("npy, header of 4 GB", b"\x93NUMPY\x02\x00\xff\xff\xff\xff{", NPY, 400),
    Refusal("PNG, 28x28 all black", as_image(BLANK.astype(np.uint8)), PNG, 422, "image", "No ink"),
    # -- CSV -------------------------------------------------------------------------------------------------
    Refusal("CSV, header alone", as_csv(np.zeros((0, 784), int), header=True), CSV, 422, "row 1"),
    Refusal("CSV, only a line end", b"\n", CSV, 422, ANY),
    Refusal("CSV, 783 columns", columns(783), CSV, 422, "line 2", "783"),
    Refusal("CSV, 785 columns", columns(785), CSV, 422, "line 2", "label"),
    Refusal("CSV, blank line in it", columns(784).replace(b"\n", b"\n\n", 1), CSV, 422, "line 2"),
    Refusal("CSV, semicolons", columns(784).replace(b",", b";"), CSV, 422, "line 1", "commas"),
    Refusal(
        "CSV, train.csv",
        (b"label," + as_csv(np.zeros((0, 784), int), header=True) + b"5," + columns(784)),
        CSV,
        422,
        "line 1",
        "label",
    ),
    Refusal("CSV, names in another order", BACKWARDS + b"\n" + columns(784), CSV, 422, "line 1", "order"),
    Refusal("CSV, one name", b"pixel\n" + columns(784), CSV, 422, "line 1", "pixel0 to pixel783"),
    Refusal("CSV, tabs", columns(784).replace(b",", b"\t"), CSV, 422, "line 1", "commas"),
    Refusal("CSV, a comma at the end", columns(784).replace(b"\n", b",\n"), CSV, 422, "line 1", "at its end"),
    *[
        Refusal(f"CSV, cell {text[:12]!r}", cell(text), CSV, 422, "line 2, column 90", "0 to 255")
        for text in (
            "256",
            "-1",
            "x",
            "",
            " ",
            "nan",
            "inf",
            "-inf",
            "1e400",
            "9" * 5000,
            "0x1",
            "1_0",
            "255.5",
            "-0.1",
            "true",
            "\xb2",
            "٣",
            "\0",
        )
    ],
    Refusal("CSV, cell under a header", cell("256", header=True), CSV, 422, "line 3, column 90", "256"),
    Refusal("CSV, divided by 255", as_csv(np.eye(28).reshape(1, 784) / 2), CSV, 422, "line 1", "divided by 255"),
    Refusal("CSV, too many digits", b"0\n" * (LIMITS["max_instances"] + 1), CSV, 413, says="1001 digits"),
    Refusal("CSV, UTF-16", columns(784).decode().encode("utf-16"), CSV, 422, ANY),
    Refusal("CSV, a PNG", NOISE, CSV, (413, 422), ANY),
    # -- multipart -------------------------------------------------------------------------------------------
    Refusal("multipart, no boundary", as_multipart([("a.png", PICTURE)]), "multipart/form-data", 400, says="boundary"),
    Refusal("multipart, empty boundary", as_multipart([("a.png", PICTURE)]), "multipart/form-data; boundary=", 400),
    Refusal(
        "multipart, another boundary", as_multipart([("a.png", PICTURE)]), "multipart/form-data; boundary=other", 400
    ),
    Refusal(
        "multipart, boundary of 100,000",
        as_multipart([("a.png", PICTURE)]),
        "multipart/form-data; boundary=" + "x" * 30_000,
        400,
    ),
    Refusal("multipart, no part", b"--frontier--\r\n", MULTIPART, 400, says="no file"),
    Refusal("multipart, only a field", as_multipart([], [("file", "3")]), MULTIPART, 400, says="no file"),
    Refusal(
        "multipart, a text among pictures",
        as_multipart([("a.png", PICTURE), ("b.png", b"x")]),
        MULTIPART,
        415,
        says="files[1]",
    ),
    Refusal(
        "multipart, a blank picture", as_multipart([("a.png", PICTURE), ("b.png", PAPER)]), MULTIPART, 422, "files[1]"
    ),
    Refusal("multipart, a large field", as_multipart([], [("a", "b" * 2_000_000)]), MULTIPART, 413),
    Refusal("multipart, garbage", b"hello", MULTIPART, 400),
    Refusal("multipart, binary garbage", NOISE, MULTIPART, 400),
    Refusal(
        "multipart, no name", b"--frontier\r\nContent-Type: image/png\r\n\r\nx\r\n--frontier--\r\n", MULTIPART, 400
    ),
    Refusal("multipart, no header", b"--frontier\r\n\r\nx\r\n--frontier--\r\n", MULTIPART, 400),
    Refusal("multipart, too many files", as_multipart([("a.png", PICTURE)] * 4), MULTIPART, 413),
    Refusal("multipart, too many fields", as_multipart([], [("a", "b")] * 2000), MULTIPART, (400, 413)),
    Refusal("multipart, cut in its only file", as_multipart([("a.png", PICTURE)], end=False)[:-20], MULTIPART, 400),
    Refusal(
        "multipart, cut behind a whole file",
        as_multipart([("a.png", PICTURE), ("b.png", PICTURE)], end=False)[:-20],
        MULTIPART,
        400,
    ),
    Refusal("multipart, not closed", as_multipart([("a.png", PICTURE), ("b.png", PICTURE)], end=False), MULTIPART, 400),
    Refusal(
        "multipart, text for a picture", as_multipart([("a.png", PICTURE), ("b.png", b"hello there")]), MULTIPART, 415
    ),
    Refusal("multipart, an empty file", as_multipart([("a.png", b"")]), MULTIPART, 400),
    Refusal("multipart, a cut picture", as_multipart([("a.png", PICTURE), ("b.png", NOISE[:4000])]), MULTIPART, 400),
    Refusal("multipart, a huge picture", as_multipart([("a.png", png_claiming(30_000, 30_000))]), MULTIPART, 413),
    # -- media types and sizes -------------------------------------------------------------------------------
    Refusal("no type", as_json(digits(3)), None, 415, says="Content-Type"),
    Refusal("curl's own type", as_json(digits(3)), "application/x-www-form-urlencoded", 415, says="curl"),
    *[
        Refusal(f"type {kind[:20]!r}", as_json(digits(3)), kind, 415)
        for kind in (
            "text/plain",
            "application/xml",
            "application/jsonx",
            "application/x-npz",
            "text/csvs",
            "multipart/mixed",
            "video/mp4",
            "nonsense",
            ";",
            "image",
            "application/*",
            "\xe4/\xf6",
            "x" * 5000,
        )
    ],
    Refusal("gzip that is none", as_json(digits(3)), JSON, 400, more=(("Content-Encoding", "gzip"),)),
    Refusal("gzip cut short", gzip.compress(as_json(digits(3)))[:-9], JSON, 400, more=(("Content-Encoding", "gzip"),)),
    Refusal("Brotli", as_json(digits(3)), JSON, 415, more=(("Content-Encoding", "br"),), says="gzip"),
    Refusal("body over the limit", bytes(LIMITS["max_body_bytes"] + 1), OCTETS, 413, says="4,000,000 bytes"),
    # -- methods ---------------------------------------------------------------------------------------------
    *[
        Refusal(f"method {method}", b"", JSON, 405, method=method, says="POST")
        for method in ("GET", "PUT", "PATCH", "DELETE", "OPTIONS")
    ],
    Refusal("method PUT with a body", as_json(digits(3)), JSON, 405, method="PUT", says="POST"),
]
assert len({refusal.name for refusal in REFUSALS}) == len(REFUSALS)
assert sys.getrecursionlimit() < DEEP
