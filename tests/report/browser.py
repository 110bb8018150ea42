"""A headless Chromium for tests of pages; tests skip by name where there is none."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--window-size=1280,900",
)
WAIT_S = 30.0


@contextmanager
def chromium(downloads: Path) -> Iterator[Any]:
    """A driver whose downloads go to ``downloads``."""
    pytest.importorskip("selenium")
    binary = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("chromium and chromium-driver are not installed")
    from selenium.webdriver import Chrome, ChromeOptions, ChromeService

    options = ChromeOptions()
    options.binary_location = binary
    for option in OPTIONS:
        options.add_argument(option)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = Chrome(options=options, service=ChromeService(driver))
    try:
        yield browser
    finally:
        browser.quit()


def open_page(browser: Any, file: Path) -> None:
    """Load a page and wait until all its figures are drawn."""
    browser.get(file.as_uri())
    until(lambda: browser.execute_script("return document.documentElement.dataset.ready") == "yes")


def until(done: Any) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + WAIT_S
    while not done():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
