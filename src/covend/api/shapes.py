"""The core's plain data as the types of the API."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from covend.client.models import Answer, QueryView, Task
from covend.resolving import resolved

T = TypeVar("T")


def shaped(data: Any, wanted: type[T]) -> T:
    """The core's answer as a type; members that the API does not show are left out."""
    return msgspec.convert(data, resolved(wanted))


def view_of(data: dict[str, Any]) -> QueryView:
    """One query, its end bearing the query's id."""
    view = shaped(data, QueryView)
    if view.know is None:
        return view
    return msgspec.structs.replace(view, know=answer_of(view.id, view.know))


def answer_of(name: str, know: Answer) -> Answer:
    """The end of a query, as an answer that says which query's it is."""
    return msgspec.structs.replace(know, id=name)


def task_of(data: dict[str, Any]) -> Task:
    """One task."""
    return shaped(data, Task)


def tasks_of(page: dict[str, Any]) -> list[Task]:
    """The tasks of one page."""
    return [task_of(task) for task in page["tasks"]]
