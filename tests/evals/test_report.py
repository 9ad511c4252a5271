"""The report of real evaluations: its figures are the CSV's, it needs nothing but itself, and nothing breaks it."""

import csv
import json
import math
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from statistics import fmean

import numpy as np
import pytest
from PIL import Image

from ibisagent.evals.report import write_report
from ibisagent.evals.report.case_sheets import select_ranked
from ibisagent.evals.report.good_and_bad import choose_good_and_bad, draw_good_and_bad
from ibisagent.evals.report.good_and_bad import main as write_good_and_bad
from ibisagent.evals.report.read_results import read_results
from ibisagent.evals.report.svg import render_plot
from ibisagent.evals.results import write_results
from ibisagent.evals.runner import run_eval
from ibisagent.tools.datasets import read_dataset
from ibisagent.tools.errors import InputError, MissingExtra

POLICIES, SEGMENTERS = ["oracle", "random"], ["geodesic", "disk"]
PAIRS = [(policy, segmenter) for segmenter in SEGMENTERS for policy in POLICIES]
HOSTILE = "<script>alert('x')</script>"
MODALITIES = ("$\\frac{1$ & <b>CT", "MR", "超音波\u202e")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def ellipse(row, column, side=48):
    rows, columns = np.mgrid[:side, :side]
    return ((rows - row) / 7) ** 2 + ((columns - column) / 11) ** 2 < 1


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Twelve cases: two share a picture, two targets are absent, one mask is missing; names are what one fears."""
    folder = tmp_path_factory.mktemp("data")
    for name in ("images", "masks"):
        (folder / name).mkdir()
    noise = np.random.default_rng(0)
    lines = [["id", "image", "mask", "target", "request", "modality", "source", "present"]]
    for index in range(12):
        truth = ellipse(14 + index, 30 - index)
        pixels = np.clip(70 + 90 * truth + noise.normal(0, 10, truth.shape), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"images/{index}.png")
        Image.fromarray(truth).save(folder / f"masks/{index}.png")
        picture, mask = f"images/{0 if index == 1 else index}.png", f"masks/{'none' if index == 5 else index}.png"
        target = HOSTILE if index == 3 else "lesion"
        group = [MODALITIES[index % 3], '"><img src="http://x/' if index < 6 else "south"]
        lines.append([f"case{index:02}", picture, mask, target, f"Find {HOSTILE}", *group, int(index < 10)])
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(lines)
    return folder


@pytest.fixture(scope="module")
def out(data, tmp_path_factory):
    """A finished evaluation with its report."""
    folder = tmp_path_factory.mktemp("out")
    run_eval(read_dataset(data), POLICIES, SEGMENTERS, folder, max_steps=3, workers=1)
    write_report(folder, roots=[data])
    return folder


@pytest.fixture
def copy(out, tmp_path):
    """The evaluation again, to be damaged; its pictures are gone."""
    return shutil.copytree(out, tmp_path / "copy")


class Page(HTMLParser):
    """What a report holds: every start tag, the tables' cells as (column, value, low, high), and text by section."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.tables, self.texts, self.captions = [], {}, {}, []
        self._section = self._table = self._caption = None
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        told = dict(attributes)
        self.tags.append((tag, told))
        if tag == "section":
            self._section = told["id"]
        elif tag == "table":
            self._table = self.tables.setdefault(told.get("id"), [])
        elif tag == "tr":
            self._table.append([])
        elif tag == "td" and "data-column" in told:
            ends = (told.get(f"data-{end}") for end in ("value", "low", "high"))
            self._table[-1].append((told["data-column"], *(None if end is None else float(end) for end in ends)))
        elif tag == "figcaption":
            self.captions.append("")
            self._caption = True

    def handle_endtag(self, tag):
        self._caption = None if tag == "figcaption" else self._caption
        self._section = None if tag == "section" else self._section

    def handle_data(self, data):
        self.texts[self._section] = self.texts.get(self._section, "") + data
        if self._caption:
            self.captions[-1] += data

    def rows(self, table):
        """The cells of a table's body by column."""
        return [{cell[0]: cell[1:] for cell in row} for row in self.tables[table] if row]


def rows_of(folder):
    with (folder / "results.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def summary_of(folder):
    return json.loads((folder / "summary.json").read_text(encoding="utf-8"))


def ends(figure):
    return figure["value"], figure["low"], figure["high"]


def test_the_main_figures_are_those_of_the_summary_and_the_csv(out):
    rows, summary, quality = rows_of(out), summary_of(out), Page(out / "report.html").rows("quality")
    shown = ["iou_per_case", "dice_per_case", "dice_pooled", "f1", "hd95_px", "hd95_px_penalised", "nsd_px"]
    shown += ["sensitivity", "specificity", "refusal_rate", "false_refusal_rate"]
    for pair, run, cells in zip(PAIRS, summary["runs"], quality, strict=True):
        assert (run["policy"], run["segmenter"]) == pair
        assert list(cells) == ["done", "broken", *shown]
        assert {name: cells[name] for name in shown} == {name: ends(run["overall"][name]) for name in shown}
        mine = [row for row in rows if (row["policy"], row["segmenter"]) == pair]
        done = [row for row in mine if row["status"] == "done"]
        assert (cells["done"][0], cells["broken"][0]) == (len(done), len(mine) - len(done)) == (11, 1)
        assert cells["iou_per_case"][0] == pytest.approx(fmean(float(row["iou"]) for row in done), abs=1e-15)


def test_the_other_tables_are_those_of_the_summary(out):
    page, summary = Page(out / "report.html"), summary_of(out)
    runs, timing = summary["runs"], summary["timing"]
    for run, time, effort, trajectory_metrics, stops, score, times in zip(
        runs,
        timing,
        *(page.rows(name) for name in ("effort", "trajectory_metrics", "stops", "calibration", "timing-table")),
        strict=True,
    ):
        way = run["trajectories"]
        assert {name: cell[0] for name, cell in effort.items()} == {
            **{f"iou_at_{k}": run["overall"][f"iou_at_{k}"]["value"] for k in (1, 3, 5, 10)},
            "length": way["length"]["mean"],
            "click_hit_rate": way["click_hit_rate"]["pooled"],
            "first_click_hit_rate": run["overall"]["first_click_hit_rate"]["value"],
        }
        assert trajectory_metrics["wasted_clicks"][0] == way["wasted_clicks"]["mean"]
        assert trajectory_metrics["regret"][0] == way["regret"]["mean"]
        assert {name: int(cell[0]) for name, cell in stops.items() if cell[0]} == way["stops"]
        assert {name: cell[0] for name, cell in score.items()} == {name: run["calibration"][name] for name in score}
        names = ("seconds", "policy_seconds", "segmenter_seconds")
        assert {name: times[name][0] for name in names} == {name: time[name]["mean"] for name in names}
    for pair, cells in zip(summary["comparisons"], page.rows("comparisons"), strict=True):
        assert cells["difference"] == ends(pair["difference"])
        assert cells["holm_p"][0] == pair["holm_p"]
    behind = [row["oracle_gap"] for row in page.rows("trajectory_metrics")]
    gaps = [ends(pair["difference"]) for pair in summary["comparisons"]]
    assert behind == [(None, None, None), gaps[0], (None, None, None), gaps[1]]


@pytest.mark.parametrize("by", ["modality", "target", "source"])
def test_each_group_has_a_line_with_every_run_s_figure(out, by):
    runs, lines = summary_of(out)["runs"], Page(out / "report.html").tables[by][1:]
    names = sorted(runs[0][by])
    assert len(names) == {"modality": 3, "target": 2, "source": 2}[by]
    for name, cells in zip(names, lines, strict=True):
        assert cells[0][:2] == ("cases", runs[0][by][name]["iou_per_case"]["n"])
        assert [cell[1:] for cell in cells[1:]] == [ends(run[by][name]["iou_per_case"]) for run in runs]


def test_a_line_a_source_and_run_tells_what_was_done_there(out):
    runs, lines = summary_of(out)["runs"], Page(out / "report.html").rows("source_metrics")
    named = [(name, run) for name in sorted(runs[0]["source"]) for run in runs]
    told = ("iou_per_case", "refusal_rate", "false_refusal_rate", "first_click_hit_rate", "length", "valid_action_rate")
    assert lines == [{key: ends(run["source"][name][key]) for key in told} for name, run in named]


def test_what_is_read_is_what_is_meant(out):
    """Every figure in the text is the one behind it, rounded."""
    found = re.findall(r'<td data-column="\w+" data-value="([^"]+)"[^>]*>([^<]+)', (out / "report.html").read_text())
    assert len(found) > 150
    for value, text in found:
        if text == "&lt;0.001":
            assert float(value) < 0.001
        else:
            digits = len(text.partition(".")[2])
            assert abs(float(text.replace("−", "-")) - float(value)) <= 0.5000001 * 10**-digits


def test_worst_median_and_best_cases_are_shown_in_this_order(out):
    done = [row for row in rows_of(out) if row["status"] == "done" and (row["policy"], row["segmenter"]) == PAIRS[0]]
    shown = [caption for caption in Page(out / "report.html").captions if "IoU" in caption][:9]
    ious = [float(re.search(r"IoU (\d\.\d+)", caption)[1]) for caption in shown]
    order = sorted(float(row["iou"]) for row in done)
    assert ious == [round(value, 3) for value in (*order[:3], *order[4:7], *order[:-4:-1])]
    assert [caption.partition(".")[0] for caption in shown] == ["Worst"] * 3 + ["Median"] * 3 + ["Best"] * 3
    assert re.fullmatch(r"Worst\. case\d\d: \w+, IoU 0\.\d{3}, [a-z ]+, \d clicks?", shown[0])


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, []), (1, [("", 0)]), (3, [("", 2), ("", 1), ("", 0)]), (4, [("worst", 3), ("median", 2), ("best", 0)])],
)
def test_cases_are_picked_once(count, expected):
    assert select_ranked([1 - index / 10 for index in range(count)], 1) == expected


def test_the_report_needs_nothing_but_itself(out):
    page, text = Page(out / "report.html"), (out / "report.html").read_text(encoding="utf-8")
    links = [value for _, told in page.tags for name, value in told.items() if name in ("src", "href", "srcset")]
    assert len(links) > 36
    assert all(link.startswith(("data:", "#")) for link in links)
    assert not re.search(r"@import|url\((?!#)", text)
    ids = [told["id"] for _, told in page.tags if "id" in told]
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)


def test_hostile_names_are_only_text(copy):
    file = copy / "results.csv"
    file.write_text(file.read_text(encoding="utf-8").replace("case", HOSTILE), encoding="utf-8")
    page = Page(write_report(copy))
    tags, attributes = {tag for tag, _ in page.tags}, {name for _, told in page.tags for name in told}
    assert not tags & {"script", "img"}
    assert not [name for name in attributes if name.startswith("on")]
    assert page.texts["cases"].count(f"{HOSTILE}03: {HOSTILE}, IoU") >= 1
    assert f"{HOSTILE}05" in page.texts["broken"]
    for name in (HOSTILE, *MODALITIES, '"><img src="http://x/'):
        assert name in page.texts["parts"]


@pytest.mark.slow
def test_equal_evaluations_give_equal_reports_but_for_the_time(out, data):
    """Another run of the same is this one with other seconds, also in its trajectories."""
    again = shutil.copytree(out, out.parent / "again")
    for path in again.glob("trajectories/*/*/*.json"):
        path.write_text(re.sub(r'"(policy|segmenter)": [\d.e-]+', r'"\1": 7.5', path.read_text()))
    rows = again / "rows.jsonl"
    rows.write_text(re.sub(r'seconds":[\d.e-]+', 'seconds":7.5', rows.read_text(encoding="utf-8")), encoding="utf-8")
    write_results(again, rows, read_dataset(data), POLICIES, SEGMENTERS)
    write_report(again, roots=[data])
    texts = [(folder / "report.html").read_text(encoding="utf-8") for folder in (out, again)]
    one, two = (re.split(r'(?s)<section id="timing">.*?</section>', text) for text in texts)
    assert len(one) == 2
    assert one == two
    assert "masks stand on grey" not in texts[1]
    assert "7.500" in texts[1]
    assert str(again) not in texts[1]


@pytest.mark.parametrize(
    ("chosen", "policies", "told"),
    [
        (slice(10, 12), POLICIES, {"cases": 2, "absent": 2}),
        (slice(0, 1), POLICIES, {"cases": 1, "absent": 0}),
        (slice(5, 6), POLICIES, {"cases": 1, "absent": 0}),
        (slice(0, 12), ["random"], {"cases": 12, "absent": 2}),
    ],
    ids=["absent alone", "one case", "all broken", "one policy"],
)
@pytest.mark.slow
def test_every_data_set_has_a_report(copy, data, chosen, policies, told):
    write_results(copy, copy / "rows.jsonl", read_dataset(data)[chosen], policies, SEGMENTERS)
    page, summary = Page(write_report(copy, cases=1)), summary_of(copy)
    assert told.items() <= summary.items()
    assert f"{told['cases']} cases on" in page.texts[None]
    for run, cells in zip(summary["runs"], page.rows("quality"), strict=True):
        assert (cells["done"][0], cells["broken"][0]) == (run["done"], run["broken"])
        assert cells.get("iou_per_case", (None,))[0] == run["overall"]["iou_per_case"]["value"]
    assert ("nothing to compare" in page.texts["compared"]) == (len(policies) == 1)
    assert ("No case that is not broken" in page.texts["cases"]) == (summary["runs"][0]["done"] == 0)
    assert ("masks/none.png: got a path with no file" in page.texts["broken"]) == (summary["runs"][0]["broken"] == 1)


def test_a_picture_that_is_gone_leaves_masks_on_grey(copy):
    """The copy lies elsewhere, so that no relative path leads to a picture."""
    captions = [caption for caption in Page(write_report(copy, cases=1)).captions if "IoU" in caption]
    assert len(captions) == 12
    assert all(
        caption.endswith("the picture cannot be opened as it was recorded, the masks are drawn on grey")
        for caption in captions
    )


def test_a_trajectory_that_cannot_be_read_leaves_its_caption(copy):
    texts = ("", "{", "[]", '{"version": 2, "steps": [{}]}', '{"version": 2, "steps": [1]}', "[" * 100_000)
    for index, path in enumerate(sorted(copy.glob("trajectories/*/*/*.json"))):
        path.write_text(texts[index % len(texts)])
    page = Page(write_report(copy))
    assert [told for tag, told in page.tags if tag == "img"] == []
    assert page.texts["cases"].count("no step sheet") == 36


@pytest.mark.parametrize("file", ["results.csv", "summary.json", "settings.json"])
@pytest.mark.parametrize("text", [None, "", "nothing\nof ours\n"])
def test_an_unfinished_evaluation_keeps_its_old_report(copy, file, text):
    before = (copy / "report.html").read_bytes()
    (copy / file).unlink()
    if text is not None:
        (copy / file).write_text(text)
    with pytest.raises(InputError, match=rf"{file}: .*name the folder of one that ran to its end$"):
        write_report(copy)
    assert (copy / "report.html").read_bytes() == before
    assert not list(copy.glob(".*"))


@pytest.mark.parametrize("module", ["jinja2", "matplotlib"])
def test_a_missing_extra_is_named(out, monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        MissingExtra, match=rf"{module} is not installed; run in a clone of ibisagent: pip install -e '.\[eval\]' -c"
    ):
        write_report(out)


def test_importing_it_takes_no_extra():
    extra = "jinja2", "markupsafe", "matplotlib"
    code = f"import sys, ibisagent.evals.report; sys.exit(any(name in sys.modules for name in {extra}))"
    assert subprocess.run([sys.executable, "-W", "error", "-c", code]).returncode == 0


def test_a_drawing_has_the_page_s_ink_and_no_id_of_another_s():
    drawing = render_plot("a $x$ <b>", "said", lambda axes: axes.plot([0, 1], [0, math.pi]), 2.0).svg
    assert drawing.startswith('<svg viewBox="0 0 302.4 144" role="img" aria-label="a $x$ &lt;b&gt;: said">')
    assert "currentColor" in drawing
    assert "var(--faint)" in drawing
    assert not re.search(r"font:|font-family|<style|metadata|#01010|#02020|figure_1|axis_1", drawing)


def test_rows_are_read_with_their_types(out):
    results = read_results(out)
    assert (results.policies, results.segmenters) == (POLICIES, SEGMENTERS)
    assert [row.id for row in results.done_rows("oracle", "disk")] == [f"case{i:02}" for i in range(12) if i != 5]
    broken = [row for row in results.rows if row.status == "broken"]
    assert [(row.id, row.target, row.stop) for row in broken] == [("case05", "lesion", "")] * 4
    assert all(math.isnan(row.iou) for row in broken)


FRAME = """<iframe src="report.html" width="{width}" height="900" style="border: 0"></iframe><pre></pre><script>
onload = () => {{
  const page = frames[0], pictures = [...page.document.images];
  const fetched = page.performance.getEntriesByType("resource").map(({{name}}) => name);
  document.querySelector("pre").textContent = JSON.stringify({{
    width: page.innerWidth,
    needed: page.document.documentElement.scrollWidth,
    pictures: pictures.filter(picture => picture.naturalWidth > 100).length,
    fetched: fetched.filter(name => !name.startsWith("data:")),
  }});
}};
</script>"""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("width", [390, 1400])
def test_a_browser_fits_it_into_any_width_and_fetches_nothing(out, tmp_path, width):
    """A frame, as a window has a least width; without the lazy loading of pictures far below."""
    text = (out / "report.html").read_text(encoding="utf-8").replace(' loading="lazy"', "")
    (tmp_path / "report.html").write_text(text, encoding="utf-8")
    (tmp_path / "frame.html").write_text(FRAME.format(width=width))
    options = ["headless", "no-sandbox", "hide-scrollbars", "no-first-run", "allow-file-access-from-files"]
    options += [f"disable-{name}" for name in ("background-networking", "component-update", "sync", "gpu", "quic")]
    options += [f"user-data-dir={tmp_path / 'profile'}", "dump-dom"]
    command = [CHROMIUM, *(f"--{option}" for option in options), (tmp_path / "frame.html").as_uri()]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
    found = json.loads(re.search(r"<pre>(.*?)</pre>", ran.stdout)[1])
    assert found == {"width": width, "needed": width, "pictures": 36, "fetched": []}


def test_one_good_and_one_bad_case_of_each_modality_are_drawn(out, data):
    results = read_results(out)
    chosen = choose_good_and_bad(results)
    assert set(chosen) == set(MODALITIES)
    done = results.done_rows("oracle", "geodesic")
    for kind, (count, good, bad) in chosen.items():
        ious = sorted(row.iou for row in done if row.modality == kind and not math.isnan(row.iou))
        assert count == len(ious)
        assert sum(iou > good.iou for iou in ious) <= count / 2
        assert bad.iou <= good.iou
    sheet, grey = draw_good_and_bad(results, [data]), draw_good_and_bad(results)
    assert sheet.size == grey.size
    assert sheet.tobytes() != grey.tobytes()
    with pytest.raises(InputError, match="got no case with an IoU and a record"):
        choose_good_and_bad(replace(results, rows=()))


def test_the_picture_of_good_and_bad_cases_is_written_whole_or_not_at_all(out, data, tmp_path, capsys):
    picture = tmp_path / "cases.jpg"
    assert write_good_and_bad([str(out), str(picture), str(data)]) == 0
    with Image.open(picture) as written:
        assert written.size[0] == 1000
    assert write_good_and_bad([str(tmp_path), str(tmp_path / "other.png")]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
    with pytest.raises(SystemExit):
        write_good_and_bad([str(out), str(tmp_path / "cases.txt")])
    assert "expected a name that ends with .jpg" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [picture]
