# The verbs of this repository. `make demo` and `make test` are the two commands of the README.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint format types bench mutants view screenshots clean

.venv/done: pyproject.toml
	$(PYTHON) -m venv .venv && $(BIN)/python -m pip install --quiet -e '.[dev]' && touch $@

demo: .venv/done
	$(BIN)/lloom demo

test: .venv/done
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: .venv/done
	$(BIN)/ruff format --check . && $(BIN)/ruff check .

format: .venv/done
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .

types: .venv/done
	$(BIN)/mypy

bench: .venv/done
	$(BIN)/python -m benchmarks.main_job

# Small defects put in at random: what share of them do the tests notice?
mutants: .venv/done
	$(BIN)/python -m benchmarks.mutants --sample 400 --seed 1

# The view's bundle, from widget_js/; needs Node.
view:
	cd widget_js && npm ci --no-audit --no-fund && npm run check && npm test && npm run build

# Pictures of the view in lloom-out/screenshots; needs Chromium.
screenshots: .venv/done
	$(BIN)/python -m tests.screenshots

clean:
	rm -rf .venv lloom-demo .mypy_cache .pytest_cache .ruff_cache
