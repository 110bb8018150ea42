"""Reports as a person meets them: opened in a browser, looked at, sorted, filtered, downloaded."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from browser import chromium, open_page, until
from run_example import example_measurement

from simsparse.explanation import PlanBook, explain_run
from simsparse.load.catalog import load_hardware
from simsparse.report import html, read_run, to_json
from simsparse.report.page_measured import measurement_html
from simsparse.report.page_study import study_html
from simsparse.results import Run
from simsparse.simulate import simulate
from tests.load.onnx_models import model, node, save

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def browser(folder: Path) -> Iterator[Any]:
    with chromium(folder) as found:
        yield found


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    hardware, book = load_hardware("a100-80gb"), PlanBook()
    found = simulate("alexnet", on=hardware, prune="2:4", observe=book)
    (folder / "run.json").write_text(
        to_json(dataclasses.replace(found, explanation=explain_run(found, book, hardware)))
    )
    return read_run(folder / "run.json")


def check_quiet(browser: Any) -> None:
    """No console message, no network request."""
    assert browser.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0


def texts(browser: Any, selector: str) -> list[str]:
    script = "return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent.trim())"
    return list(browser.execute_script(script, selector))


def values(browser: Any, column: int) -> list[str]:
    script = "return [...document.querySelectorAll('#layers-rows tbody tr:not([hidden])')]"
    return list(
        browser.execute_script(f"{script}.map((row) => row.cells[arguments[0]].dataset.value)", column)
    )


def test_a_run(browser: Any, run: Run, folder: Path) -> None:
    measured = pd.DataFrame({"layer": ["conv1"], "predicted_s": [1e-3], "measured_s": [2e-3]})
    (folder / "run.html").write_text(html(run, measured=measured))
    open_page(browser, folder / "run.html")
    check_quiet(browser)
    _check_figures(browser, 8)
    _check_numbers(browser, folder)
    _check_table(browser, folder)
    _check_widths_and_themes(browser)


def _check_figures(browser: Any, count: int) -> None:
    assert len(browser.find_elements("css selector", ".plot .main-svg")) >= count
    described = browser.execute_script(
        "return [...document.querySelectorAll('.plot')].map((e) => [e.getAttribute('role'), e.ariaLabel])"
    )
    assert len(described) == count
    assert all(role == "img" and len(text) > 20 for role, text in described)


def _check_numbers(browser: Any, folder: Path) -> None:
    data = json.loads((folder / "run.json").read_text())
    tiles = browser.execute_script(
        "return [...document.querySelectorAll('.tile')].map((e) => e.dataset.value)"
    )
    assert [float(value) for value in tiles[:3]] == [
        data["speedup"],
        data["energy_ratio"],
        data["memory_ratio"],
    ]
    assert tiles[3] == data["bound_by"]
    totals = browser.execute_script(
        "return [...document.querySelectorAll('#totals td[data-value]')].map((e) => Number(e.dataset.value))"
    )
    assert totals[:4] == [
        data["totals"]["time_s"],
        data["baseline"]["time_s"],
        data["totals"]["energy_j"],
        data["baseline"]["energy_j"],
    ]
    assert texts(browser, ".verdict")[0] in data["verdict"]
    assert values(browser, 0) == [layer["name"] for layer in data["layers"]]
    assert list(map(float, values(browser, 7))) == [la["time_s"] * la["count"] for la in data["layers"]]
    assert list(map(float, values(browser, 10))) == [la["energy_j"] * la["count"] for la in data["layers"]]


def _check_table(browser: Any, folder: Path) -> None:
    head = browser.find_elements("css selector", "#layers-rows thead button")
    before = values(browser, 7)
    head[7].click()
    assert list(map(float, values(browser, 7))) == sorted(map(float, before), reverse=True)
    head[7].click()
    assert list(map(float, values(browser, 7))) == sorted(map(float, before))
    head[0].click()
    assert values(browser, 0)[0] == "conv1"
    assert texts(browser, "#layers-rows [aria-sort=ascending]") == ["layer"]
    field = browser.find_element("css selector", "[data-filter=layers-rows]")
    field.send_keys("conv")
    assert all("conv" in name for name in values(browser, 0))
    shown = len(values(browser, 0))
    assert texts(browser, "[data-shown=layers-rows]") == [f"{shown} of {len(before)}"]
    browser.find_element("css selector", "[data-csv=layers-rows]").click()
    file = folder / "alexnet-a100-80gb-layers.csv"
    until(file.exists)
    until(lambda: file.read_text().endswith("\n"))
    rows = list(csv.DictReader(file.read_text().splitlines()))
    assert [row["layer"] for row in rows] == values(browser, 0)
    assert [row["time_s"] for row in rows] == values(browser, 7)
    legend = browser.find_elements("css selector", "#energy-total .legend button")
    legend[0].click()
    assert legend[0].get_attribute("aria-pressed") == "false"
    field.clear()


def _check_widths_and_themes(browser: Any) -> None:
    text = "return getComputedStyle(document.body).backgroundColor"
    light = browser.execute_script(text)
    dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    assert browser.execute_script(text) != light
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    until(lambda: browser.execute_script("return innerWidth") == 390)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert len(browser.execute_cdp_cmd("Page.printToPDF", {})["data"]) > 10_000
    assert browser.get_log("browser") == []


def test_a_study(browser: Any, folder: Path) -> None:
    points = pd.DataFrame(
        {
            "model": "net",
            "hardware": ["stc", "eie"],
            "pattern": ["2:4", "unstructured:0.9"],
            "format": ["nm", "csc"],
            "status": "ok",
            "speedup": [1.8, 4.2],
            "energy_ratio": [1.5, 3.0],
            "time_s": [1e-3, 2e-3],
            "energy_j": [3e-3, 1e-3],
            "stored_bytes": [900, 300],
        }
    )
    (folder / "study.html").write_text(study_html(points, points, points.iloc[:0], title="Study"))
    open_page(browser, folder / "study.html")
    check_quiet(browser)
    _check_figures(browser, 4)
    assert texts(browser, "#points-rows tbody th") == ["net", "net"]


def test_a_measurement(browser: Any, folder: Path) -> None:
    measured = example_measurement()
    (folder / "measured.html").write_text(measurement_html(measured))
    open_page(browser, folder / "measured.html")
    check_quiet(browser)
    _check_figures(browser, 2)
    assert texts(browser, "#layers-rows tbody th") == [layer.name for layer in measured.layers]
    assert values(browser, 6) == [repr(layer.time_s) for layer in measured.layers]


def test_a_hostile_name_in_an_onnx_model_is_text(browser: Any, folder: Path) -> None:
    name = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    weights = np.random.default_rng(0).standard_normal((16, 8)).astype(np.float32)
    file = save(folder, model([node("MatMul", ["x", "w"], name=name)], {"x": (4, 16)}, {"w": weights}))
    run = simulate(str(file), on="tpu-like", prune="unstructured:0.5")
    (folder / "hostile.html").write_text(html(run))
    open_page(browser, folder / "hostile.html")
    check_quiet(browser)
    assert "owned" not in browser.title
    assert any("<script>" in text for text in values(browser, 0))
    assert browser.find_elements("css selector", "main img") == []
