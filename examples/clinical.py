"""Study in; plan, segment, measure, draft; a person confirms; files and a report out: `clinical.py ROOT STUDY OUT`."""
# ruff: noqa: D101, D103, T201

import json
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import StateGraph
from langgraph.types import Command, interrupt
from scripted import ScriptedChatModel, run_example

from ibisagent.agent import build_graph
from ibisagent.agent.integrations import FanOutState, ImageCatalog, fan_out
from ibisagent.tools.export import Provenance, save_mask
from ibisagent.tools.files import require_writable_folder
from ibisagent.tools.imaging.grids import VolumeGrid
from ibisagent.tools.masks.measure import describe_measurements
from ibisagent.tools.masks.rle import decode

PLAN, IMPRESSION = '{"slice": "middle", "targets": ["liver"]}', "The liver is normal."
PLANNER = ScriptedChatModel(replies=[AIMessage(PLAN), AIMessage(IMPRESSION)])


class ClinicalState(FanOutState, total=False):
    study: str
    question: str
    finding: dict[str, Any]


def build_clinical_graph(planner: Any, loop: Any, out: Path, **options: Any) -> Any:
    def plan(case: ClinicalState) -> Any:
        reply = json.loads(planner.invoke(f"{case['question']} Which slice, which targets? Answer in JSON.").text)
        return {"image": {"uri": case["study"], "slice": reply["slice"]}, "targets": reply["targets"]}

    def draft(case: ClinicalState) -> Any:
        found = {name: describe_measurements(one["measurements"]) for name, one in case["segmentations"].items()}
        messages = [("user", case["question"]), ("ai", str(case["targets"])), ("user", f"{found}. Your impression?")]
        return {"finding": {"found": found, "impression": planner.invoke(messages).text}}

    def confirm(case: ClinicalState) -> Any:  # a person says "accept", or gives what is to be changed in the finding
        answer = interrupt(case["finding"])
        return {"finding": case["finding"] | (answer if isinstance(answer, dict) else {})}

    def export(case: ClinicalState) -> Any:
        image, found = loop.components.images.open(case["image"]), case["segmentations"]
        placed = ".nii.gz" if isinstance(image.grid, VolumeGrid) else ".png"
        ending = ".dcm" if image.grid.sources else placed
        files = {name: f"{name}{ending}" for name in found if found[name]["found"]}
        for name, file in files.items():
            save_mask(out / file, decode(case["labels"]["rles"][name]), image, Provenance(target=name))
        (out / "report.json").write_text(json.dumps(case["finding"] | {"files": files}))
        return {"finding": case["finding"] | {"files": files}}

    nodes = [plan, ("segment", fan_out(loop)), draft, confirm, export]
    return StateGraph(ClinicalState).add_sequence(nodes).set_entry_point("plan").compile(**options)


def main(root: str, study: str, out: str) -> None:
    require_writable_folder(out)
    loop = build_graph("centre", "geocut", images=ImageCatalog(root))  # or "nano", or your model, as the policy
    graph = build_clinical_graph(PLANNER, loop, Path(out), checkpointer=InMemorySaver())
    for given in ({"study": study, "question": "Is the liver enlarged?"}, Command(resume="accept")):
        print(graph.invoke(given, {"configurable": {"thread_id": 1}})["finding"])


if __name__ == "__main__":
    run_example(main, "ROOT", "STUDY", "OUT")  # a folder of studies, one of them, and a folder to write to
