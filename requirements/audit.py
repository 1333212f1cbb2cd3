"""Asks pip-audit about known vulnerabilities in every locked package: make audit. Runs in .venv/tools.

pip-audit ends with 0 and "No known vulnerabilities found" where an index knows no package; this does not. It ends with

    0    no package has a known vulnerability; without --strict: or some could not be looked up
    1    a package has a known vulnerability
    2    with --strict: some package could not be looked up

Other options are passed on to pip-audit, such as --ignore-vuln ID.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
SOURCES = ("pypi", "osv")  # where pip-audit can ask, in this order


def main(arguments: list[str]) -> int:
    strict = "--strict" in arguments
    passed_on = [word for word in arguments if word != "--strict"]
    print(f"Looking up the packages of {len(files())} files for known vulnerabilities ...", flush=True)
    report, error = None, ""
    for source in SOURCES:
        answer, error = asked(source, passed_on)
        if answer is not None and (report is None or len(left_out(answer)) < len(left_out(report))):
            report = answer
        if report is not None and (vulnerable(report) or not left_out(report)):
            break
    code, text = judged(report, error, strict)
    print(text, file=sys.stderr if report is None or left_out(report) else sys.stdout)
    return code


def files() -> list[Path]:
    return sorted(FOLDER.glob("*.txt"))


def asked(source: str, passed_on: list[str]) -> tuple[dict[str, Any] | None, str]:
    """pip-audit's report, and the last line of what it complained of. None where it could ask nobody."""
    command = [sys.executable, "-m", "pip_audit", "--vulnerability-service", source, "--format", "json"]
    command += ["--progress-spinner", "off", "--timeout", "5", "--require-hashes", "--disable-pip", *passed_on]
    for path in files():
        command += ["-r", str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    error = (done.stderr.strip().splitlines() or [""])[-1]
    return (json.loads(done.stdout) if done.stdout.startswith("{") else None), error


def left_out(report: dict[str, Any] | None) -> list[str]:
    """The packages that were not found where pip-audit asked."""
    return [] if report is None else [entry["name"] for entry in report["dependencies"] if "skip_reason" in entry]


def vulnerable(report: dict[str, Any]) -> list[dict[str, Any]]:
    return [entry for entry in report["dependencies"] if entry.get("vulns")]


def judged(report: dict[str, Any] | None, error: str, strict: bool) -> tuple[int, str]:
    """The exit code, and what to print."""
    if report is None:
        return (2 if strict else 0), box(f"NOT AUDITED: nobody could be asked ({error[:120]}).")
    total, missing = len(report["dependencies"]), left_out(report)
    if vulnerable(report):
        return 1, "\n".join(map(described, vulnerable(report)))
    if missing:
        names = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
        return (2 if strict else 0), box(f"NOT AUDITED: {len(missing)} of {total} packages were not found ({names}).")
    return 0, f"No known vulnerability in {total} packages"


def described(entry: dict[str, Any]) -> str:
    lines = [f"{entry['name']} {entry['version']} has known vulnerabilities:"]
    for each in entry["vulns"]:
        mended = ", ".join(each["fix_versions"]) or "no version yet"
        lines.append(f"  {each['id']} {' '.join(each.get('aliases', []))}: mended in {mended}")
    return "\n".join(lines)


def box(sentence: str) -> str:
    line = "#" * 100
    advice = "Whether a package has a known vulnerability is not known. Run it again where the data can be reached."
    return f"\n{line}\n# {sentence}\n# {advice}\n{line}\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
