"""Cases that a person keeps as training data: run folders with a consent, the form that training reads."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from ibisagent.tools.files import make_folder
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.imaging.png import encode_png
from ibisagent.ui.sessions.consent import CONSENT_FILE, case_name_prefix, describe_consent
from ibisagent.ui.sessions.export import write_file
from ibisagent.ui.sessions.service import SessionService
from ibisagent.ui.web.live_session import LiveSession

__all__ = ["case_folder", "cases_of_picture", "delete_case", "write_case"]


def case_folder(keep: Path, thread: str, image: MedicalImage, request: int) -> Path:
    """Return the folder of a kept case, of a picture's n-th request; neither handle nor file name is in its name."""
    return keep / f"{case_name_prefix(thread, image.sha)}{request}"


def cases_of_picture(kept: Sequence[str], thread: str, image: MedicalImage) -> list[str]:
    """Return which kept folders are of this picture."""
    return [folder for folder in kept if Path(folder).name.startswith(case_name_prefix(thread, image.sha))]


async def write_case(
    service: SessionService, live: LiveSession, image: MedicalImage, folder: Path, accepted: bool
) -> None:
    """Write or rewrite a case: trajectory.json, the picture under its hash, consent.json, and mask.png if accepted.

    ``mask.png`` is the accepted mask; a case without one was kept before it was accepted.
    """
    handle, owner = live.handle, live.owner
    files = {
        "trajectory.json": await service.render(handle, owner, "trajectory.json", live.case.truth_of(live.view.slice))
    }
    files[f"{image.sha}.png"] = encode_png(image.pixels, level=6)
    if accepted:
        files["mask.png"] = await service.render(handle, owner, "mask.png")
    files[CONSENT_FILE] = describe_consent(accepted)
    make_folder(folder)
    for name, content in files.items():
        write_file(folder, name, content)
    if not accepted:
        (folder / "mask.png").unlink(missing_ok=True)


def delete_case(folder: Path) -> None:
    """Delete a kept case."""
    shutil.rmtree(folder, ignore_errors=True)
