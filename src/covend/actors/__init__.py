"""One file per actor: each folds a message in, asks a decider, carries out, records why."""
