"""The judgement of queries: pure functions of a run's records (P2).

| room | what stands there |
|---|---|
| (here) | the machine: K and its fold, one step, rounds, ends, triggers, reducers, people's words |
| ``six`` | the six patterns, one ``select`` each |
| ``query`` | what a query is, and its admission |
| ``responders`` | whom a round may ask, and whom it chooses |
| ``answers`` | how a call is put, how its answer is read, compared and folded |
| ``expressions`` | CEL: typed, bounded, the same in every process |
"""
