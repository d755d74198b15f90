"""A process that runs one trial: ``python -m gankit.search.trial_process``.

It reads its plan from standard input, and stops the trial after a step once standard input is closed, either because
the search stops it or because the process of the search has ended.
"""

from __future__ import annotations

import json
import sys
import threading

from .plan import Plan


def main() -> None:
    """Run one trial."""
    plan = Plan(**json.loads(sys.stdin.readline()))
    closed = threading.Event()

    def wait_until_closed() -> None:
        sys.stdin.read()
        closed.set()

    threading.Thread(target=wait_until_closed, daemon=True).start()
    from ..runtime import Runtime
    from .trial import run_trial

    run_trial(plan, Runtime(plan.plugins), closed.is_set)


if __name__ == "__main__":
    main()
