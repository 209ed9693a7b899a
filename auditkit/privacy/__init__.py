"""The privacy room: what the audited model gives away about its training records, on average and one by one.

Takes arrays (losses per split, labels, group codes, self-influence, and the margins of models retrained on halves
of training and reserve records, where there are some) and the feature columns of the splits;
gives one `PrivacyPart` of aggregates and the restricted arrays behind it. `assess` is the door. Membership
inference is how it is measured because it is the weakest privacy attack: what does not leak membership to the
attacker tested may still leak to another, and the part says which were not tried. No torch here: gradients
arrive as finished numbers.
"""
