"""Opens dashboard pages in headless Chromium and reports, per page and tab, what was drawn; runs in Superset's environment.

    python dashboards_browse.py request.json

The request names `base`, `username`, `password`, `shots` (directory) and `pages`: [{slug, name, locale}]. The answer is
one JSON line: per page the tabs with the names of charts drawn, empty and failed, the visible text, and every request
that left the server's own origin.
"""

import json
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

_STATE = """
const out = {drawn: [], failed: [], empty: [], loading: 0};
out.loading = document.querySelectorAll('.loading, [data-test="loading-indicator"], .ant-spin-spinning').length;
for (const holder of document.querySelectorAll('.dashboard-component-chart-holder')) {
  if (holder.offsetParent === null || !holder.querySelector('.slice_container, .chart-slice')) continue;
  const name = (holder.querySelector('.header-title') || holder).innerText.trim().split('\\n')[0];
  const text = holder.innerText;
  if (holder.querySelector('.ant-alert-error, [data-test="error-container"], [role="alert"].ant-alert-error')
      || /Unexpected error|Data error|意外错误|错误详情|See more/.test(text)) out.failed.push(name + ' :: ' + text.slice(0, 300));
  else if (holder.querySelector('.ant-empty, [data-test="empty-state"]') || /No results|无结果|没有查询到/.test(text)) out.empty.push(name);
  else if (holder.querySelector('canvas, table, svg, .xj-kpis, .xj-list, .xj-fresh, .superset-legacy-chart-big_number')) out.drawn.push(name);
  else out.empty.push(name);
}
return out;
"""


def _driver(height: int) -> webdriver.Chrome:
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                     "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic",
                     "--hide-scrollbars", "--lang=zh-CN", f"--window-size=1440,{height}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService("/usr/bin/chromedriver"))


def _settle(driver: webdriver.Chrome, seconds: int = 90) -> dict:
    """Wait until nothing loads for three looks in a row, then say what stands."""
    quiet, deadline = 0, time.monotonic() + seconds
    state: dict = {}
    while quiet < 3 and time.monotonic() < deadline:
        time.sleep(0.7)
        state = driver.execute_script(_STATE)
        quiet = quiet + 1 if state["loading"] == 0 and (state["drawn"] or state["failed"] or state["empty"]) else 0
    return state


def _foreign(driver: webdriver.Chrome, base: str) -> list[str]:
    seen, own = set(), urlsplit(base).netloc
    for entry in driver.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.responseReceived":          # a request that the page's policy blocked has none
            url = message["params"]["response"]["url"]
            if url.startswith("http") and urlsplit(url).netloc != own:
                seen.add(url)
    return sorted(seen)


def main(request: dict) -> dict:
    """Log in, open every page and every tab of it, and tell what was seen."""
    shots, base = Path(request["shots"]), request["base"]
    shots.mkdir(parents=True, exist_ok=True)
    driver = _driver(request.get("height", 2600))
    report: dict = {"pages": []}
    try:
        driver.get(f"{base}/login/")
        WebDriverWait(driver, 60).until(lambda d: d.find_elements(By.CSS_SELECTOR, "input[name=username], #username"))
        driver.find_element(By.CSS_SELECTOR, "input[name=username], #username").send_keys(request["username"])
        driver.find_element(By.CSS_SELECTOR, "input[name=password], #password").send_keys(request["password"])
        driver.find_element(By.CSS_SELECTOR, "button[type=submit], input[type=submit]").click()
        WebDriverWait(driver, 60).until(lambda d: "/login" not in d.current_url)
        for page in request["pages"]:
            if page.get("locale"):
                driver.get(f"{base}/lang/{page['locale']}")
            driver.get(f"{base}/superset/dashboard/{page['slug']}/")
            try:
                WebDriverWait(driver, 45).until(
                    lambda d: d.find_elements(By.CSS_SELECTOR, ".dashboard-component-chart-holder"))
            except TimeoutException:
                driver.save_screenshot(str(shots / f"{page['slug']}-never.png"))
                report["pages"].append({"slug": page["slug"], "title": driver.title, "tabs": []})
                continue
            seen = {"slug": page["slug"], "title": driver.title, "tabs": []}
            tabs = driver.find_elements(By.CSS_SELECTOR, ".dashboard-component-tabs [role=tab]") or [None]
            for number, tab in enumerate(tabs):
                label = ""
                if tab is not None:
                    label = tab.text
                    driver.execute_script("arguments[0].click()", tab)
                state = _settle(driver)
                time.sleep(1.2)                        # bars and lines grow into place
                shot = shots / f"{page['slug']}-{number + 1}.png"
                driver.save_screenshot(str(shot))
                text = driver.find_element(By.CSS_SELECTOR, ".dashboard").text
                seen["tabs"].append({"label": label, "shot": str(shot), "text": text, **state})
            report["pages"].append(seen)
        report["foreign"] = _foreign(driver, base)
        report["console"] = [e["message"][:300] for e in driver.get_log("browser") if e["level"] == "SEVERE"]
    finally:
        driver.quit()
    return report


if __name__ == "__main__":
    print(json.dumps(main(json.loads(Path(sys.argv[1]).read_text("utf-8"))), ensure_ascii=False))
