"""Which proxy a request to the API server takes, as kubectl decides it; the Kubernetes client's releases differ.

A cluster's proxy-url is always taken. Else $HTTPS_PROXY or $HTTP_PROXY is, by the server's scheme, unless $NO_PROXY
names the server or it is this machine. Variables in upper case go before those in lower case.
"""

import os
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

from datascaler.errors import ClusterError

_PORTS = {"http": 80, "https": 443}


def proxy_for(server: str, proxy_url: str = "", environment: Mapping[str, str] = os.environ) -> str | None:
    """The proxy's URL; None where the server is asked directly. Raises ClusterError for a URL that is no proxy's."""
    if proxy_url:
        return _checked(proxy_url, "the kubeconfig's proxy-url", ("http", "https", "socks5"))
    url = urlsplit(server)
    named = _variable(environment, f"{url.scheme}_proxy")
    if not named or not _goes_by_proxy(url.hostname or "", url.port or _PORTS.get(url.scheme, 0), environment):
        return None
    schemes = ("http", "https", "socks5", "socks5h")
    return _checked(named if "://" in named else f"http://{named}", f"${url.scheme.upper()}_PROXY", schemes)


def _variable(environment: Mapping[str, str], name: str) -> str:
    return environment.get(name.upper()) or environment.get(name) or ""


def _goes_by_proxy(host: str, port: int, environment: Mapping[str, str]) -> bool:
    address = _address(host)
    if host == "localhost" or (address and address.is_loopback):
        return False
    entries = (entry.strip().lower() for entry in _variable(environment, "no_proxy").split(","))
    return not any(entry and _is_named_by(entry, host.lower(), port, address) for entry in entries)


def _is_named_by(entry: str, host: str, port: int, address: IPv4Address | IPv6Address | None) -> bool:
    """One entry of $NO_PROXY: `*`, an address, a network, or a domain; a domain also names all that ends with it, and
    with a dot before it those only. Addresses and domains may have a port."""
    if entry == "*":
        return True
    if "/" in entry:
        try:
            return address is not None and address in ip_network(entry, strict=False)
        except ValueError:
            pass
    name, its_port = _split_port(entry)
    if not name or (its_port and its_port != str(port)):
        return False
    if (named := _address(name)) or address:
        return named == address
    domain = name.removeprefix("*")
    return host.endswith(domain) if domain.startswith(".") else host == domain or host.endswith(f".{domain}")


def _split_port(entry: str) -> tuple[str, str]:
    """`host:port`, `[::1]:port`, or neither has a port: `host`, `::1`."""
    name, colon, port = entry.rpartition(":")
    if not colon or ("]" in port) or (":" in name and not name.endswith("]")):
        return entry.strip("[]"), ""
    return name.strip("[]"), port


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, IPv6Address) else found


def _checked(url: str, where: str, schemes: tuple[str, ...]) -> str:
    try:
        parts = urlsplit(url)
        is_proxy = bool(parts.scheme in schemes and parts.hostname and (parts.port is None or parts.port))
    except ValueError:
        is_proxy = False
    if not is_proxy:
        # It may hold a password, which is not repeated.
        raise ClusterError(
            f"{where} is not the URL of a proxy; write http://HOST:PORT ({', '.join(schemes)} are known)"
        )
    # Go asks the proxy to look up the server's name; in urllib3 that has a scheme of its own.
    return "socks5h" + url.removeprefix("socks5") if parts.scheme == "socks5" else url
