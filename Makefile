# A bare Debian 12 with Python 3.11, git and make:  `make run` installs, runs and serves;  `make test` tests.
UV        := .tools/bin/uv
WAREHOUSE := .venv
DASHBOARD := .venv-superset
SERVE     ?= 1
HOME_DIR  ?= .xianjian

.PHONY: run test setup browser lock lint clean

.tools/bin/uv:
	python3 -m venv .tools && .tools/bin/pip install -q uv==0.13.9

$(WAREHOUSE)/.ok: requirements/warehouse.txt pyproject.toml | .tools/bin/uv
	@echo "[install 1/2] warehouse environment ($$(wc -l < requirements/warehouse.txt) packages)"
	$(UV) venv -q --clear --python 3.11 $(WAREHOUSE)
	$(UV) pip install -q --python $(WAREHOUSE)/bin/python -r requirements/warehouse.txt
	$(UV) pip install -q --python $(WAREHOUSE)/bin/python --no-deps -e .
	@touch $@

$(DASHBOARD)/.ok: requirements/dashboards.txt | .tools/bin/uv
	@echo "[install 2/2] dashboard environment ($$(wc -l < requirements/dashboards.txt) packages)"
	$(UV) venv -q --clear --python 3.11 $(DASHBOARD)
	$(UV) pip install -q --python $(DASHBOARD)/bin/python -r requirements/dashboards.txt
	@touch $@

setup: $(WAREHOUSE)/.ok $(DASHBOARD)/.ok

lock: | .tools/bin/uv
	$(UV) lock -q
	$(UV) export -q --no-hashes --no-emit-project --no-header --no-annotate -o requirements/warehouse.txt
	$(UV) export -q --no-hashes --no-emit-project --no-header --no-annotate --no-default-groups --group dashboards -o requirements/dashboards.txt

run: setup
	$(WAREHOUSE)/bin/xianjian keys create
	@if [ -z "$$(ls -A $(HOME_DIR)/landing 2>/dev/null)" ]; then \
	  $(WAREHOUSE)/bin/xianjian county generate --out $(HOME_DIR) --scale 0.01 --months 24; fi
	$(WAREHOUSE)/bin/xianjian run --home $(HOME_DIR)
	@if [ "$(SERVE)" != 0 ]; then exec $(WAREHOUSE)/bin/xianjian serve --home $(HOME_DIR); fi

# Chromium and Chinese fonts for the browser tests. Only root can install them; elsewhere the tests say what is missing.
browser:
	@if command -v chromium >/dev/null && command -v chromedriver >/dev/null && fc-list 2>/dev/null | grep -q CJK; then :; \
	elif [ "$$(id -u)" = 0 ]; then \
	  echo "[install] Chromium, its driver and Chinese fonts"; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
	    chromium chromium-driver fonts-noto-cjk fontconfig >/dev/null; \
	else echo "browser tests will not run: install chromium, chromium-driver, fonts-noto-cjk and fontconfig"; fi

test: setup browser
	$(WAREHOUSE)/bin/python -m pytest $(PYTEST)

lint: setup
	$(WAREHOUSE)/bin/ruff check . && $(WAREHOUSE)/bin/lint-imports

clean:
	rm -rf $(WAREHOUSE) $(DASHBOARD) .tools
