"""A person's consent to the use of a case for training: a file beside the case that she kept."""

import json
import re
import time
from pathlib import Path

__all__ = ["CONSENT_FILE", "CONSENT_SCOPE", "case_name_prefix", "describe_consent", "find_private_folder"]

CONSENT_FILE = "consent.json"
CONSENT_SCOPE = "training and evaluation of segmentation models"

_KEPT_CASE = re.compile(r"case-[0-9a-f]{16}-[0-9a-f]{8}-\d+")


def case_name_prefix(thread: str, sha: str) -> str:
    """Return how the names of a kept picture's cases begin; the number of the request follows."""
    return f"case-{thread[:16]}-{sha[:8]}-"


def describe_consent(accepted: bool) -> bytes:
    """Return the content of a consent given now; ``accepted``: the person had accepted the mask."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return json.dumps({"time": now, "scope": CONSENT_SCOPE, "accepted": accepted}, indent=1).encode()


def find_private_folder(record: Path) -> Path | None:
    """Return the folder of the case or session whose person gave no consent to training; None where a record is free.

    A case of the page is a folder with a consent of that scope. Without one it is known by the folder's name; and
    whatever lies beside a server's database is of its sessions. Any other record is its reader's own.
    """
    path = record.resolve()
    for folder in path.parents:
        if folder.suffix == ".store" and folder.with_suffix("").is_file():  # see `storage.open_storage`
            return folder / path.relative_to(folder).parts[0]
    case = record.absolute().parent
    consent = case / CONSENT_FILE
    if consent.is_file():
        return None if _is_consent(consent) else case
    return case if _KEPT_CASE.fullmatch(case.name) else None


def _is_consent(path: Path) -> bool:
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(given, dict) and given.get("scope") == CONSENT_SCOPE
