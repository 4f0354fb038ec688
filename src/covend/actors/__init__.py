"""The actors of the core, and of the workers: each folds a message in, asks a decider, carries out.

| room | what it looks after |
|---|---|
| ``swaps`` | what is resident: the arbiter, its transitions, covens and soulstones |
| ``admission`` | what waits and what the gates may send where: the dispatcher |
| ``jobs`` | work for this box's own workers: the broker and the ghouls |
| ``runs`` | queries: the desk, an execution for each run, the timekeeper |
| ``calls`` | what a run asks outside of the core: the courier |
| ``people`` | tasks of people, and how they hear of them: the herald |
| ``responders`` | who can be asked, and what was learned of each: the registry |

Beside them stand the oculus, the console, and what all of them say to each other (``messages``).
"""
