"""Many files at once: in parallel, with a bar for a person, and an account at the end."""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from stenopool.cli import console
from stenopool.errors import AlreadyExistsError, StenopoolError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Item = TypeVar("Item")


@dataclass(kw_only=True)
class Account:
    """What became of many files.

    Attributes:
        done: files that were written, or removed.
        same: files that were there already with the same content.
        size_bytes: of those that were written.
        failed: the errors, in the order in which they came.
    """

    done: int = 0
    same: int = 0
    size_bytes: int = 0
    failed: list[StenopoolError] = field(default_factory=list)

    def add(self, result: int | StenopoolError | None) -> None:
        """Take one file: its size, None where it was there, or why it failed."""
        if isinstance(result, StenopoolError):
            self.failed.append(result)
        elif result is None:
            self.same += 1
        else:
            self.done += 1
            self.size_bytes += result

    @property
    def files(self) -> int:
        """All of them."""
        return self.done + self.same + len(self.failed)

    @property
    def exit_code(self) -> int:
        """1 where a file failed."""
        return 1 if self.failed else 0


def transfer(
    act: Callable[[Item], int | None],
    items: Iterable[Item],
    *,
    workers: int,
    total: int | None = None,
) -> Account:
    """Act on every item; each error is printed when it comes, and the others go on.

    Args:
        act: gives the bytes written, None where there was nothing to do, or raises.
        items: taken as they are needed, so a long listing is never held.
        workers: threads.
        total: how many items there are; None where nobody knows.
    """
    account = Account()
    with _shown(account, total) as show:
        for result in in_parallel(act, items, workers):
            account.add(result)
            if isinstance(result, StenopoolError):
                console.fail(str(result))
            show()
    return account


def in_parallel(
    act: Callable[[Item], int | None], items: Iterable[Item], workers: int
) -> Iterator[int | StenopoolError | None]:
    """The results of `act` on the items, or its errors, as they come; few wait at a time."""

    def attempt(item: Item) -> int | StenopoolError | None:
        try:
            return act(item)
        except StenopoolError as error:
            return error

    todo = iter(items)
    pool = ThreadPoolExecutor(workers)
    try:
        running = {pool.submit(attempt, item) for item in islice(todo, 2 * workers)}
        while running:
            ended, running = wait(running, return_when=FIRST_COMPLETED)
            running |= {pool.submit(attempt, item) for item in islice(todo, len(ended))}
            yield from (future.result() for future in ended)
    finally:
        pool.shutdown(cancel_futures=True)


def tell_account(account: Account, what: str, *, as_json: bool) -> None:
    """Say what became of the files, as the result of a command.

    Args:
        account: of the files.
        what: such as `put on @CALLS`.
        as_json: whether a program reads it.
    """
    if as_json:
        failed = [str(error) for error in account.failed]
        console.print_json(
            {"done": account.done, "same": account.same, "failed": failed}
            | {"size_bytes": account.size_bytes}
        )
        return
    parts = [f"{console.plural(account.done, 'file')} {what} ({console.size(account.size_bytes)})"]
    if account.same:
        parts.append(f"{account.same:,} there already with the same content")
    if account.failed:
        parts.append(f"{len(account.failed):,} failed")
    console.say(", ".join(parts))
    if any(isinstance(error, AlreadyExistsError) for error in account.failed):
        console.tell("--overwrite replaces files that have other content")


@contextmanager
def _shown(account: Account, total: int | None) -> Iterator[Callable[[], None]]:
    if not console.is_interactive():
        yield lambda: None
        return
    columns = (SpinnerColumn(), BarColumn(bar_width=24), TextColumn("{task.description}"))
    # Rich would send what is printed meanwhile to its own console.
    with Progress(*columns, console=console.err, transient=True, redirect_stdout=False) as bar:
        task = bar.add_task("listing", total=total)

        def show() -> None:
            of = "" if total is None else f" of {total:,}"
            text = f"{account.files:,}{of} files, {console.size(account.size_bytes)}"
            bar.update(task, completed=account.files, description=text)

        yield show
