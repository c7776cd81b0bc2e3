"""The first use of the contract machine by a user compiles its image: 6 to 20 s of one core, shown as it goes."""

from testnet.cli.common import output, people

STAGES = ("unpacking", "compiling", "storing")
"""As `contracts.runtime.image` tells them."""


def ensure_machine() -> None:
    """Compile the image unless this user has done so; the validators here load the same file."""
    from contracts.runtime.image import is_compiled

    if is_compiled():
        return
    from contracts.machine.engine import new_engine
    from contracts.runtime.image import load

    console = people(stderr=True)
    if output.as_json or not console.is_terminal:
        if not output.as_json:
            console.print("preparing the contract machine, once for this user; it takes about 20 s …", markup=False)
        load(new_engine())
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = TextColumn("contract machine, once for this user: {task.description}"), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(STAGES[0], total=None)
        load(new_engine(), lambda stage: progress.update(task, description=stage))
