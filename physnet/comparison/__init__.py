"""Which rule trains a system best: paired trainings of several rules, their options, and what they bear.

`RuleComparison` trains one network by several rules with the same seeds, `Tuning` chooses their options on validation
samples, `Sensitivity` changes one thing about the system. Each training is kept as soon as it is done, under a name
made of all that decides it, so that each of them goes on where it was stopped.
"""
