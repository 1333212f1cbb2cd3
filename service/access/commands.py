"""python -m service keys add|list|revoke: the file of API keys, changed while the service runs."""

from __future__ import annotations

import argparse
import hashlib
import os
import secrets
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

from pydantic import ValidationError

from service.access.key_file import Entry, changed, read
from service.errors import DigitsError

SCOPES = ("predict", "feedback", "admin")
DEFAULT_FILE = "keys.json"
ABOUT = """API keys of the service.

Start the service with DIGITS_KEYS_PATH=FILE: then predictions need a key with the scope predict, feedback one with
feedback, and promote, rollback, load and unload one with admin, which opens everything. A running service follows the
file within two seconds. To rotate a key: add a new one, hand it out, revoke the old one."""


def main(arguments: Sequence[str]) -> None:
    """Run one command. Exits with 1 and a sentence if it cannot be carried out, with 2 if it is not understood."""
    given = parser().parse_args(arguments)
    try:
        {"add": _add, "list": _list, "revoke": _revoke}[given.command](given)
    except DigitsError as error:
        sys.exit(f"Error: {error}")


def parser() -> argparse.ArgumentParser:
    """The arguments of the commands."""
    wide = argparse.RawDescriptionHelpFormatter
    whole = argparse.ArgumentParser(prog="python -m service keys", description=ABOUT, formatter_class=wide)
    commands = whole.add_subparsers(dest="command", required=True, metavar="add|list|revoke")
    file = argparse.ArgumentParser(add_help=False)
    file.add_argument(
        "--file",
        type=Path,
        default=Path(os.environ.get("DIGITS_KEYS_PATH") or DEFAULT_FILE),
        help="the file of keys; by default DIGITS_KEYS_PATH, else keys.json",
    )
    add = commands.add_parser(
        "add", parents=[file], help="make a new key, show it once, and store its hash", formatter_class=wide
    )
    add.add_argument("name", help="such as shop-2027: letters, digits and - _ . ; shown in logs and in list")
    add.add_argument(
        "--scopes",
        type=lambda text: text.split(","),
        default=["predict"],
        metavar="SCOPE,SCOPE",
        help="what it opens: predict (the default), feedback, admin",
    )
    add.add_argument("--expires", type=date.fromisoformat, metavar="YYYY-MM-DD", help="its last day, in UTC")
    add.add_argument(
        "--environment", action="store_true", help="write no file; print an entry for the variable DIGITS_KEYS"
    )
    commands.add_parser("list", parents=[file], help="names, scopes and dates; the keys themselves are not known")
    revoke = commands.add_parser("revoke", parents=[file], help="remove a key")
    revoke.add_argument("name")
    return whole


def _add(given: argparse.Namespace) -> None:
    secret = secrets.token_urlsafe(32)
    try:
        entry = Entry(
            name=given.name,
            scopes=list(dict.fromkeys(given.scopes)),
            sha256=hashlib.sha256(secret.encode()).hexdigest(),
            created=datetime.now(UTC).date(),
            expires=given.expires,
        )
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        allowed = f"the scopes are {', '.join(SCOPES)}" if "scopes" in wrong["loc"] else "use letters, digits and - _ ."
        raise DigitsError(f"{wrong['input']!r} is not possible: {allowed}.") from None
    if given.environment:
        if entry.expires:
            raise DigitsError("keys in the environment do not expire; leave --expires out, or use a file.")
        sys.stderr.write("First the key, then what to put into DIGITS_KEYS, with commas between several:\n")
        sys.stdout.write(f"{secret}\n{entry.as_text()}\n")
        return
    with changed(given.file) as entries:
        if any(entry.name == one.name for one in entries):
            raise DigitsError(f"there is a key {entry.name} already; choose another name, or revoke it first.")
        entries.append(entry)
    may = " and ".join(entry.scopes)
    sys.stderr.write(f"{entry.name} may {may}; its hash is in {given.file}. This is the key, shown once:\n")
    sys.stdout.write(f"{secret}\n")


def _list(given: argparse.Namespace) -> None:
    entries = read(given.file)
    today = datetime.now(UTC).date()
    rows = [("name", "scopes", "created", "expires")]
    for entry in entries:
        expires = "never" if entry.expires is None else f"{entry.expires}{' (over)' if entry.expires < today else ''}"
        rows.append((entry.name, ",".join(entry.scopes), str(entry.created or "?"), expires))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        sys.stdout.write("  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip() + "\n")


def _revoke(given: argparse.Namespace) -> None:
    with changed(given.file) as entries:
        left = [entry for entry in entries if entry.name != given.name]
        if len(left) == len(entries):
            raise DigitsError(f"there is no key {given.name}; list shows which there are.")
        entries[:] = left
    sys.stderr.write(f"{given.name} is revoked; a running service follows within two seconds.\n")
