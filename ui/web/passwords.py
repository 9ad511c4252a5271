"""The password file, and what a browser shows after it has named a password."""

import hashlib
import hmac
import re
import time
from collections.abc import Callable
from pathlib import Path

from ibisagent.tools.errors import InputError
from ibisagent.tools.files import printable_text, require_file

__all__ = ["LOGIN_SECONDS", "Passwords", "hash_password", "read_passwords"]

LOGIN_SECONDS = 12 * 3600
"""Seconds for which a login holds."""

_HASHED = re.compile(r"scrypt:([0-9a-f]{16,}):([0-9a-f]{64})")
_NOBODY = "scrypt:" + "00" * 16 + ":" + "00" * 32


def hash_password(password: str, salt: bytes) -> str:
    """Hash a password for the file: ``scrypt:SALT:HASH`` in hex.

    >>> hash_password("secret", bytes(16))[:40]
    'scrypt:00000000000000000000000000000000:'
    """
    return f"scrypt:{salt.hex()}:{_scrypt(password.encode(), salt).hex()}"


def _scrypt(password: bytes, salt: bytes) -> bytes:
    return hashlib.scrypt(password, salt=salt, n=2**14, r=8, p=1, dklen=32)


class Passwords:
    """Users with their passwords; logins are signed, so that they outlive a restart and end with a changed file."""

    def __init__(self, users: dict[str, str], key: bytes, clock: Callable[[], float] = time.time) -> None:
        """Take passwords, plain or hashed, by user, and the key that signs logins; ``clock`` returns seconds."""
        self._users, self._key, self._clock = users, key, clock

    def check(self, user: str, password: str) -> bool:
        """Whether it is the user's password; it takes as long for an unknown user."""
        stored = self._users.get(user, _NOBODY)
        if (hashed := _HASHED.fullmatch(stored)) is None:
            salt = bytes(16)
            return hmac.compare_digest(_scrypt(password.encode(), salt), _scrypt(stored.encode(), salt))
        found = hmac.compare_digest(_scrypt(password.encode(), bytes.fromhex(hashed[1])), bytes.fromhex(hashed[2]))
        return found and user in self._users

    def sign(self, user: str) -> str:
        """Return what a browser shows from now on in place of the password."""
        until = int(self._clock()) + LOGIN_SECONDS
        return f"{user.encode().hex()}.{until}.{self._signature(user, until)}"

    def read(self, login: str) -> str | None:
        """Return the user of a signed login, None for one that is forged, too old, or of a user who is gone."""
        parts = login.split(".")
        if len(parts) != 3 or not parts[1].isdecimal() or len(parts[1]) > 12:
            return None
        try:
            user, until = bytes.fromhex(parts[0]).decode(), int(parts[1])
        except ValueError:
            return None
        valid = hmac.compare_digest(parts[2].encode(), self._signature(user, until).encode())
        return user if valid and until > self._clock() and user in self._users else None

    def _signature(self, user: str, until: int) -> str:
        return hmac.new(self._key, f"{user.encode().hex()}.{until}".encode(), "sha256").hexdigest()


def read_passwords(path: Path) -> Passwords:
    """Read a file with lines ``user:password`` or ``user:scrypt:SALT:HASH``; blank ones and those with # are left out.

    `InputError` for anything else, and for a file without a user.
    """
    require_file(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        got = f"got a file that cannot be read as text ({type(error).__name__})"
        raise InputError(f"--auth {printable_text(path)}: {got}, expected lines user:password; check it") from error
    users: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        user, _, password = line.strip().partition(":")
        if not user or not password or user in users:
            got = f"got line {number} without user and password, or with a user a second time"
            raise InputError(f"--auth {printable_text(path)}: {got}, expected user:password; correct it")
        users[user] = password
    if not users:
        raise InputError(f"--auth {printable_text(path)}: got no user, expected lines user:password; add one")
    return Passwords(users, _scrypt(text.encode(), b"ibisagent login"))
