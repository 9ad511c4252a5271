"""The demonstration, with a model that knows nothing in place of nano."""

import json

from support import tiny_vlm

from ibisagent.tools.masks.rle import area
from ibisagent.ui.cli.demo import main


def test_every_show_is_a_run_folder_with_its_truth(tmp_path, capsys):
    main(tmp_path, f"hf:{tiny_vlm.qwen25()}")
    shown = capsys.readouterr()
    records = {path.parent.name: json.loads(path.read_text()) for path in tmp_path.glob("*/trajectory.json")}
    kinds = {name: record["policy"].partition(":")[0] for name, record in records.items()}
    truths = {name: record["targets"][0]["truth"] for name, record in records.items()}
    held = {name: (kinds[name], truth and area(truth) > 0) for name, truth in truths.items()}
    assert held == {
        "spleen": ("hf", True),
        "polyp": ("hf", False),
        "fundus": ("hf", None),
        "scan": ("hf", True),
        "scan-oracle": ("oracle", True),
    }
    assert records["scan-oracle"]["stop"] == "terminated"
    assert [path.parent.name for path in sorted(tmp_path.glob("*/picture.png"))] == ["polyp", "spleen"]
    assert "never learned real abdominal MR" in " ".join(shown.out.split())
    assert shown.err == ""
