"""The address of a server, and the credentials for it."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from resnet50_client.errors import DatasetError

DEFAULT_PORTS = {"grpc": 8001, "grpcs": 8001, "http": 8000, "https": 443}


@dataclass(frozen=True)
class Endpoint:
    """The address of one server and the protocol to talk to it."""

    scheme: str  # "grpc", "http", or with TLS "grpcs", "https"
    address: str  # host:port, over HTTP perhaps with a path

    @classmethod
    def parse(cls, url: str | None = None, protocol: str | None = None) -> Endpoint:
        """Read a URL such as `localhost:8001`, `host` or `https://host:8443/triton`.

        Args:
            url: host, host:port, or either with a scheme (grpc, grpcs, http, https) before it; None is localhost.
            protocol: "grpc" or "http"; None takes the URL's scheme, or else gRPC.

        Raises:
            DatasetError: an unknown protocol, or a scheme that contradicts `protocol`.
        """
        scheme, separator, rest = (url or "localhost").rpartition("://")
        if separator and protocol and scheme not in {protocol, f"{protocol}s"}:
            raise DatasetError(f"url '{url}' says {scheme}, but the protocol asked for is {protocol}: drop one of them")
        chosen = scheme or protocol or "grpc"
        if chosen not in DEFAULT_PORTS:
            raise DatasetError(f"protocol '{chosen}' is not known (use {', '.join(DEFAULT_PORTS)})")
        host, slash, path = rest.rstrip("/").partition("/")
        if slash and chosen.startswith("grpc"):
            raise DatasetError(f"url '{url}' has a path, which gRPC does not know: use host:port")
        if not host.rpartition(":")[2].isdigit():
            host = f"{host}:{DEFAULT_PORTS[chosen]}"
        return cls(chosen, host + slash + path)

    @property
    def protocol(self) -> str:
        """ "grpc" or "http", with or without TLS."""
        return self.scheme.removesuffix("s")

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.scheme.endswith("s")

    @property
    def is_local(self) -> bool:
        """Whether it is this machine, by its name."""
        host = self.address.partition("/")[0].rpartition(":")[0]
        return host in {"localhost", "[::1]"} or host.startswith("127.")

    def __str__(self) -> str:
        return f"{self.scheme}://{self.address}"


@dataclass(frozen=True)
class Access:
    """What the server wants to see before it answers.

    Args:
        ca: certificates to trust (PEM), where the system's do not do.
        certificate: our own certificate (PEM), where the server asks for one.
        key: the private key of `certificate`.
        headers: sent with each request, such as {"authorization": "Bearer ..."}.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        if bool(self.certificate) != bool(self.key):
            raise DatasetError("a client certificate and its private key go together: name both or neither")
        for path in (self.ca, self.certificate, self.key):
            if path and not path.is_file():
                raise DatasetError(f"cannot read '{path}': no such file")

    def ssl_context(self) -> ssl.SSLContext:
        """For HTTPS.

        Raises:
            DatasetError: a file that is no certificate or key.
        """
        try:
            context = ssl.create_default_context(cafile=self.ca)
            if self.certificate:
                context.load_cert_chain(self.certificate, self.key)
        except (ssl.SSLError, OSError) as error:
            files = ", ".join(str(path) for path in (self.ca, self.certificate, self.key) if path)
            raise DatasetError(f"cannot use the certificates in {files}: {error}") from error
        return context
