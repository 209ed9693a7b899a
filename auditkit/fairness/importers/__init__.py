"""From other tools to auditkit: what they were told to measure, as a policy or as a measurement, and what differs."""
