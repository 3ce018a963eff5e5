"""What is learned, as pure maths: numbers in, numbers out.

No clock, generator, thread, file or log: time and chance are arguments. Event times are integer
nanoseconds, half-lives are seconds, statistics are floats, money is ``Decimal``; "no data" is None.
What runs once per outcome takes and returns plain numbers and checks nothing: values are validated
where they enter.

=====================  ==================================================================
:mod:`.payout`         from a market's payouts to an outcome ``x`` in [0, 1]
:mod:`.ema`            accuracy that forgets per outcome
:mod:`.decay`          sums that halve with event time, in any order of arrival
:mod:`.posterior`      Beta posterior of the hit rate, from two such sums
:mod:`.changepoint`    how long a hit rate has been what it is, and what it is
:mod:`.change`         a change point that was told of
:mod:`.trends`         a hit rate that moves along a line
:mod:`.mixture`        several Betas as one posterior
:mod:`.hypotheses`     the loops of both, to be compiled
:mod:`.calibration`    reliability bins, signed, expected and maximum calibration error
:mod:`.scores`         Brier and log loss, Murphy's decomposition
:mod:`.threshold`      the adaptive threshold, its relaxation and its walls
:mod:`.weight`         policies that turn evidence into a weight
:mod:`.recalibration`  what a stated confidence turned out to be worth
:mod:`.significance`   what of an error is more than chance
:mod:`.gate`           accept or refuse, and how large
:mod:`.kelly`          Kelly's stake, and what became of a bettor's wealth
:mod:`.draws`          Thompson draws that anyone can compute again
:mod:`.beta_logit`     the Beta distribution on the logit axis, for integration
:mod:`.selection`      ranking, and the exact probability of being best
:mod:`.top_two`        the second best first, half of the time
:mod:`.pnl`            profit and loss, exact
:mod:`.skill`          better than a reference by how much
:mod:`.pooling`        one probability from many models, and each model's share in it
=====================  ==================================================================
"""
