# Everything runs in .venv, made by `make install` from the pinned versions in constraints.txt.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo dev check format test test-all examples fuzz screenshots stress histories chaos soak

help: ## show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

install: $(STAMP) ## make .venv with everything pinned

$(STAMP): pyproject.toml setup.py constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[bench,browser,cli,dev,gateway,langgraph,openai,pydantic-ai,test]'
	@touch $@

demo: install ## two answers, one memory, one killed worker; KEEP=1 leaves it running
	@$(RUN) -m starter.demo $(if $(KEEP),--keep)

dev: install ## Temporal server, Web UI and worker; state survives in .sessions/
	@$(RUN) worker.py --dev

check: install ## lint, format, types
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

format: install ## apply what `check` asks of the format
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

# Most tests wait for a server, so more of them run at once than there are processors; what shares one waits longer.
PARALLEL := -n 5 --dist worksteal
# A suite of many processes, each of which would compile our modules anew where the environment keeps Python from it.
SLOW := PYTHONDONTWRITEBYTECODE= SESSIONS_TEST_SLOWNESS=$(or $(SESSIONS_TEST_SLOWNESS),3)

RARE := -m "not stress and not environment"
# What is slow: each workflow in a sandbox of its own.
WHOLE := $(SLOW) SESSIONS_TEST_SANDBOX=1

test: install ## the suite, on the dev server; virtual time on the one that skips it. ALL=1 adds what is slow and rare
	$(if $(ALL),$(WHOLE),$(SLOW)) $(RUN) -m pytest $(PARALLEL) $(if $(ALL),$(RARE)) $(ARGS)

test-all: install ## the suite with what is slow and rare, on all three servers
	$(WHOLE) $(RUN) -m pytest $(PARALLEL) $(RARE) --server dev $(ARGS)
	$(WHOLE) $(RUN) -m pytest $(PARALLEL) $(RARE) --server skipping $(ARGS)
	$(WHOLE) $(RUN) -m pytest $(PARALLEL) $(RARE) --server test-server $(ARGS)

examples: install ## the examples whose agent framework needs an environment of its own, which this installs
	$(SLOW) $(RUN) -m pytest -m environment $(ARGS)

# The properties that need no server; their files.
PROPERTIES := $(addprefix tests/test_,contract_properties.py pending.py ledger.py tasks.py encoding.py \
	context_machine.py state_machine.py)

fuzz: install ## 10,000 new examples of each property that needs no server: an hour; EXAMPLES=500
	SESSIONS_FUZZ=1 SESSIONS_FUZZ_EXAMPLES=$(EXAMPLES) $(RUN) -m pytest -v --timeout 0 $(PROPERTIES) $(ARGS)

stress: install ## 20,000 signals to one session, a year of another, 1,000 turns, 1,000 sessions stopped: many minutes
	$(RUN) -m pytest -m stress -s --timeout 900 $(ARGS)

histories: install ## record the histories that the suite replays, as the set of the present version
	@$(RUN) -m tests.histories.record

screenshots: install ## the pictures of docs/web-ui.md and docs/web-chat.md, anew; needs Chromium
	$(RUN) -m tests.browser.screenshots
	$(RUN) -m tests.browser.chat_screenshots

chaos: install ## kill workers and server under 50 sessions for two minutes; SEED=2 draws another run
	@$(RUN) -m benchmarks.chaos --seed $(or $(SEED),1)

soak: install ## steady load for half an hour: says whether memory or history grows; MINUTES=5 is shorter
	@$(RUN) -m benchmarks.soak --minutes $(or $(MINUTES),30)
