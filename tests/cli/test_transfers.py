import threading

import pytest

from stenopool.cli.transfers import in_parallel, transfer
from stenopool.errors import NotFoundError


def test_as_many_items_are_worked_on_at_once_as_there_are_workers():
    together = threading.Barrier(4, timeout=30)
    assert list(in_parallel(lambda _: together.wait() and 1, range(8), 4)).count(1) == 6


def test_few_items_wait_at_a_time():
    taken = []

    def items():
        for number in range(1000):
            taken.append(number)
            yield number

    results = in_parallel(lambda _: 1, items(), 3)
    for done in range(1, 101):
        next(results)
        assert len(taken) <= done + 2 * 6
    results.close()
    assert len(taken) < 200


def test_one_failure_leaves_the_others_alone(capsys):
    def act(number):
        if number == 3:
            raise NotFoundError("number 3 is [not] there")
        return None if number == 4 else number

    account = transfer(act, range(6), workers=2)
    assert (account.done, account.same, account.size_bytes) == (4, 1, 0 + 1 + 2 + 5)
    assert [str(error) for error in account.failed] == ["number 3 is [not] there"]
    assert capsys.readouterr().err == "error: number 3 is [not] there\n"


def test_defect_is_not_counted_as_a_failure():
    with pytest.raises(ZeroDivisionError):
        transfer(lambda number: 1 // number, [1, 0, 1], workers=2)
