"""The demonstration: nano on two synthetic pictures and on a real scan, and the oracle on that scan."""

from pathlib import Path

from rich.console import Console

from ibisagent.agent import LoopConfig, build_graph, get_policy
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.ui.cli.app import run_with_exit_code
from ibisagent.ui.cli.run_commands import RunOptions, run_case
from ibisagent.ui.example_cases import list_example_cases

__all__ = ["main"]


def main(out: Path = Path("runs/demo"), policy: str = "nano") -> None:
    """Run the loop on each picture and write a run folder for each into ``out``."""
    console = Console()
    default = get_policy(policy)
    for show in list_example_cases(out):
        chosen = show.policy or default
        console.print(f"{show.caption}\n{chosen.name} with geocut: {show.request}", markup=False, highlight=False)
        case = RunOptions(show.image, show.request, "geocut", None, None, max_steps=20, out=out / show.name)
        graph = build_graph(chosen, case.segmenter, LoopConfig(max_steps=case.max_steps))
        run_case(graph, {"image": open_image(show.image), "request": show.request}, case, show.truth)
        console.print()
    console.print(f"See the contact sheets: {out}/*/steps.png", markup=False)


if __name__ == "__main__":
    run_with_exit_code(main)
