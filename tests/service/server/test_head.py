"""What a head must have, one function at a time."""

from __future__ import annotations

import pytest

from service.server.head import BAD_TARGET, NO_OPTIONS, NO_TUNNEL, check_target, head_bytes, valid_host
from service.server.rejection import Rejected


@pytest.mark.parametrize(
    "host", [b"", b"x", b"a.b-c_d:80", b"[::1]:8000", b"[fe80::1%25eth0]", b"127.0.0.1:", b"a%20b"]
)
def test_hosts(host: bytes) -> None:
    assert valid_host(host)


@pytest.mark.parametrize("host", [b"a b", b"a/b", b"a:80:90", b"a:x", b"[::1", b"u@a", b"\xe4", b"a\n"])
def test_no_hosts(host: bytes) -> None:
    assert not valid_host(host)


@pytest.mark.parametrize("target", [b"/", b"//", b"/a?b#c", b"http://x/", b"https://u:p@x:1/a", b"/%zz"])
def test_targets(target: bytes) -> None:
    check_target(b"GET", target)


@pytest.mark.parametrize(
    ("method", "target", "rejection"),
    [
        (b"CONNECT", b"x:443", NO_TUNNEL),
        (b"OPTIONS", b"*", NO_OPTIONS),
        (b"GET", b"*", BAD_TARGET),
        (b"GET", b"http://x", BAD_TARGET),
        (b"GET", b"http:///a", BAD_TARGET),
        (b"GET", b"/\xe4", BAD_TARGET),
        (b"GET", b"", BAD_TARGET),
    ],
)
def test_no_targets(method: bytes, target: bytes, rejection: object) -> None:
    with pytest.raises(Rejected) as refused:
        check_target(method, target)
    assert refused.value.rejection is rejection


def test_the_size_of_a_head() -> None:
    assert head_bytes(b"/ab", [(b"host", b"x"), (b"a", b"")]) == 3 + 9 + 5
