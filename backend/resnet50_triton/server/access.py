"""Access to a server: TLS, and a key for the calls that change it."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import BadParameter
from .addresses import is_loopback

# Loading models is running code; registering shared memory is reading and writing that of the server's other processes;
# trace and log settings name files. An ordinary client needs none of these.
ADMIN_CALLS = ("model-repository", "shared-memory", "trace", "logging")
ADMIN_HEADER = "triton-grpc-protocol-admin-key"  # gRPC's prefix is Triton's; over HTTP we take the same name
_GRPC_PREFIX = "triton-grpc-protocol-"
_SHORTEST_KEY = 16


@dataclass(frozen=True)
class Access:
    """How a server is protected.

    Args:
        tls_cert: the server's certificate (PEM); gRPC is then encrypted, and HTTP, which Triton cannot encrypt, does
            not leave the machine.
        tls_key: the private key of `tls_cert` (PEM).
        tls_client_ca: clients over gRPC need a certificate of this authority (PEM).
        admin_key: what opens ADMIN_CALLS, and model control with them. None: on a loopback address they are as Triton
            has them (model control off, shared memory open), on any other closed.
    """

    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    admin_key: str | None = None

    def __post_init__(self) -> None:
        if bool(self.tls_cert) != bool(self.tls_key):
            raise BadParameter("a server's certificate and its private key go together: give --tls-cert and --tls-key")
        if self.tls_client_ca and not self.tls_cert:
            raise BadParameter(
                "--tls-client-ca asks clients for certificates, which needs TLS: give --tls-cert as well"
            )
        for path in (self.tls_cert, self.tls_key, self.tls_client_ca):
            if path and not path.is_file():
                raise BadParameter(f"cannot read {path}: no such file")

    def options(self, hosts: Sequence[str], given: Sequence[str] = ()) -> list[str]:
        """Tritonserver's options.

        Args:
            hosts: the addresses that it listens on.
            given: options that the user gives it: where these restrict such calls themselves, they count.
        """
        options = []
        if self.tls_cert:
            options += [
                "--grpc-use-ssl=true",
                f"--grpc-server-cert={self.tls_cert}",
                f"--grpc-server-key={self.tls_key}",
            ]
        if self.tls_client_ca:
            options += ["--grpc-use-ssl-mutual=true", f"--grpc-root-cert={self.tls_client_ca}"]
        if self.admin_key:
            options += ["--model-control-mode=explicit", "--load-model=*"]
        if any("-restricted-" in option and any(call in option for call in ADMIN_CALLS) for option in given):
            return options
        key = self.admin_key
        if key is None and not all(is_loopback(host) for host in hosts):
            key = secrets.token_urlsafe(32)  # that nobody knows
        if key:
            calls = ",".join(ADMIN_CALLS)
            options += [
                f"--http-restricted-api={calls}:{ADMIN_HEADER}={key}",
                f"--grpc-restricted-protocol={calls}:{ADMIN_HEADER.removeprefix(_GRPC_PREFIX)}={key}",
            ]
        return options


def read_admin_key(path: Path) -> str:
    """The key in a file, without the white space around it.

    Raises:
        BadParameter: the file cannot be read, or what it holds is short or could not be sent in a header.
    """
    try:
        key = path.read_text(encoding="ascii", errors="replace").strip()
    except OSError as error:
        raise BadParameter(f"cannot read the admin key in {path}: {error.strerror}") from error
    if not re.fullmatch(rf"[A-Za-z0-9_-]{{{_SHORTEST_KEY},}}", key):
        raise BadParameter(
            f"the admin key in {path} has {len(key)} characters; it needs {_SHORTEST_KEY} or more, of letters, digits, "
            f"- and _: openssl rand -hex 32 > {path}"
        )
    return key
