"""Remedies against membership risk, re-tested: each is trained beside the models without it, half by half.

Takes the pool's retrained models and what the privacy room marked; gives `RemediesPart`: the change in risk, accuracy
and the policy's fairness measures, with intervals. It recommends nothing.

    registry  every remedy, one row and one file in `ways/` each
    propose   what of it this model and these records allow
    private   DP-SGD through Opacus
    changes   one measure over pairs of models · verify: all of them for one remedy
    assess    the door
"""
