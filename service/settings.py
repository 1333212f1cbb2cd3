"""Every setting of the service: an environment variable DIGITS_<NAME> or a flag of `python -m service`."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationInfo, WrapValidator, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

EMPTY_IS_NONE = (
    "admin_key",
    "keys_path",
    "tls_cert_path",
    "tls_key_path",
    "keys",
    "quota_url",
    "client_requests_per_s",
    "client_digits_per_s",
    "max_connections_per_client",
    "max_grpc_connection_s",
)
AUTO_WORKERS = 0  # until server/resources.py has counted the CPUs
MIN_KEY_CHARS = 16  # of a key that a person has chosen
OPERATOR = re.compile(r"(ai\.onnx(\.ml)?:)?[A-Z]\w*", re.ASCII)
PREFIX = r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,63}){0,8}"  # of a path; no dots in front
HOST_NAME = re.compile(r"(\*\.)?[a-zA-Z0-9._-]+|\[[0-9a-fA-F:.]+\]", re.ASCII)
ORIGIN = re.compile(
    r"[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?", re.ASCII
)  # as browsers send it


def _number_or_auto(value: Any, number: Callable[[Any], int]) -> int:
    return AUTO_WORKERS if value == "auto" else number(value)


class Settings(BaseSettings):
    """Digit Recognizer: serve an ONNX digit classifier over HTTP.

    Each flag can be given as an environment variable instead: --models-dir is DIGITS_MODELS_DIR. Flags take precedence.
    python -m service keys --help: API keys.
    """

    model_config = SettingsConfigDict(env_prefix="DIGITS_", cli_kebab_case=True, cli_prog_name="python -m service")

    host: str = Field("127.0.0.1", description="Address to listen on. 0.0.0.0 lets other machines in.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on. 0 asks the system for a free one.")
    grpc_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Port for the Open Inference Protocol over gRPC; needs the extra grpc. None: off.",
    )
    admin_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Port for admin calls and /metrics, which others then do not answer. None: they are on port.",
    )
    admin_host: str = Field("", description="Address for admin_port. Empty: that of host.")
    metrics: bool = Field(True, description="Whether /metrics is answered.")
    tls_cert_path: Path | None = Field(
        None,
        description="PEM file of the certificate and its chain, for TLS over HTTP and gRPC; followed while the service "
        "runs. None: no TLS.",
    )
    tls_key_path: Path | None = Field(
        None, validate_default=True, description="PEM file of the certificate's private key, not encrypted."
    )
    models_dir: Path = Field(Path("models"), description="Folder of the model repository: NAME/VERSION/model.onnx.")
    watch_interval_s: float = Field(
        0.5, gt=0, le=3600, description="Time between two checks of the model repository, in seconds."
    )
    models_timeout_s: float = Field(
        5,
        gt=0,
        le=600,
        description="Maximum time for one file operation in models_dir, in seconds.",
    )
    model: str = Field("digits", description="Name of the default model: /predict and /model use it.")
    provider: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Execution provider. auto: CUDA if it works, else CPU. cuda: do not start without CUDA."
    )
    allowed_operators: str = Field(
        "exporter",
        description="Operators a model may use. exporter: those our exporter writes. onnx: all of ai.onnx and "
        "ai.onnx.ml. Or names to add to the exporter's, separated by commas.",
    )
    run_timeout_s: float = Field(
        10, ge=0.1, le=3600, description="Longest time of one run of a model, in seconds; then 504."
    )
    workers: Annotated[int, Field(ge=1, le=256), WrapValidator(_number_or_auto)] = Field(
        1, description="Worker processes. auto: one per CPU, within the container's limits on CPU and memory."
    )
    drain_s: float = Field(
        0, ge=0, le=3600, description="Time after SIGTERM to keep serving while reporting not ready, in seconds."
    )
    grace_s: float = Field(
        30, gt=0, le=86400, description="Maximum time from SIGTERM to exit, including drain_s, in seconds."
    )
    loop_timeout_s: float = Field(
        30, ge=2, le=86400, description="Time after which a worker whose event loop is blocked is replaced, in seconds."
    )
    loop_exit: bool = Field(
        False, description="With one worker: exit after loop_timeout_s of a blocked event loop, to be restarted."
    )
    admin_key: SecretStr | None = Field(
        None,
        description="Key for promote, rollback, load and unload, of at least 16 characters. None: they are off, unless "
        "another key has the scope admin.",
    )
    keys_path: Path | None = Field(
        None,
        description="File of API keys, as python -m service keys makes it; followed while the service runs. None: "
        "predictions and feedback need no key.",
    )
    keys: SecretStr | None = Field(
        None, description="API keys as NAME:SCOPE+SCOPE:SHA256, separated by commas, in place of a file or beside it."
    )
    wrong_keys_per_min: int = Field(
        10, ge=1, le=1_000_000, description="Wrong keys of one address per minute; after them it gets 429, per worker."
    )
    trusted_proxies: str = Field(
        "",
        description="Addresses or networks of proxies whose X-Forwarded-For is believed, such as 10.0.0.0/8, separated "
        "by commas. Empty: none.",
    )
    client_requests_per_s: float | None = Field(
        None,
        ge=0.1,
        le=1e9,
        description="Requests per second of one client (a key, else an address), averaged over 10 seconds, per worker "
        "or in Redis; then 429. None: any number.",
    )
    client_digits_per_s: float | None = Field(
        None, ge=0.1, le=1e9, description="The same for digits. None: any number."
    )
    client_corrections_per_h: int = Field(
        1000, ge=1, le=10**9, description="Corrections of one client per hour, per worker or in Redis; then 429."
    )
    quota_url: SecretStr | None = Field(
        None,
        description="Where workers and replicas count limits per client together, such as redis://redis:6379/0; which "
        "need not be there all the time. None: each worker for itself.",
    )
    max_body_bytes: int = Field(64 * 2**20, ge=1024, description="Largest request body, in bytes.")
    max_grpc_message_bytes: int = Field(
        8 * 2**20, ge=1024, description="Largest gRPC message, in bytes; at most max_body_bytes."
    )
    body_timeout_s: float = Field(120, gt=0, description="Maximum time to receive a request's body, in seconds.")
    answer_timeout_s: float = Field(
        60,
        ge=0.1,
        le=86400,
        description="Maximum time from the end of a request to the start of its answer, in seconds; then 504.",
    )
    write_timeout_s: float = Field(
        60, gt=0, le=86400, description="Time for which a client may read nothing of its answer, in seconds."
    )
    keep_alive_s: float = Field(
        75,
        ge=1,
        le=86400,
        description="Time for which a connection, of gRPC too, may stay open without a request, in seconds. Longer "
        "than the load balancer's, which must close first.",
    )
    grpc_ping_s: float = Field(
        60,
        ge=1,
        le=86400,
        description="Time between two pings to a gRPC client that is silent, in seconds; one that does not answer "
        "within 20 is left.",
    )
    min_grpc_ping_s: float = Field(
        5, ge=0.1, le=86400, description="Shortest time between two pings of a gRPC client, in seconds."
    )
    max_grpc_connection_s: float | None = Field(
        None,
        ge=1,
        le=10**6,
        description="Age at which a gRPC client is asked to connect anew, in seconds, so that clients spread over "
        "instances that came later. None: never.",
    )
    max_inflight_bytes: int = Field(
        256 * 2**20,
        ge=1024,
        description="Bytes that all bodies over 64 KiB and unread answers may hold at once, per worker; then 503. "
        "One client may hold half.",
    )
    max_connections: int = Field(
        4096,
        ge=1,
        le=1_000_000,
        description="Maximum open connections, per worker, of HTTP and of gRPC each; more are answered with 503, or "
        "closed.",
    )
    max_connections_per_client: int | None = Field(
        None, ge=1, description="Maximum open HTTP connections of one address, per worker. None: half of all."
    )
    max_instances: int = Field(30_000, ge=1, description="Maximum digits per request. Kaggle's test.csv has 28,000.")
    max_queue_rows: int = Field(
        60_000, ge=1, description="Maximum digits waiting or running; more are answered with 503."
    )
    max_image_pixels: int = Field(16_000_000, ge=784, description="Largest picture, in pixels; checked in its header.")
    max_files: int = Field(100, ge=1, description="Maximum files per multipart/form-data request.")
    feedback_path: Path = Field(
        Path("feedback.sqlite"), description="SQLite file in which corrected digits are stored."
    )
    max_feedback_rows: int = Field(100_000, ge=1, description="Maximum corrected digits to store; about 1 kB each.")
    max_feedback_queue_rows: int = Field(
        1000, ge=1, description="Maximum corrections waiting to be written, per worker; more are answered with 503."
    )
    feedback_timeout_s: float = Field(
        5, gt=0, le=600, description="Maximum time for a correction to be on disk, in seconds; then the answer is 503."
    )
    recent_rows: int = Field(
        4096, ge=1, le=1_000_000, description="Number of latest digits to remember, for feedback and drift."
    )
    allowed_hosts: str = Field(
        "",
        description="Names that a Host header may have, such as digits.example.org,*.example.org; * for all. Empty: "
        "loopback's names where host is loopback, else all.",
    )
    root_path: str = Field(
        "",
        description="Path below which a proxy serves this service, such as /digits; requests may come with it or "
        "without. Empty: none, or the X-Forwarded-Prefix of trusted_proxies.",
    )
    cors_origins: str = Field(
        "",
        description="Origins whose web pages may call this service, such as https://example.org, separated by commas; "
        "* for all. Empty: only its own.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Lowest severity to log.")
    log_format: Literal["text", "json"] = Field("text", description="Log lines as text, or one JSON object per line.")
    access_log: bool = Field(False, description="Log every request, not only errors.")
    run_dir: Path | None = Field(
        None, description="Folder that workers share; created automatically if there are several."
    )

    @field_validator("allowed_operators")
    @classmethod
    def _names_of_onnx(cls, text: str) -> str:
        words = [word.strip() for word in text.split(",")]
        if text != "onnx" and not all(word == "exporter" or OPERATOR.fullmatch(word) for word in words):
            raise ValueError("give exporter, onnx, or names such as Loop,ai.onnx.ml:Scaler; no custom domains")
        return text

    @field_validator("allowed_hosts")
    @classmethod
    def _host_names(cls, text: str) -> str:
        words = [word.strip() for word in text.split(",")] if text else []
        if wrong := [word for word in words if word != "*" and not HOST_NAME.fullmatch(word)]:
            raise ValueError(f"{wrong[0]!r} is no host; give *, example.org, *.example.org or [::1], without a port")
        return text

    @field_validator("root_path")
    @classmethod
    def _path(cls, text: str) -> str:
        if not re.fullmatch(PREFIX, text, re.ASCII):
            raise ValueError(f"{text[:40]!r} is no path; give one such as /digits, with no slash at its end")
        return text

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, text: str) -> str:
        words = [word.strip() for word in text.split(",")] if text else []
        if wrong := [word for word in words if word != "*" and not ORIGIN.fullmatch(word)]:
            raise ValueError(
                f"{wrong[0]!r} is no origin; give *, or https://example.org with no path and in lower case"
            )
        return text

    @field_validator("tls_key_path")
    @classmethod
    def _both_or_neither(cls, key: Path | None, others: ValidationInfo) -> Path | None:
        if (key is None) != (others.data.get("tls_cert_path") is None):
            raise ValueError("TLS needs both DIGITS_TLS_CERT_PATH and DIGITS_TLS_KEY_PATH")
        return key

    @field_validator("grace_s")
    @classmethod
    def _longer_than_drain_s(cls, grace_s: float, others: ValidationInfo) -> float:
        if grace_s <= others.data.get("drain_s", 0):
            raise ValueError("it must be longer than DIGITS_DRAIN_S, or no request could finish")
        return grace_s

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, text: str) -> str:
        for word in text.split(",") if text else []:
            try:
                ip_network(word.strip(), strict=False)
            except ValueError:
                raise ValueError(f"{word.strip()!r} is no address or network such as 10.0.0.0/8") from None
        return text

    @field_validator("admin_key")
    @classmethod
    def _long_enough(cls, key: SecretStr | None) -> SecretStr | None:
        if key and len(key.get_secret_value()) < MIN_KEY_CHARS:
            raise ValueError(f"give at least {MIN_KEY_CHARS} characters, such as those of: openssl rand -hex 16")
        return key

    @field_validator("quota_url")
    @classmethod
    def _redis(cls, url: SecretStr | None) -> SecretStr | None:
        if url and not url.get_secret_value().startswith(("redis://", "rediss://", "redis+unix://")):
            raise ValueError("give a URL such as redis://redis:6379/0, rediss:// for TLS, or redis+unix:///a/socket")
        return url

    @field_validator(*EMPTY_IS_NONE, mode="before")
    @classmethod
    def _empty_is_none(cls, key: object) -> object:
        """DIGITS_ADMIN_KEY= in a Compose file means no key, not an empty key."""
        return key or None
