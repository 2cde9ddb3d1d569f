"""A logger of Snakemake's that writes each planned job as one JSON line into the file that NASWOT_PLAN names.

`naswot plan` has a dry run use it (this folder on PYTHONPATH, `--logger plan`): the fields of a job's log record are
what the text of a dry run is made of, without its layout and its abbreviations.
"""

import json
import os
from logging import LogRecord

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent


class LogHandler(LogHandlerBase):
    """Writes rule, wildcards, inputs, benchmark file and threads of each job."""

    def emit(self, record: LogRecord) -> None:
        """Write one record, where it is of a job."""
        if getattr(record, "event", None) != LogEvent.JOB_INFO:
            return
        job = {
            "rule": record.rule_name,
            "wildcards": {name: str(value) for name, value in record.wildcards.items()},
            "input": [str(file) for file in record.input],
            "benchmark": record.benchmark,
            "output": [str(file) for file in record.output],
            "reason": record.reason,
            "threads": record.threads,
            "checkpoint": record.is_checkpoint,
        }
        with open(os.environ["NASWOT_PLAN"], "a", encoding="utf-8") as file:
            print(json.dumps(job), file=file)

    writes_to_stream = False
    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False
