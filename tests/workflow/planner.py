"""Plans one dry run after the other: `python -m tests.workflow.planner` imports Snakemake once and forks for each.

Reads JSON lines {"cwd", "arguments", "jobs", "printed"} (the last two are files to write) and answers each with the
exit status. A dry run then takes a fraction of a second instead of seconds; nothing of one is left for the next.
"""

from __future__ import annotations

import json
import os
import sys


def _plan(asked: dict[str, object]) -> None:
    """Become the dry run."""
    os.chdir(str(asked["cwd"]))
    printed = os.open(str(asked["printed"]), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(printed, 1)
    os.dup2(printed, 2)
    os.environ["NASWOT_PLAN"] = str(asked["jobs"])
    arguments = asked["arguments"]
    assert isinstance(arguments, list)
    from snakemake.cli import main

    main(["--dry-run", "--logger", "plan", "--nolock", *arguments])


def serve() -> None:
    """Answer what is asked until there is nothing more."""
    # What a dry run imports sooner or later.
    import pandas  # noqa: F401
    import snakemake.cli  # noqa: F401

    from naswot_ext.fingerprint import fingerprint

    # Of most modules, since the others are imported by these.
    fingerprint("naswot_ext.scoring", "naswot_ext.tables", "naswot_ext.figures_comparison", "naswot_ext.search_runs")
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                _plan(json.loads(line))
                status = 0
            except SystemExit as end:
                status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    serve()
