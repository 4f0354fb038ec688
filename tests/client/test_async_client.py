"""``covend.AsyncClient`` against the API itself."""

import asyncio

import pytest
from tests.api.scripted_desk import ANSWER, Happen, NewTask
from tests.api.served import QUERY, TASK

from covend import AsyncClient
from covend.client import NotFound, QueryInvalid, StillRunning, Unavailable
from covend.patterns.responders.responder import KnownResponder, Responder
from covend.questions import RecordsOf
from covend.testing import free_port

NOW = {**QUERY, "question": "now"}


def run(api, work):
    async def inside():
        async with AsyncClient(api.url, patience=10) as client:
            await work(client)

    asyncio.run(inside())


def test_many_queries_are_answered_at_once(api):
    """Each with its own progress."""

    async def work(client):
        seen = []
        answers = await asyncio.gather(
            *(client.query(NOW, on_progress=seen.append) for _ in range(5))
        )
        assert {answer.answer for answer in answers} == {"42"}
        assert len({answer.id for answer in answers}) == 5
        assert sorted(event.kind for event in seen) == ["intend"] * 5 + ["know"] * 5

    run(api, work)


def test_an_async_query_that_does_not_end_in_time_is_still_running(api):
    async def work(client):
        with pytest.raises(StillRunning):
            await client.query(QUERY, wait=0.2)

    run(api, work)


def test_an_async_stream_that_is_cut_is_taken_up_where_it_was(api):
    async def work(client):
        id = (await client.submit(QUERY)).id
        events = client.events(id)
        assert (await anext(events)).kind == "intend"
        await asyncio.to_thread(api.heard, RecordsOf, 2)
        api.cut()
        api.tell(Happen(id, "know", ANSWER))
        assert [event.kind async for event in events] == ["know"]

    run(api, work)


def test_every_call_has_its_async_twin(api):
    """Queries, people and responders; errors as from the blocking client."""
    api.tell(NewTask(**TASK))
    api.tell(NewTask(**{**TASK, "id": "t-2"}))

    async def work(client):
        with pytest.raises(QueryInvalid):
            await client.submit({**QUERY, "question": "no"})
        id = (await client.submit(QUERY)).id
        assert (await client.cancel(id, "enough")).know.status == "cancelled"
        assert (await client.get(id)).state == "ended"
        assert [query.id for query in (await client.queries()).queries] == [id]
        with pytest.raises(NotFound):
            await client.get("q-9")
        assert len((await client.inbox("did:ada")).tasks) == 2
        assert (await client.task("t-1")).did == "did:ada"
        assert (await client.accept("t-1", "did:ada", 60)).state == "accepted"
        assert (await client.answer("t-1", "did:ada", "yes")).state == "submitted"
        assert (await client.decline("t-2", "did:ada")).state == "declined"
        ada = await client.put_responder(Responder(id="ada", kind="actor"))
        assert ada == Responder(id="ada", kind="actor")
        assert await client.responders() == (KnownResponder(id="ada", kind="actor"),)
        await client.remove_responder("ada")
        assert await client.responders() == ()

    run(api, work)


def test_an_async_client_of_no_box_is_told_so():
    async def work():
        async with AsyncClient(f"http://127.0.0.1:{free_port()}", patience=0.2) as client:
            with pytest.raises(Unavailable):
                await client.submit(QUERY)
            with pytest.raises(Unavailable):
                await anext(client.events("q-1"))

    asyncio.run(work())
