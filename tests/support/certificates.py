"""A certificate authority of the tests' own, and what it signed."""

import ssl
from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True)
class Certificate:
    """Where a server finds its certificate and key, and clients the authority (PEM files)."""

    certfile: Path
    keyfile: Path
    authority: Path

    def client_context(self, *alpn: str) -> ssl.SSLContext:
        """A client's context that trusts only this authority and offers these protocols."""
        context = ssl.create_default_context(cafile=self.authority)
        if alpn:
            context.set_alpn_protocols(list(alpn))
        return context


def make_certificate(directory: Path) -> Certificate:
    certificate = Certificate(*(directory / f"{name}.pem" for name in ("cert", "key", "authority")))
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1", "::1")
    for number, blob in enumerate(issued.cert_chain_pems):
        blob.write_to_path(certificate.certfile, append=number > 0)
    issued.private_key_pem.write_to_path(certificate.keyfile)
    authority.cert_pem.write_to_path(certificate.authority)
    return certificate
