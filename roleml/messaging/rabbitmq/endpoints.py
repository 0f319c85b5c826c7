"""A broker URL, taken apart: where to connect, in which order, and as whom."""

from __future__ import annotations

import os
import platform
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import pika
import pika.credentials

import roleml
from roleml.shared.suggestions import did_you_mean

__all__ = ["BrokerURL"]

#: Below the broker's own default of 60 s, so that a frozen peer is noticed within half a minute.
HEARTBEAT_S = 8
CONNECT_TIMEOUT_S = 10.0
#: the user that a fresh broker comes with
SHARED_USER = "guest"

_OPTIONS = ("heartbeat", "cafile", "certfile", "keyfile", "password_file", "server_name", "identity")
_ESCAPES = "in a user name or password, write '#' as %23, '/' as %2F, '?' as %3F and '@' as %40"
_IDENTITY = ("required", "claimed")
_TLS_FILES = ("cafile", "certfile", "keyfile")
_DEFAULT_PORTS = {"amqp": 5672, "amqps": 5671}
_OWN_FILES = re.compile("(?<=[?&])(password_file|cafile|certfile|keyfile)=[^&]*&?")
_PLACEHOLDER = re.compile("[{]([^{}]*)[}]")


@dataclass(frozen=True)
class BrokerURL:
    """``amqp[s]://user:password@host[:port][,host[:port]...]/vhost?option=value``.

    Several hosts are tried in turn. ``{actor}`` stands for the actor's name, so one URL serves all. Options:

    - ``heartbeat`` in seconds;
    - ``password_file``: a file with the password, or with a line ``user:password`` for each user;
    - ``cafile``, ``certfile``, ``keyfile`` and ``server_name`` for TLS. With a ``certfile`` and without a
      password, the certificate is the login; its common name must be the user, by default the actor's name;
    - ``identity``: see :meth:`identity_of`.

    The environment variables ``ROLEML_BROKER_USER`` and ``ROLEML_BROKER_PASSWORD`` stand in for what the URL
    leaves out.

    Raises:
        ValueError: the URL is not of this form, or a file it names cannot be used.
    """

    scheme: str
    hosts: tuple[tuple[str, int], ...]
    vhost: str
    user: str
    password: str = field(repr=False)
    options: Mapping[str, str] = field(default_factory=dict)

    @staticmethod
    def parse(url: str, actor: str = "") -> BrokerURL:
        parts = _split(url.replace("{actor}", actor) if actor else url)
        credentials, _, hosts = parts.netloc.rpartition("@")
        user, _, password = credentials.partition(":")
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        for option in options:
            if option not in _OPTIONS:
                raise ValueError(
                    f"unknown option {option!r} in the broker URL{did_you_mean(option, _OPTIONS)}"
                )
        if options.get("identity", "claimed") not in _IDENTITY:
            raise ValueError(
                f"identity={options['identity']} in the broker URL; it is required or claimed"
                f"{did_you_mean(options['identity'], _IDENTITY)}"
            )
        if not options.get("heartbeat", "0").isdecimal():
            raise ValueError(
                f"heartbeat={options['heartbeat']} in the broker URL; it is a whole number of seconds"
            )
        user, password = unquote(user) or os.environ.get("ROLEML_BROKER_USER", ""), unquote(password)
        if not password and "password_file" in options:
            password = _password_in(Path(options["password_file"]), user)
        password = password or os.environ.get("ROLEML_BROKER_PASSWORD", "")
        by_certificate = "certfile" in options and not password
        return BrokerURL(
            parts.scheme,
            tuple(_host(host, _DEFAULT_PORTS[parts.scheme], url) for host in hosts.split(",")),
            unquote(parts.path[1:]) or "/",
            user or (actor if by_certificate else "") or "guest",
            password or ("" if by_certificate else "guest"),
            options,
        )

    @staticmethod
    def check(url: str, actor: str = "") -> None:
        """Raises as `parse`; without an actor, the files that are its own are not looked at."""
        if actor:
            BrokerURL.parse(url, actor).check_files()
        else:
            BrokerURL.parse(_OWN_FILES.sub("", url))

    def check_files(self) -> None:
        """Raises ValueError if those for TLS cannot be used."""
        if self.scheme == "amqps":
            _ = self._ssl_context

    def __str__(self) -> str:
        hosts = ",".join(f"{host}:{port}" for host, port in self.hosts)
        return f"{self.scheme}://{self.user}@{hosts}/{self.vhost.strip('/')}"

    def identity_of(self, actor: str) -> bool:
        """Whether this actor takes messages only from whom the broker has found to be the sender.

        That needs a broker user for each actor, of its name. Unless the option ``identity`` says it, an actor
        whose own user has its name expects the same of the others; ``guest`` is everybody's.

        Raises:
            ValueError: identity is required, and this actor's own user has another name.
        """
        own = self.user == actor and actor != SHARED_USER
        required = self.options.get("identity", "required" if own else "claimed") == "required"
        if required and self.user != actor:
            raise ValueError(
                f"actor {actor} connects as broker user {self.user!r}, but identity=required means a user of "
                f"its own name: start the URL with {self.scheme}://{actor}:PASSWORD@, or leave identity out"
            )
        return required

    def parameters(self, index: int, properties: Mapping[str, str]) -> pika.ConnectionParameters:
        """What pika needs for the host of this index, counted round and round.

        ``properties`` say who connects: the management pages show them, ``connection_name`` in their lists.
        """
        host, port = self.hosts[index % len(self.hosts)]
        return pika.ConnectionParameters(
            host,
            port,
            self.vhost,
            self._credentials(),
            heartbeat=int(self.options.get("heartbeat", HEARTBEAT_S)),
            ssl_options=self._ssl_options(host),
            socket_timeout=CONNECT_TIMEOUT_S,
            stack_timeout=CONNECT_TIMEOUT_S,
            client_properties={
                "product": "RoleML",
                "version": roleml.__version__,
                "platform": f"Python {platform.python_version()}",
                "information": f"pika {pika.__version__}",
                **properties,
            },
        )

    def _credentials(self) -> pika.PlainCredentials | pika.credentials.ExternalCredentials:
        if self.password:
            return pika.PlainCredentials(self.user, self.password)
        return pika.credentials.ExternalCredentials()

    def _ssl_options(self, host: str) -> pika.SSLOptions | None:
        if self.scheme != "amqps":
            return None
        return pika.SSLOptions(self._ssl_context, self.options.get("server_name", host))

    @cached_property
    def _ssl_context(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self.options.get("cafile"))
            if "certfile" in self.options:
                context.load_cert_chain(self.options["certfile"], self.options.get("keyfile"))
        except OSError as e:  # ssl.SSLError, too
            files = ", ".join(f"{name}={self.options[name]}" for name in _TLS_FILES if name in self.options)
            raise ValueError(f"the broker URL names files that cannot be used ({files}): {e}") from e
        return context


def _password_in(file: Path, user: str) -> str:
    try:
        lines = file.read_text().splitlines()
    except OSError as e:
        raise ValueError(f"the broker URL's password_file {file} cannot be read: {e.strerror}") from e
    for line in lines:
        name, separator, password = line.partition(":")
        if separator and name == user:
            return password
    if len(lines) == 1:
        return lines[0].strip()
    raise ValueError(
        f"{file} has no password for {user}: it has neither a line {user}:PASSWORD nor one line only"
    )


def _split(url: str) -> SplitResult:
    """The parts of a URL. Raises ValueError if it has none, and says why without showing the password."""
    try:
        parts = urlsplit(url)
    except ValueError as e:
        raise ValueError(f"the broker URL cannot be read: {e}") from e
    if parts.scheme not in _DEFAULT_PORTS or not url.lower().startswith(f"{parts.scheme}://"):
        raise ValueError(f"a RabbitMQ URL starts with amqp:// or amqps://, not {url.partition('/')[0]!r}")
    if parts.fragment:
        raise ValueError(f"there is a '#' in the broker URL; {_ESCAPES}")
    for name in _PLACEHOLDER.findall(url):
        if name != "actor":
            raise ValueError(f"unknown {{{name}}} in the broker URL; {{actor}} stands for the actor's name")
    return parts


def _host(text: str, default_port: int, url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname or "localhost", parts.port or default_port
    except ValueError:
        host, port = "", 0
    if not port or any(character.isspace() for character in host):
        if "@" in url and "@" not in urlsplit(url).netloc:  # what looks like a port is of a password
            raise ValueError(f"the broker URL has a '/' or '?' before its host; {_ESCAPES}")
        raise ValueError(f"{text!r} in the broker URL is not host or host:port, with a port up to 65535")
    return host, port
