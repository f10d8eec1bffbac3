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

clean:
	rm -rf $(WAREHOUSE) $(DASHBOARD) .tools
