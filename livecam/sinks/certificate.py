"""The certificate of a connection to a WebRTC server (WHIP), which encrypts what is sent."""

from __future__ import annotations

import importlib.util
from datetime import UTC, datetime, timedelta
from pathlib import Path

from livecam.errors import OutputError

_VALID = timedelta(days=30)


def check_can_certify() -> None:
    """Check that certificates can be made. Raises OutputError."""
    if importlib.util.find_spec("cryptography") is None:
        raise OutputError("WHIP needs cryptography; install it with: pip install 'livecam[whip]'")


def certificate_in(folder: Path) -> dict[str, str]:
    """Write a new certificate and its key into a folder.

    The key is of the curve P-256, which every WebRTC server has to take (RFC 8827, 6.5). FFmpeg makes a certificate by
    itself if it gets none, but with GnuTLS of a curve that servers with OpenSSL refuse.

    Returns:
        The options by which FFmpeg's muxer finds both.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "livecam")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))  # the clock of the server may be behind
        .not_valid_after(now + _VALID)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    contents = {
        "cert_file": certificate.public_bytes(encoding),
        "key_file": key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    }
    for option, content in contents.items():
        (folder / option).write_bytes(content)
    return {option: str(folder / option) for option in contents}
