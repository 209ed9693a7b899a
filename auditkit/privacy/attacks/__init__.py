"""Membership attacks, one file each: evidence in, one score per record out; larger is more like a member.

A new attack is one file here and one row in `auditkit.privacy.registry.ATTACKS`; attacks do not know each
other.
"""
