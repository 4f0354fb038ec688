"""What people are written about their tasks (P18)."""

from msgspec.structs import replace

from covend.actors.people import letters
from covend.actors.runs.messages import Notice

NEW = Notice("assigned", "q-1~primary~0~1", ("did:ann",), "May I?", 10**15, 0)


def question(notice):
    return notice.question


def test_one_notice_is_told_in_full():
    assert letters.title([NEW]) == "A question for you"
    assert letters.text([NEW], "http://box/inbox", question) == (
        "May I? — until 2001-09-09 01:46 UTC http://box/inbox#q-1~primary~0~1"
    )
    assert letters.text([NEW], None, question).endswith("(task q-1~primary~0~1)")


def test_many_are_told_in_one_message_whose_end_is_only_counted():
    """P18: however many there are, questions are read of those only that are shown."""
    read = []
    many = [replace(NEW, task=f"q-{n}~primary~0~1") for n in range(25)]
    text = letters.text(many, None, lambda notice: read.append(notice) or "?")
    assert letters.title(many) == "25 questions wait for you"
    assert text.splitlines()[-1] == "and 5 more"
    assert len(read) == 20


def test_what_is_withdrawn_is_no_question_that_waits():
    over = replace(NEW, happening="withdrawn")
    other = replace(NEW, task="q-2~primary~0~1")
    assert letters.title([over, other]) == "A question waits for you"
    assert "needs no answer any more: May I?" in letters.text([over, other], None, question)
    assert letters.title([over, over]) == "2 questions need no answer any more"
