"""Checks of what sharing inputs with other machines needs: Ray, its token, and the cluster of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator

from livecam.doctor import Check
from livecam.errors import LivecamError
from livecam.fleet.cluster import address_here, check_installed, knock, token
from livecam.system.machine import version


def cluster() -> Iterator[Check]:
    """Check Ray, the token, and that the cluster of this machine lets it in. No cluster is joined or started."""
    try:
        check_installed()
    except LivecamError:
        yield Check.absent("ray", "not installed: pip install 'livecam[ray]'")
        return
    yield Check.ok("ray", str(version("ray")))
    yield _token()
    address = address_here()
    if address is None:
        yield Check.absent("cluster", "this machine is part of none")
        return
    try:
        knock(address)
    except LivecamError as exc:
        yield Check.of_message("cluster", str(exc))
    else:
        yield Check.ok("cluster", f"{address} lets this machine in")


def _token() -> Check:
    if os.environ.get("RAY_AUTH_MODE") == "disabled":
        fact = "RAY_AUTH_MODE is disabled, so whoever reaches a cluster of this machine runs what he likes on it"
        return Check.problem("token", fact, "unset it, and make a token with ray get-auth-token --generate")
    try:
        found = token()
    except LivecamError as exc:
        return Check.of_message("token", str(exc))
    if found is None:
        return Check.absent("token", "none yet; all machines of a cluster need the same: ray get-auth-token --generate")
    return Check.ok("token", f"in {found.place}, marked {found.mark}; doctor shows the same mark on all machines")
